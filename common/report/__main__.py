"""Gathers all tables and figures that were computed into one report.

    python -m common.report --output_dir=report

Reads the exhibits in the folder and writes beside them results.json (all numbers), RESULTS.md, and
report.html, one file that needs no other and no network.
"""

from common.programs import cli, report

if __name__ == '__main__':
    cli.run(report.main, report.define_flags)
