"""Makes and runs examples/first_steps.ipynb from examples/first_steps.py (for maintainers).

    pip install nbconvert ipykernel matplotlib && python examples/notebook.py

A line `# %%` begins a cell of code and `# %% [markdown]` one of text.
"""

import pathlib
import re

import nbformat
from nbconvert.preprocessors import ExecutePreprocessor

SCRIPT = pathlib.Path(__file__).with_name('first_steps.py')


def notebook_of(script: str) -> nbformat.NotebookNode:
    """The notebook of a script, not run yet."""
    cells = []
    for number, part in enumerate(re.split(r'^# %%', script, flags=re.MULTILINE)[1:]):
        kind, _, body = part.partition('\n')
        if '[markdown]' in kind:
            body = re.sub(r'^# ?', '', body, flags=re.MULTILINE)
            cell = nbformat.v4.new_markdown_cell(body.strip())
        else:
            cell = nbformat.v4.new_code_cell(body.strip())
        cell.id = f'cell-{number}'  # the same each time
        cells.append(cell)
    kernel = {'name': 'python3', 'display_name': 'Python 3', 'language': 'python'}
    return nbformat.v4.new_notebook(cells=cells, metadata={'kernelspec': kernel})


def main() -> None:
    """Writes the executed notebook beside the script."""
    notebook = notebook_of(SCRIPT.read_text(encoding='utf-8'))
    ExecutePreprocessor(timeout=1800).preprocess(
        notebook, {'metadata': {'path': SCRIPT.parents[1]}}
    )
    for cell in notebook.cells:
        cell.metadata.pop('execution', None)  # times of day
    nbformat.write(notebook, SCRIPT.with_suffix('.ipynb'))


if __name__ == '__main__':
    main()
