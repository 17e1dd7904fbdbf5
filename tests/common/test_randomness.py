"""Seeds derived from seeds."""

from common.randomness import layer_seeds


def test_the_same_seed_gives_the_same_seeds_and_fewer_are_a_prefix():
    assert layer_seeds(3, 5) == layer_seeds(3, 5)
    assert layer_seeds(3, 2) == layer_seeds(3, 5)[:2]


def test_nearby_seeds_share_none():
    seeds = [seed for start in range(200) for seed in layer_seeds(start, 6)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**31 for seed in seeds)
