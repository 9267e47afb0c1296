import numpy as np

from tether.data.order import epoch_order


def test_it_is_a_permutation() -> None:
    order = epoch_order(100, seed=3, epoch=5)
    assert order.dtype == np.int64
    assert sorted(order) == list(range(100))
    assert epoch_order(0, 0, 0).tolist() == []


def test_it_depends_on_seed_and_epoch_and_on_nothing_else() -> None:
    before = epoch_order(100, 1, 2)
    np.random.default_rng().permutation(7)
    epoch_order(100, 1, 1)
    np.testing.assert_array_equal(before, epoch_order(100, 1, 2))
    orders = {epoch_order(100, seed, epoch).tobytes() for seed in range(4) for epoch in range(4)}
    assert len(orders) == 16


def test_every_place_is_as_likely() -> None:
    places = np.array([np.argmin(epoch_order(10, seed, epoch)) for seed in range(20) for epoch in range(100)])
    counts = np.bincount(places, minlength=10)
    assert ((counts - 200) ** 2 / 200).sum() < 27.9  # chi-squared of 9 degrees, one in a thousand
