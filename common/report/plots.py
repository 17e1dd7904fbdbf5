"""The project's figures: one look for all, and the only place that knows matplotlib."""

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import matplotlib.ticker
import numpy as np
from matplotlib.figure import Figure

from common.files import replacing
from common.report.exhibit import Line

# Okabe and Ito's colours, distinct for every kind of colour vision.
COLOURS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9', '#000000')
MARKERS = 'os^Dv<>'
_NUMBERS = 4  # along an axis, or one more
_BINS = 40  # over the range of all values of a panel
_MARKED = 20  # points of a line up to which each has a marker
_COLUMNS = 4  # panels of histograms in a row
_PERCENT = matplotlib.ticker.PercentFormatter(1.0)
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
    path: Path,
    rows: int = 1,
    columns: int = 1,
    *,
    width: float | None = None,
    height: float = 2.9,
    sharey: bool = False,
) -> Iterator[np.ndarray]:
    """Yields [rows, columns] axes of that size in inches, and writes them as a PNG."""
    width = width or (5.5 if columns == 1 else 3.4)
    with matplotlib.rc_context(_STYLE):
        figure = Figure((width * columns, height * rows), layout='constrained')
        yield figure.subplots(rows, columns, squeeze=False, sharey=sharey)
        with replacing(path, suffix='.png') as temporary:
            figure.savefig(temporary, metadata={'Software': None})


def _legend(axes: np.ndarray) -> None:
    """One legend under all panels."""
    handles = {}
    for axis in axes.flat:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    axes.flat[0].figure.legend(
        handles.values(), handles.keys(), loc='outside lower center', ncols=2 * axes.shape[1]
    )


