"""The pages of the report: RESULTS.md, report.html and results.json."""

import base64
import dataclasses
import pathlib
from collections.abc import Sequence
from html import escape

from common.errors import UserError
from common.files import replacing, require_writable, write_json
from common.report.exhibit import Exhibit, Picture, Table

TITLE = 'Towards Deep Learning Models Resistant to Adversarial Attacks: measured'


def write_report(folder: pathlib.Path, exhibits: Sequence[Exhibit]) -> None:
    """Writes results.json, RESULTS.md and report.html.

    Raises:
        UserError: a picture is missing, or the folder cannot be written.
    """
    pages = {'RESULTS.md': _markdown(exhibits), 'report.html': _html(folder, exhibits)}
    for name in ('results.json', *pages):  # all of the same exhibits, or none
        require_writable(folder / name)
    write_json(folder / 'results.json', [dataclasses.asdict(exhibit) for exhibit in exhibits])
    for name, text in pages.items():
        with replacing(folder / name) as temporary:
            temporary.write_text(text, encoding='utf-8')


_CLAIM = 'claim', 'in the paper', 'measured', '95% interval or test', 'n', 'verdict'


def _claims(exhibit: Exhibit) -> list[Table]:
    """The claims of the paper as a table; nothing where there are none."""
    rows = [dict(zip(_CLAIM, dataclasses.astuple(c), strict=True)) for c in exhibit.claims]
    return [Table.of('Claims of the paper', rows)] if rows else []


def _facts(exhibit: Exhibit) -> dict[str, str]:
    """All but the command."""
    networks = ', '.join(f'{name} ({digest[:12]})' for name, digest in exhibit.networks.items())
    computed = (
        f'{exhibit.date}, {exhibit.versions}, in {exhibit.seconds:,.0f} s '
        'without what earlier commands had left in the cache'
    )
    return {'setting': exhibit.setting, 'networks': networks, 'computed': computed}


# Markdown.


def _markdown(exhibits: Sequence[Exhibit]) -> str:
    parts = [f'# {TITLE}']
    for exhibit in exhibits:
        parts.append(f'## {exhibit.title}')
        parts += [_markdown_table(table) for table in _claims(exhibit)]
        parts += [_markdown_text(remark) for remark in exhibit.remarks]
        parts += [f'![{p.words}]({p.file})' for p in exhibit.pictures]
        parts += [_markdown_table(table) for table in exhibit.tables]
        facts = [f'- {name}: {_markdown_text(fact)}' for name, fact in _facts(exhibit).items()]
        parts.append('\n'.join([f'- command: `{exhibit.command}`', *facts]))
    return '\n\n'.join(parts) + '\n'


def _markdown_text(text: str) -> str:
    # Underscores and stars would start italics, and bars would end a cell.
    return text.replace('_', r'\_').replace('|', r'\|').replace('*', r'\*')


def _markdown_table(table: Table) -> str:
    cells = [[_markdown_text(str(cell)) for cell in row] for row in (table.columns, *table.rows)]
    cells.insert(1, ['---'] * len(table.columns))
    lines = [f'| {" | ".join(row)} |' for row in cells]
    title = [f'**{_markdown_text(table.title)}**', ''] if table.title else []
    return '\n'.join([*title, *lines])


# HTML.

_CSS = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; max-width: 62rem;
       margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 3rem; border-top: 1px solid #ddd;
     padding-top: 1rem; }
img { max-width: 100%; height: auto; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem;
        margin: 1rem 0; }
th, td { padding: .2rem .7rem; text-align: right; border-bottom: 1px solid #e5e5e5; }
th:first-child, td:first-child, .claims th, .claims td { text-align: left; }
caption { text-align: left; font-weight: 600; padding-bottom: .3rem; }
dl { font-size: .85rem; color: #555; display: grid; grid-template-columns: max-content 1fr;
     gap: .1rem 1rem; } dd { margin: 0; overflow-wrap: anywhere; } nav li { margin: .1rem 0; }
"""


def _html(folder: pathlib.Path, exhibits: Sequence[Exhibit]) -> str:
    index = ''.join(f'<li><a href="#{escape(e.key)}">{escape(e.title)}</a></li>' for e in exhibits)
    body = ''.join(_section(folder, exhibit) for exhibit in exhibits)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(TITLE)}</title><style>{_CSS}</style></head>\n'
        f'<body><h1>{escape(TITLE)}</h1><nav><ul>{index}</ul></nav>\n{body}'
        f'</body></html>\n'
    )


def _section(folder: pathlib.Path, exhibit: Exhibit) -> str:
    parts = [f'<h2>{escape(exhibit.title)}</h2>']
    parts += [_html_table(table, ' class="claims"') for table in _claims(exhibit)]
    parts += [f'<p>{escape(remark)}</p>' for remark in exhibit.remarks]
    parts += [_embedded(folder, exhibit, picture) for picture in exhibit.pictures]
    parts += [_html_table(table) for table in exhibit.tables]
    facts = {name: escape(fact) for name, fact in _facts(exhibit).items()}
    facts = {'command': f'<code>{escape(exhibit.command)}</code>', **facts}
    parts += ['<dl>', *(f'<dt>{name}</dt><dd>{fact}</dd>' for name, fact in facts.items()), '</dl>']
    return f'<section id="{escape(exhibit.key)}">{"".join(parts)}</section>\n'


def _html_table(table: Table, attributes: str = '') -> str:
    def line(cells: Sequence[str], tag: str) -> str:
        return '<tr>' + ''.join(f'<{tag}>{escape(str(cell))}</{tag}>' for cell in cells) + '</tr>'

    caption = f'<caption>{escape(table.title)}</caption>' if table.title else ''
    head = f'<thead>{line(table.columns, "th")}</thead>'
    body = f'<tbody>{"".join(line(row, "td") for row in table.rows)}</tbody>'
    return f'<div class="wide"><table{attributes}>{caption}{head}{body}</table></div>'


def _embedded(folder: pathlib.Path, exhibit: Exhibit, picture: Picture) -> str:
    path = folder / picture.file
    try:
        contents = base64.b64encode(path.read_bytes()).decode('ascii')
    except OSError as error:
        raise UserError(
            f'expected the picture {path}; found none. Run the command that draws it: '
            f'{exhibit.command}'
        ) from error
    return f'<p><img alt="{escape(picture.words)}" src="data:image/png;base64,{contents}"></p>'
