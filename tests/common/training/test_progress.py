"""Speed and remaining time of a training, by a clock that the tests turn."""

import pytest

from common.training.progress import Progress, duration


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def steps(progress, clock, count, seconds):
    for _ in range(count):
        clock.now += seconds
        progress.stepped()


def test_the_first_step_is_compiled_and_counts_for_nothing(clock):
    progress = Progress(0, 101, 50, clock)
    steps(progress, clock, 1, 1000.0)
    assert progress.rate is None and progress.seconds_left is None
    steps(progress, clock, 4, 0.5)
    assert progress.rate == 100.0
    assert progress.seconds_left == 96 * 0.5


def test_pauses_delay_the_end_but_are_not_the_speed(clock):
    progress = Progress(0, 101, 50, clock)
    with progress.paused():  # before the first step is over, it is no part of anything
        clock.now += 7.0
    steps(progress, clock, 3, 0.5)
    with progress.paused():
        clock.now += 9.0
    assert progress.rate == 100.0
    assert progress.seconds_left == 98 * (1.0 + 9.0) / 2


@pytest.mark.parametrize(
    'seconds, told_after, words',
    [
        (0.25, 11, '99,989 steps at 200 examples/s: about 6.9 hours'),
        (6.0, 3, '99,997 steps at 8 examples/s: about 6.9 days'),
        (60.0, 2, '99,998 steps at 1 examples/s: about 69.4 days'),
    ],
)
def test_the_first_estimate_comes_once_and_soon(clock, seconds, told_after, words):
    progress = Progress(0, 100_000, 50, clock)
    for step in range(1, 30):
        steps(progress, clock, 1, seconds)
        estimate = progress.first_estimate()
        assert (estimate is not None) == (step == told_after)
        if estimate is not None:
            assert estimate == (words, pytest.approx(seconds * (100_000 - step)))


def test_a_resumed_run_counts_what_is_left(clock):
    progress = Progress(99_000, 100_000, 50, clock)
    steps(progress, clock, 11, 0.5)
    assert progress.first_estimate()[0] == '989 steps at 100 examples/s: about 8 minutes'


def test_early_steps(clock):
    progress, early = Progress(300, 1000, 50, clock), []
    for step in range(100):
        if progress.is_early():
            early.append(step)
        progress.stepped()
    assert early == [0, 1, 2, 5, 10, 20, 50]


def test_silence(clock):
    progress = Progress(0, 10, 1, clock)
    clock.now += 59.0
    assert not progress.is_silent()
    clock.now += 1.0
    assert progress.is_silent()
    progress.told()
    assert not progress.is_silent()


@pytest.mark.parametrize(
    'seconds, words',
    [
        (0.2, '0 seconds'),
        (1.0, '1 second'),
        (90.4, '90 seconds'),
        (91.0, '2 minutes'),
        (3534.0, '59 minutes'),
        (5075.0, '85 minutes'),
        (23_800.0, '6.6 hours'),
        (3600.0 * 48.1, '2.0 days'),
    ],
)
def test_durations(seconds, words):
    assert duration(seconds) == words