def histograms(
    path: Path, panels: Sequence[tuple[str, dict[str, np.ndarray]]], *, xlabel: str
) -> None:
    """Densities over each other, one panel each.

    Args:
        path: of the PNG file.
        panels: (title, series name -> [k] values), one or full rows of them; a name has one colour
            throughout.
        xlabel: with its unit.
    """
    columns = min(_COLUMNS, len(panels))
    names = list(dict.fromkeys(name for _, series in panels for name in series))
    with _figure(path, len(panels) // columns, columns, height=2.6) as axes:
        for axis, (title, series) in zip(axes.flat, panels, strict=True):
            edges = _edges(np.concatenate(list(series.values())))
            for name, values in series.items():
                colour = COLOURS[names.index(name)]
                style = {'color': colour, 'edgecolor': colour, 'histtype': 'stepfilled'}
                axis.hist(values, edges, density=True, alpha=0.65, label=name, **style)
            axis.set_title(title)
            number_axis(axis.xaxis, edges[0], edges[-1])
        for axis in axes[-1]:
            axis.set_xlabel(xlabel)
        for axis in axes[:, 0]:
            axis.set_ylabel('density')
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


def _edges(values: np.ndarray) -> np.ndarray:
    """Float64 edges over all values, apart even where the values hardly are."""
    low, high = float(values.min()), float(values.max())
    least = 1e-6 * max(abs(low), abs(high), 1e-30)
    return np.linspace(low - least, high + least, _BINS + 1)


def lines(
    path: Path,
    panels: Sequence[tuple[str, Sequence[Line]]],
    *,
    xlabel: str,
    ylabel: str,
    xscale: str = 'linear',
    yscale: str = 'linear',
    percent: bool = False,
    whole: bool = True,
    xticks: Sequence[float] | None = None,
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
        percent: y is a share and shown as such, on one scale for all panels.
        whole: the scale of shares is always 0% to 100%.
        xticks: where the axis is labelled; None leaves it to matplotlib.
        marks: positions of vertical lines.
    """
    with _figure(path, 1, len(panels), sharey=percent) as axes:
        for axis, (title, series) in zip(axes.flat, panels, strict=True):
            # Scales come first: set later, they would remove names along the axis.
            axis.set(title=title, xlabel=xlabel, xscale=xscale, yscale=yscale)
            for number, line in enumerate(series):
                marker = MARKERS[number] if len(line.x) <= _MARKED else None
                style = {'color': COLOURS[number], 'label': line.name}
                if np.ndim(line.y) == 2:
                    style |= {'alpha': 0.5, 'linewidth': 0.9}
                axis.plot(line.x, line.y, marker=marker, markersize=4, **style)
                if line.low is not None:
                    band = {'color': COLOURS[number], 'alpha': 0.2, 'linewidth': 0}
                    axis.fill_between(line.x, line.low, line.high, **band)
            for mark in marks:
                axis.axvline(mark, color='grey', linewidth=1, linestyle='--')
            low, high = axis.get_ylim()
            if yscale == 'log' and high < 10 * low:  # powers of ten alone would say nothing
                number_axis(axis.yaxis, low, high)
            if xticks is not None:
                axis.set_xticks(xticks, [f'{tick:g}' for tick in xticks])
                axis.minorticks_off()
            if percent:
                axis.yaxis.set_major_formatter(_PERCENT)
            if percent and whole:
                axis.set_ylim(-0.02, 1.02)
        axes[0, 0].set_ylabel(ylabel if whole or not percent else f'{ylabel} (axis cut)')
        _legend(axes)


def heatmap(
    path: Path,
    rows: Mapping[str, Sequence[float | None]],
    columns: Sequence[str],
    *,
    title: str,
    ylabel: str = '',
    xlabel: str = '',
    form: str = '.1%',
) -> None:
    """A matrix of colours with its numbers.

    Args:
        path: of the PNG file.
        rows: name -> a value for each column, up to 1, the lightest; None or NaN is left blank.
        columns: their names.
        title: a line.
        ylabel: what the rows are.
        xlabel: what the columns are.
        form: format of the numbers.
    """
    values = np.array(list(rows.values()), float)
    low = min(0.0, float(np.nanmin(values)))
    size = 0.62 * max(values.shape) + 1.6
    with _figure(path, width=size + 0.6, height=size) as axes:
        axis = axes[0, 0]
        axis.imshow(values, cmap='cividis', vmin=low, vmax=1)
        axis.grid(visible=False)
        axis.set_xticks(range(len(columns)), columns, rotation=45, ha='right')
        axis.set_yticks(range(len(rows)), rows)
        axis.set(title=title, xlabel=xlabel, ylabel=ylabel)
        style = {'ha': 'center', 'va': 'center', 'fontsize': 7}
        for (row, column), value in np.ndenumerate(values):
            if np.isfinite(value):
                colour = 'white' if (value - low) / (1 - low) < 0.5 else 'black'
                axis.text(column, row, format(value, form), color=colour, **style)


def images(
    path: Path,
    rows: Sequence[tuple[str, Sequence[np.ndarray], Sequence[str]]],
    *,
    lower: float,
    upper: float,
) -> None:
    """Rows of images.

    Args:
        path: of the PNG file.
        rows: (what the row shows, images [height, width, 1 or 3] in pixel units, words above
            each image).
        lower: pixel value shown as black.
        upper: pixel value shown as white.
    """
    with _figure(path, len(rows), len(rows[0][1]), width=1.0, height=1.2) as axes:
        for axes_of_row, (words, images_of_row, titles) in zip(axes, rows, strict=True):
            for axis, image, title in zip(axes_of_row, images_of_row, titles, strict=True):
                shown = np.clip((image - lower) / (upper - lower), 0, 1)
                axis.imshow(shown.squeeze(), cmap='gray', vmin=0, vmax=1, interpolation='nearest')
                axis.set(xticks=[], yticks=[])
                axis.grid(visible=False)
                axis.set_title(title, fontsize=7, pad=2)
            axes_of_row[0].set_ylabel(words, fontsize=8)
