"""The examples in the documentation run, with the results they promise."""

import doctest

import pytest

from common.attacks import compiled, on_arrays, pgd


@pytest.mark.parametrize('module', [compiled, on_arrays, pgd])
def test_examples_run(module):
    results = doctest.testmod(module)
    assert results.attempted > 0 == results.failed
