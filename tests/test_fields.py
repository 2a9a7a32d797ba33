"""Kernels of interlaced video against their twins."""

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastup import _fields


@given(
    height=st.integers(16, 70), width=st.integers(16, 70), bits=st.sampled_from([8, 10, 16]), seed=st.integers(0, 99)
)
@settings(deadline=None, max_examples=40)
def test_compare_equals_its_twin(height, width, bits, seed):
    rng = np.random.default_rng(seed)
    kind = np.uint8 if bits == 8 else np.uint16
    frame, before = rng.integers(0, 1 << bits, (2, height, width)).astype(kind)
    for ours, twin in zip(_fields.compare(frame, before), naive.compare_fields(frame, before), strict=True):
        np.testing.assert_allclose(ours, twin, rtol=1e-4, atol=1e-2 * (1 << bits) / 256)


def test_compare_takes_rows_that_are_apart():
    frames = np.random.default_rng(0).integers(0, 256, (2, 32, 50), np.uint8)
    ours = _fields.compare(frames[0, :, 2:45], frames[1, :, 2:45])
    for a, b in zip(ours, _fields.compare(frames[0, :, 2:45].copy(), frames[1, :, 2:45].copy()), strict=True):
        np.testing.assert_array_equal(a, b)


@given(
    height=st.integers(1, 9), width=st.integers(1, 31), channels=st.sampled_from([3, 4]),
    kind=st.sampled_from([np.uint8, np.uint16]), most=st.sampled_from([1, 255, 1023, 65535]), seed=st.integers(0, 99),
)  # fmt: skip
@settings(deadline=None, max_examples=60)
def test_luma_equals_its_twin(height, width, channels, kind, most, seed):
    most = min(most, np.iinfo(kind).max)
    frame = np.random.default_rng(seed).integers(0, most + 1, (height, width, channels)).astype(kind)
    frame[0, 0] = most
    ours = _fields.luma(frame)
    assert ours.dtype == kind
    np.testing.assert_array_equal(ours, naive.quick_luma(frame))


@given(seed=st.integers(0, 10_000), count=st.integers(1, 5))
@settings(deadline=None, max_examples=60)
def test_the_cheapest_path_is_the_cheapest_of_all(seed, count):
    rng = np.random.default_rng(seed)
    follower, kind = np.array([1, 2, 0, 3], np.int8), np.array([0, 0, 0, 1], np.int8)
    entries = np.array([0, 2, 3], np.int8)
    cost, jump = rng.normal(0, 3, (count, 4)).astype(np.float32), rng.uniform(0, 4, count).astype(np.float32)
    path, through, total = _fields.cheapest(cost, jump, follower, kind, entries, 1.5)
    least = naive.cheapest_path(cost.astype(float), jump, follower, kind, entries, 1.5)
    assert total == pytest.approx(least.min(), abs=1e-4)
    np.testing.assert_allclose(through + total, least, atol=1e-3)
    np.testing.assert_allclose(least[np.arange(count), path], total, atol=1e-3)
