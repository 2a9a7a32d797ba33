"""Trims: as they are written, and what they leave of a frame."""

import json
from math import nan

import numpy as np
import pytest

import fastup
from fastup.errors import OptionError
from fastup.trim import UNTRIMMED, Trim


@pytest.mark.parametrize("value", ["1,2,3,4", " 1, 2,3 ,4", [1, 2, 3, 4], (1, 2, 3, 4), np.arange(1, 5).tolist()])
def test_what_is_a_trim(value):
    trim = Trim.parse(value)
    assert trim == Trim(left=1, right=2, top=3, bottom=4) == (1, 2, 3, 4)
    assert json.dumps({"trim": trim}) == '{"trim": [1, 2, 3, 4]}'
    assert Trim.parse(json.loads(json.dumps(trim))) == trim


@pytest.mark.parametrize(
    "value",
    ["", "1,2,3", "1,2,3,4,5", "a,b,c,d", "1.5,0,0,0", "-1,0,0,0", (1, 2, 3), [1, 2, 3, 4, 5], (0, 0, 0.5, 0),
     (0, 0, 0, nan), (0, 0, 0, True), (-1, 0, 0, 0), ([1], 2, 3, 4), 240, None],
)  # fmt: skip
def test_what_is_no_trim(value):
    with pytest.raises(OptionError) as caught:
        Trim.parse(value, "input-trim")
    assert str(caught.value).startswith(f"input-trim is {value!r}, expected four ")


def test_what_it_leaves(tmp_path):
    frame = np.random.default_rng(0).integers(0, 1024, (10, 20, 3), np.uint16)
    trim = Trim(1, 2, 3, 4)
    picture = trim.crop(frame)
    np.testing.assert_array_equal(picture, frame[3:6, 1:18])
    assert picture.shape[:2] == trim.picture((10, 20)) == (3, 17)
    assert np.shares_memory(picture, frame)
    np.testing.assert_array_equal(UNTRIMMED.crop(frame), frame)
    fastup.write(tmp_path / "f.dpx", frame)
    assert trim.window((10, 20)) == (3, 1, 3, 17)
    np.testing.assert_array_equal(fastup.read(tmp_path / "f.dpx", window=trim.window((10, 20))), picture)


@pytest.mark.parametrize("trim", [(10, 10, 0, 0), (0, 0, 4, 6), (0, 99, 0, 0)])
def test_a_trim_that_leaves_nothing(trim):
    with pytest.raises(OptionError, match=f"^input-trim is {','.join(map(str, trim))}, .* nothing of .* 20x10$"):
        Trim(*trim).picture((10, 20), "input-trim")
    for method, argument in (("window", (10, 20)), ("crop", np.zeros((10, 20, 3)))):
        with pytest.raises(OptionError, match=r"^trim is"):
            getattr(Trim(*trim), method)(argument)
