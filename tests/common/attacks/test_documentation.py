"""The examples in the documentation run, with the results they promise."""

import doctest

import pytest

from common.attacks import compiled, pgd


@pytest.mark.parametrize('module', [compiled, pgd])
def test_examples_run(module):
    results = doctest.testmod(module)
    assert results.attempted > 0 == results.failed
