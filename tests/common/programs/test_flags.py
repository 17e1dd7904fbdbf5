"""Shared flags: a radius that looks like a mistake gets a warning; paths."""

import types

import pytest
from absl import flags

from common.programs import flags as shared_flags
from common.programs.flags import checked_ball
from common.threat_model import LinfBall


def pixels(lower, upper):
    """What `checked_ball` needs to know about a data set."""
    return types.SimpleNamespace(
        lower=lower, upper=upper, ball=lambda epsilon: LinfBall(epsilon, lower, upper)
    )


@pytest.mark.parametrize(
    'epsilon, lower, upper',
    [
        (0.3, 0, 1),
        (0.499, 0, 1),
        (127, 0, 255),
        # Small but plausible: no perturbation at all, one grey level, ranges of about 1.
        (0, 0, 255),
        (1, 0, 255),
        (0.001, 0, 1),
        (0.01, -1, 1),
    ],
)
def test_usual_balls_pass_silently(epsilon, lower, upper, capsys):
    assert checked_ball(pixels(lower, upper), epsilon, float('inf')) == LinfBall(
        epsilon, lower, upper
    )
    assert capsys.readouterr() == ('', '')


@pytest.mark.parametrize('epsilon, lower, upper', [(0.5, 0, 1), (8, 0, 1), (127.5, 0, 255)])
def test_warns_of_balls_no_classifier_can_withstand(epsilon, lower, upper, capsys):
    assert checked_ball(pixels(lower, upper), epsilon, float('inf')) == LinfBall(
        epsilon, lower, upper
    )
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith(f'warning: --epsilon={epsilon:g} ') and err.count('\n') == 1


@pytest.mark.parametrize('epsilon', [8 / 255, 0.3, 0.999])
@pytest.mark.parametrize('lower, upper', [(0, 255), (-128, 127)])
def test_warns_of_a_radius_meant_for_pixels_from_0_to_1(epsilon, lower, upper, capsys):
    assert checked_ball(pixels(lower, upper), epsilon, float('inf')) == LinfBall(
        epsilon, lower, upper
    )
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith(f'warning: --epsilon={epsilon:g} ') and err.count('\n') == 1
    assert f'pixels are {lower} to {upper}' in err
    assert '8/255 = 0.031 there is --epsilon=8.' in err


@pytest.mark.parametrize(
    'reach, warns',
    [(0.1, True), (0.29, True), (0.3, False), (10 * 0.03, False), (0.4, False), (0.0, False)],
)
def test_warns_of_steps_that_cannot_cross_the_ball(reach, warns, capsys):
    assert checked_ball(pixels(0, 1), 0.3, reach) == LinfBall(0.3, 0, 1)
    out, err = capsys.readouterr()
    assert not out
    assert (err.count('\n'), err.startswith('warning: --steps times --step_size is ')) == (
        (1, True) if warns else (0, False)
    )


def test_the_output_folder_may_be_written_as_a_tilde(run_program, tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    found = []
    program = types.SimpleNamespace(
        __name__='prog',
        main=lambda: found.append(flags.FLAGS.output_dir),
        define_flags=shared_flags.define_output_dir,
    )
    assert run_program(program, '--output_dir=~/tables')[0] == 0
    assert run_program(program)[0] == 0
    assert found == [f'{tmp_path}/tables', 'results']
