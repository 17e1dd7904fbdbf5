"""The hosts of a computation: shares, sums, and what is said when one is lost."""

import numpy as np
import pytest
import tensorflow as tf

from common import distribution
from common.distribution import Hosts, make_strategy
from common.errors import UserError


def test_without_tf_config_a_host_is_alone(monkeypatch, capsys):
    monkeypatch.delenv('TF_CONFIG', raising=False)
    hosts = distribution.join()
    assert hosts == distribution.hosts() == Hosts.of(tf.distribute.get_strategy()) == Hosts()
    assert hosts.first and hosts.share([3, 4, 5]) == [3, 4, 5]
    assert hosts.gather(np.array([1, 2])).tolist() == [[1, 2]]
    with hosts.first_prints():
        print('printed')
    assert capsys.readouterr().out == 'printed\n'


def test_shares_are_disjoint_complete_and_even():
    items = list(range(11))
    shares = [Hosts(4, index).share(items) for index in range(4)]
    assert sorted(sum(shares, [])) == items
    assert {len(share) for share in shares} == {2, 3}


def test_the_others_do_not_print(capsys):
    with Hosts(2, 1).first_prints():
        print('printed')
    assert capsys.readouterr().out == ''


@pytest.mark.parametrize('values', [np.array([-1, 0, 7]), np.array([[0.1], [np.inf]], np.float32)])
def test_sums_are_exact_and_keep_the_shape(values):
    total = Hosts(strategy=tf.distribute.MirroredStrategy(['CPU:0'])).sum(values)
    assert total.dtype == np.float64
    np.testing.assert_array_equal(total.astype(values.dtype), values)


class Broken:
    num_replicas_in_sync = 2

    def experimental_distribute_values_from_function(self, value_fn):
        raise tf.errors.UnavailableError(None, None, 'Socket closed')


def test_a_lost_host_is_told():
    with pytest.raises(UserError, match=r'all 2 hosts; one has stopped.*Socket closed.*again'):
        Hosts(2, 0, Broken()).sum(np.zeros(3))


@pytest.mark.parametrize('start', [make_strategy, distribution.join])
@pytest.mark.parametrize(
    'value',
    [
        '{',
        '[1]',
        '"a"',
        '{"cluster": []}',
        '{"cluster": null}',
        '{"cluster": {"worker": null}}',
        '{"cluster": {"worker": ["127.0.0.1:1", "127.0.0.1:2"]}}',
        '{"cluster": {"worker": ["127.0.0.1:1", "127.0.0.1:2"]}, '
        '"task": {"type": "worker", "index": 7}}',
    ],
)
def test_a_broken_tf_config_is_refused(monkeypatch, value, start):
    monkeypatch.setenv('TF_CONFIG', value)
    with pytest.raises(UserError, match='TF_CONFIG: expected a JSON object'):
        start()
