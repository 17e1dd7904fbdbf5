"""All programs: the modules that `python -m` starts, and the first lines of their docstrings."""

import ast
import itertools
import pathlib
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).resolve().parents[2]
"""The folder of all packages: of this one, and of the data sets beside it."""


def define_flags() -> None:
    """Defines no flags."""


def main() -> None:
    """Prints a line for each program, package by package."""
    found = list(programs())
    width = max(len(name) for name, _ in found)
    for _, group in itertools.groupby(found, lambda program: program[0].partition('.')[0]):
        for name, words in group:
            print(f'python -m {name.ljust(width)}  {words}')
        print()
    print('Each explains itself with --help.')


def programs(root: pathlib.Path = ROOT) -> Iterator[tuple[str, str]]:
    """(module, what it does in one line) of every program.

    Args:
        root: folder of the packages.
    """
    for package in _packages(root):
        yield from sorted(_programs(root, package))


def _packages(root: pathlib.Path) -> list[str]:
    """The packages of data sets in alphabetical order, then this one."""
    data_sets = [  # if installed, among many other packages
        path.parent.name
        for path in root.glob('*/data_set.py')
        if 'common.programs.data_set' in path.read_text(encoding='utf-8')
    ]
    return [*sorted(data_sets), __name__.partition('.')[0]]


def _programs(root: pathlib.Path, package: str) -> Iterator[tuple[str, str]]:
    for path in (root / package).rglob('*.py'):
        # Read, not imported, which would take seconds for each.
        tree = ast.parse(path.read_text(encoding='utf-8'))
        if any(
            isinstance(node, ast.If) and "'__main__'" in ast.unparse(node) for node in tree.body
        ):
            name = '.'.join(path.relative_to(root).with_suffix('').parts)
            words = (ast.get_docstring(tree) or '').partition('\n')[0]
            yield name.removesuffix('.__main__'), words
