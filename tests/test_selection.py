import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastup.pairs import selection

counts = st.lists(st.integers(1, 400), min_size=1, max_size=40)


def test_the_middle_of_each_hold_is_taken():
    drawing = [0, 0, 0, 1, 2, 2, 2, 2, -1, 3, 3]
    usable = [1, 1, 1, 0, 1, 0, 1, 1, 1, 0, 1]
    assert selection.middles(drawing, usable).tolist() == [1, 6, 10]


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(0, 63)), max_size=12))
def test_middles_are_nearest_to_the_middle_of_what_is_usable(holds):
    drawing, usable = [], []
    for number, (length, bits) in enumerate(holds):
        drawing += [number] * length
        usable += [bool(bits >> k & 1) for k in range(length)]
    chosen, start = selection.middles(drawing, usable).tolist(), 0
    for length, _ in holds:
        own = [k for k in range(start, start + length) if usable[k]]
        middle = start + (length - 1) / 2
        expected = [min(own, key=lambda k: (abs(k - middle), k))] if own else []
        assert [k for k in chosen if start <= k < start + length] == expected
        start += length


@given(st.integers(0, 30), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_spread_takes_the_farthest_each_time(n, d, seed):
    points = np.random.default_rng(seed).integers(0, 5, (n, d)).astype(np.float32)
    order = selection.spread(points).tolist()
    assert sorted(order) == list(range(n))
    if n:
        assert order[0] == np.argmax(((points - points.mean(0, dtype=float)) ** 2).sum(1))
    for k in range(1, n):
        off = ((points[:, None] - points[order[:k]]) ** 2).sum(-1).min(1)
        assert off[order[k]] == max(off[other] for other in range(n) if other not in order[:k])
    assert selection.spread(points, 3).tolist() == order[:3]


def test_shots_that_show_one_picture_are_of_one_group():
    rng = np.random.default_rng(0)
    signatures = rng.standard_normal((8, 200)).astype(np.float32)
    signatures[6] = 3 * signatures[1] + 0.1 * rng.standard_normal(200)  # as another master of it, in another shot
    found = selection.groups([0, 0, 1, 1, 2, 2, 3, 4], signatures, [0, 1, 2, 3, 4, 5, 6, 2])
    assert found.tolist() == [0, 0, 1, 1, 2, 2, 0, 1]


@given(counts)
def test_sets_come_near_to_their_shares(sizes):
    found = selection.sets(sizes)
    got = {name: sum(size for size, own in zip(sizes, found, strict=True) if own == name) for name in selection.SETS}
    assert got["train"] > 0
    assert (got["validation"] > 0) == (len(sizes) > 1)
    assert (got["evaluation"] > 0) == (len(sizes) >= selection.ENOUGH)
    assert found == selection.sets(sizes)
    if len(sizes) >= selection.ENOUGH:
        for name, share in zip(selection.SETS, selection.SHARES, strict=True):
            assert abs(got[name] - share * sum(sizes)) <= 2 * max(sizes)


@settings(max_examples=20)
@given(st.integers(0, 1000), st.integers(100, 500))
def test_many_small_shots_are_shared_out_to_a_few_percent(seed, n):
    sizes = np.random.default_rng(seed).integers(5, 30, n).tolist()
    found = np.array(selection.sets(sizes))
    got = [np.sum(np.array(sizes)[found == name]) / sum(sizes) for name in selection.SETS]
    assert np.abs(np.subtract(got, selection.SHARES)).max() < 0.04


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match="usable"):
        selection.middles([0, 1], [True])
    with pytest.raises(ValueError, match="features"):
        selection.spread(np.zeros(4, np.float32))
