"""The labels along the axes of the figures."""

import numpy as np
import pytest

pytest.importorskip('matplotlib')

from matplotlib.figure import Figure  # noqa: E402

from common.report import plots  # noqa: E402


def labels(axis):
    axis.figure.draw_without_rendering()
    low, high = sorted(axis.get_view_interval())
    return [
        text.get_text()
        for which in ('majorticklabels', 'minorticklabels')
        for text, tick in zip(
            getattr(axis, f'get_{which}')(),
            axis.get_ticklocs(minor=which.startswith('minor')),
            strict=True,
        )
        if low <= tick <= high and text.get_text()
    ]


@pytest.mark.parametrize('scale', ['linear', 'log'])
@pytest.mark.parametrize(
    'low, high',
    [
        (2.5304, 2.5442),
        (1.1398, 1.1441),
        (1e-8, 3e-8),
        (0.01, 9.0),
        (31.0, 44.0),
        (1.15, 2.45),
        (7.000001, 7.000009),
    ],
)
def test_numbers_along_an_axis_are_few_short_and_apart(low, high, scale):
    axis = Figure().subplots()
    axis.set(xlim=(low, high), xscale=scale)
    plots.number_axis(axis.xaxis, low, high)
    shown = labels(axis.xaxis)
    assert 2 <= len(shown) <= 6
    assert len(set(shown)) == len(shown)
    values = np.array(shown, float)
    assert np.all(np.diff(values) > 0) and low * 0.99 <= values[0] and values[-1] <= high * 1.01
    assert all(len(text) <= 9 for text in shown)


@pytest.mark.parametrize('values, expected', [((1.2, 2.4), True), ((1e-4, 2.0), False)])
def test_a_logarithmic_axis_of_less_than_a_power_of_ten_has_plain_numbers(
    tmp_path, monkeypatch, values, expected
):
    called = []
    monkeypatch.setattr(plots, 'number_axis', lambda *_: called.append(True))
    plots.lines(
        tmp_path / 'p.png',
        [('', [plots.Line('loss', [0, 1], values)])],
        xlabel='step',
        ylabel='loss',
        yscale='log',
    )
    assert bool(called) == expected and (tmp_path / 'p.png').stat().st_size > 1000
