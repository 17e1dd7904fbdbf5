"""Collects all computed tables and figures in one report.

    python -m common.report

Reads the exhibits in the folder results, or in --output_dir, and writes next to them results.json
(all numbers), RESULTS.md and report.html (a single file that also works offline).
"""

from common.programs import cli, report

if __name__ == '__main__':
    cli.run(report.main, report.define_flags)
