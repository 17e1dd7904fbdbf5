"""Which of the paper's networks one is compared with."""

import pytest

import cifar10.sources
import mnist.sources
from common.networks.registry import stands_for


@pytest.mark.parametrize(
    'data_set, reference, expected',
    [
        (mnist, 'A_nat', 'A_nat'),
        (mnist, 'models/mine', 'A'),
        # Trained for the greatest worst-case accuracy: nothing that the paper has.
        (mnist, 'A_best', 'A_best'),
        # The paper's network, trained longer than A.
        (cifar10, 'A_best', 'A'),
        (cifar10, 'A_prime', 'A_prime'),
        (cifar10, 'models/mine', 'A'),
    ],
)
def test_the_papers_network(data_set, reference, expected):
    assert stands_for(reference, data_set.sources.SOURCES) == expected
