"""Codes of one white as codes of another."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastup.codes import scaled

WHITES = [1, 255, 1023, 4095, 65535, 2**31 - 1]


@given(st.sampled_from(WHITES), st.sampled_from(WHITES), st.data())
def test_the_nearest_code_and_halves_go_up(white, new_white, data):
    code = data.draw(st.integers(0, white))
    assert scaled(code, white, new_white) == floor(Fraction(code * new_white, white) + Fraction(1, 2))


@pytest.mark.parametrize("kind", [np.int64, np.uint64])
def test_arrays_of_codes(kind):
    for white in WHITES[:-1]:
        codes = np.unique(np.linspace(0, white, 2000).astype(kind))
        for new_white in WHITES[:-1]:
            made = scaled(codes, white, new_white)
            assert made.dtype == kind
            assert made.tolist() == [scaled(int(code), white, new_white) for code in codes]
    assert scaled(np.array([-3, -2, -1]), 4, 2).tolist() == [-1, -1, 0]
