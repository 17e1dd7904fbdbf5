"""The project's figures: one look for all, and the only place that knows matplotlib."""

import contextlib
import math
import os
from collections.abc import Iterator, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from common.files import replacing
from common.report.series import Line

# Okabe and Ito's colours, distinct for every kind of colour vision.
COLOURS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9', '#000000')
MARKERS = 'os^Dv<>'
_LETTERS_AN_INCH = 14  # of legends
_NUMBERS = 4  # along an axis, or one more
_STYLE = {
    'font.size': 10,
    'axes.titlesize': 10,
    'axes.labelsize': 10,
    'legend.fontsize': 9,
    'axes.spines.top': False,
    'axes.spines.right': False,
    'axes.grid': True,
    'grid.alpha': 0.25,
    'lines.linewidth': 1.5,
    'legend.frameon': False,
    'figure.dpi': 110,
    'savefig.dpi': 110,
    'savefig.facecolor': 'white',
    'font.family': 'DejaVu Sans',
}


@contextlib.contextmanager
def _figure(
    path: str | os.PathLike,
    rows: int,
    columns: int,
    *,
    width: float = 3.2,
    height: float = 2.6,
    sharex: bool = False,
    sharey: bool = False,
) -> Iterator[np.ndarray]:
    """Yields [rows, columns] axes, and writes them as a PNG."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure((width * columns, height * rows), layout='constrained')
        yield figure.subplots(rows, columns, squeeze=False, sharex=sharex, sharey=sharey)
        with replacing(path, suffix='.png') as temporary:
            figure.savefig(temporary, metadata={'Software': None})


def _legend(axes: np.ndarray) -> None:
    """One legend under all panels."""
    handles = {}
    for axis in axes.flat:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    figure = axes.flat[0].figure
    room = figure.get_figwidth() * _LETTERS_AN_INCH
    widest = max(map(len, handles)) + 8  # a handle and the space around it
    columns = max(1, min(len(handles), 4, int(room // widest)))
    figure.legend(handles.values(), handles.keys(), loc='outside lower center', ncols=columns)


def histograms(
    path: str | os.PathLike,
    panels: Sequence[tuple[str, dict[str, np.ndarray]]],
    *,
    xlabel: str,
    ylabel: str,
    columns: int = 4,
    bins: int = 40,
    density: bool = False,
    width: float = 3.2,
) -> None:
    """Distributions over each other, one panel each.

    Args:
        path: of the PNG file.
        panels: (title, series name -> [k] values); a name has one colour throughout.
        xlabel: with its unit.
        ylabel: with its unit.
        columns: panels in a row.
        bins: over the range of all values of a panel.
        density: shows densities instead of counts, for series of different lengths.
        width: of a panel, in inches.
    """
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    colours = dict(
        zip(dict.fromkeys(name for _, series in panels for name in series), COLOURS, strict=False)
    )
    with _figure(path, rows, columns, width=width) as axes:
        for axis, (title, series) in zip(axes.flat, panels, strict=False):
            everything = np.concatenate(list(series.values()))
            edges = _edges(everything, bins)
            for name, values in series.items():
                axis.hist(
                    values,
                    edges,
                    density=density,
                    alpha=0.65,
                    color=colours[name],
                    label=name,
                    histtype='stepfilled',
                    edgecolor=colours[name],
                )
            axis.set_title(title)
            number_axis(axis.xaxis, edges[0], edges[-1])
        for axis in axes.flat[len(panels) :]:
            axis.set_visible(False)
        for axis in axes[-1]:
            axis.set_xlabel(xlabel)
        for axis in axes[:, 0]:
            axis.set_ylabel(ylabel)
        _legend(axes)


def number_axis(axis: matplotlib.axis.Axis, low: float, high: float) -> None:
    """Few numbers along a linear or logarithmic axis, as short as distinguishes them.

    Args:
        axis: the x or y axis of a panel.
        low: the least value shown.
        high: the greatest.
    """
    largest = max(abs(low), abs(high))
    digits = 1 + max(2, math.ceil(math.log10(largest / (high - low))) + 1)
    axis.set_major_locator(matplotlib.ticker.MaxNLocator(_NUMBERS))
    axis.set_major_formatter(lambda x, _: f'{x:.{digits}g}')
    axis.set_minor_formatter(matplotlib.ticker.NullFormatter())


def _edges(values: np.ndarray, bins: int) -> np.ndarray:
    """[bins + 1] float64 edges over all values, apart even where the values hardly are."""
    low, high = float(values.min()), float(values.max())
    least = 1e-6 * max(abs(low), abs(high), 1e-30)
    return np.linspace(low - least, high + least, bins + 1)


def bundles(
    path: str | os.PathLike, panels: Sequence[tuple[str, np.ndarray]], *, xlabel: str, ylabel: str
) -> None:
    """Many thin lines a panel, as the paper's figure 2.

    Args:
        path: of the PNG file.
        panels: (title, [m, k] values over 0, 1, ..., k - 1).
        xlabel: with its unit.
        ylabel: with its unit.
    """
    with _figure(path, 1, len(panels)) as axes:
        for number, (axis, (title, lines)) in enumerate(zip(axes.flat, panels, strict=True)):
            axis.plot(lines.T, color=COLOURS[number % 2], alpha=0.5, linewidth=0.9)
            axis.set_title(title)
            axis.set_xlabel(xlabel)
            axis.set_ylim(bottom=0)
        axes[0, 0].set_ylabel(ylabel)


def lines(
    path: str | os.PathLike,
    panels: Sequence[tuple[str, Sequence[Line]]],
    *,
    xlabel: str,
    ylabel: str,
    xscale: str = 'linear',
    yscale: str = 'linear',
    percent: bool = False,
    whole: bool = True,
    markers: bool = True,
    sharey: bool = True,
    xticks: Sequence[float] | None = None,
    xnames: Sequence[str] | None = None,
    width: float = 3.6,
    marks: Sequence[float] = (),
) -> None:
    """Lines with bands, one panel each.

    Args:
        path: of the PNG file.
        panels: (title, lines); the names are the same in all panels.
        xlabel: with its unit.
        ylabel: with its unit.
        xscale: matplotlib's name of the scale.
        yscale: matplotlib's name of the scale.
        percent: y is a share and shown as such.
        whole: the scale of shares is always 0% to 100%.
        markers: marks the points that were measured.
        sharey: one scale for all panels.
        xticks: where the axis is labelled; None leaves it to matplotlib.
        xnames: the labels there; None shows the numbers.
        width: of a panel, in inches.
        marks: positions of vertical lines.
    """
    with _figure(path, 1, len(panels), width=width, height=2.9, sharey=sharey) as axes:
        for axis, (title, series) in zip(axes.flat, panels, strict=True):
            for number, line in enumerate(series):
                style = {'color': COLOURS[number], 'label': line.name}
                axis.plot(
                    line.x,
                    line.y,
                    marker=MARKERS[number] if markers else None,
                    markersize=4,
                    **style,
                )
                if line.low is not None:
                    axis.fill_between(
                        line.x, line.low, line.high, color=style['color'], alpha=0.2, linewidth=0
                    )
            for mark in marks:
                axis.axvline(mark, color='grey', linewidth=1, linestyle='--')
            axis.set(title=title, xlabel=xlabel, xscale=xscale, yscale=yscale)
            low, high = axis.get_ylim()
            if yscale == 'log' and high < 10 * low:  # powers of ten alone would say nothing
                number_axis(axis.yaxis, low, high)
            if xticks is not None:
                axis.set_xticks(xticks, xnames or [f'{tick:g}' for tick in xticks])
                axis.minorticks_off()
            if percent and whole:
                axis.set_ylim(-0.02, 1.02)
            if percent:
                axis.yaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1.0))
        axes[0, 0].set_ylabel(ylabel if whole or not percent else f'{ylabel} (axis cut)')
        _legend(axes)


def bars(
    path: str | os.PathLike,
    groups: Sequence[str],
    series: dict[str, Sequence[Sequence[float]]],
    *,
    papers: dict[str, Sequence[float | None]],
) -> None:
    """Accuracies as bars with intervals, beside the paper's.

    Args:
        path: of the PNG file.
        groups: names of the groups of bars.
        series: name -> (accuracy, lower end, upper end) of each group.
        papers: name -> the paper's accuracy of each group, or None.
    """
    width = 0.8 / len(series)
    with _figure(path, 1, 1, width=5.5, height=2.9) as axes:
        axis = axes[0, 0]
        for number, (name, values) in enumerate(series.items()):
            x = np.arange(len(groups)) + (number - (len(series) - 1) / 2) * width
            middle, low, high = np.array(values).T
            axis.bar(
                x,
                middle,
                width * 0.9,
                color=COLOURS[number],
                label=name,
                yerr=(middle - low, high - middle),
                ecolor='black',
                capsize=2,
            )
            known = [
                (place, paper)
                for place, paper in zip(x, papers[name], strict=True)
                if paper is not None
            ]
            if known:
                axis.scatter(
                    *zip(*known, strict=True),
                    marker='D',
                    s=22,
                    facecolors='white',
                    edgecolors='black',
                    zorder=3,
                    label='the paper',
                )
        axis.set_xticks(range(len(groups)), groups)
        axis.set(ylabel='accuracy', ylim=(-0.02, 1.02))
        axis.yaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1.0))
        _legend(axes)


def heatmap(
    path: str | os.PathLike,
    values: np.ndarray,
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    ylabel: str,
    xlabel: str,
    title: str,
    form: str = '.1%',
    low: float = 0.0,
    high: float = 1.0,
) -> None:
    """A matrix of colours with its numbers.

    Args:
        path: of the PNG file.
        values: [rows, columns]; NaN is left blank.
        rows: names of the rows.
        columns: names of the columns.
        ylabel: what the rows are.
        xlabel: what the columns are.
        title: a line.
        form: format of the numbers.
        low: value of the darkest colour; less where a value is less.
        high: value of the lightest.
    """
    low = min(low, float(np.nanmin(values)))
    size = 0.62 * max(len(rows), len(columns)) + 1.6
    with _figure(path, 1, 1, width=size + 0.6, height=size) as axes:
        axis = axes[0, 0]
        axis.imshow(values, cmap='cividis', vmin=low, vmax=high)
        axis.grid(visible=False)
        axis.set_xticks(range(len(columns)), columns, rotation=45, ha='right')
        axis.set_yticks(range(len(rows)), rows)
        axis.set(title=title, xlabel=xlabel, ylabel=ylabel)
        for (row, column), value in np.ndenumerate(values):
            if np.isfinite(value):
                dark = (value - low) / (high - low) < 0.5
                axis.text(
                    column,
                    row,
                    format(value, form),
                    ha='center',
                    va='center',
                    fontsize=7,
                    color='white' if dark else 'black',
                )


def images(
    path: str | os.PathLike,
    grid: Sequence[Sequence[np.ndarray]],
    *,
    rows: Sequence[str],
    titles: Sequence[Sequence[str]],
    lower: float,
    upper: float,
) -> None:
    """Rows of images.

    Args:
        path: of the PNG file.
        grid: [rows][columns] images [height, width, 1 or 3] in pixel units.
        rows: what each row shows.
        titles: [rows][columns] words above each image.
        lower: pixel value shown as black.
        upper: pixel value shown as white.
    """
    with _figure(path, len(grid), len(grid[0]), width=1.0, height=1.2) as axes:
        for row, (images_of_row, words) in enumerate(zip(grid, rows, strict=True)):
            for column, image in enumerate(images_of_row):
                axis = axes[row, column]
                shown = np.clip((image - lower) / (upper - lower), 0, 1)
                axis.imshow(shown.squeeze(), cmap='gray', vmin=0, vmax=1, interpolation='nearest')
                axis.set(xticks=[], yticks=[])
                axis.grid(visible=False)
                axis.set_title(titles[row][column], fontsize=7, pad=2)
            axes[row, 0].set_ylabel(words, fontsize=8)
