"""Collects all computed tables and figures in one report."""

import pathlib

from absl import flags

from common.programs import flags as shared_flags
from common.report.exhibit import read_all
from common.report.page import write_report

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines this program's flags."""
    shared_flags.define_output_dir(words='Folder with the tables and figures; gets the report.')


def main() -> None:
    """Reads the flags and writes the report."""
    folder = pathlib.Path(FLAGS.output_dir)
    exhibits = read_all(folder)
    write_report(folder, exhibits)
    print(
        f'{len(exhibits)} tables and figures in {folder / "report.html"}, '
        f'{folder / "RESULTS.md"} and {folder / "results.json"}'
    )
