"""Every option is checked, and the error names it, what was found and what was expected."""

import subprocess
import sys
from dataclasses import FrozenInstanceError, asdict
from math import inf, nan

import pytest

from fastup.errors import OptionError
from fastup.train.config import ARCHITECTURES, Config

BAD = {
    "model": [("unet", "one of srcnn, vdsr, espcn, compact"), (None, "one of"), (["compact"], "one of")],
    "tile": [(0, "1 or more"), (-72, "1 or more"), (72.5, "whole"), ("72", "whole"), (True, "whole"), (nan, "whole")],
    "border": [(-1, "0 or more"), (1.5, "whole"), ("2", "whole"), (inf, "whole")],
    "trim": [
        ((240, 240), "left, right, top, bottom"),
        ((-1, 0, 0, 0), "left, right, top, bottom"),
        ((0, 0, 0.5, 0), "left, right, top, bottom"),
        ((0, 0, 0, nan), "left, right, top, bottom"),
        ("0,0,0,0", "left, right, top, bottom"),
        (240, "left, right, top, bottom"),
        (None, "left, right, top, bottom"),
    ],
    "input_trim": [((1, 2, 3), "left, right, top, bottom"), ((0, 0, 0, -2), "left, right, top, bottom")],
    "black_level": [(-1, "0 to 65535"), (65536, "0 to 65535"), ("grey", "edge"), (None, "edge"), (0.5, "whole")],
    "quality": [(0, "more than 0"), (-0.5, "more than 0"), (1.01, "at most 1"), (nan, "0"), ("all", "0"), (None, "0")],
    "jitter": [(1, "True or False"), ("no", "True or False"), (None, "True or False")],
    "skip": [(-1, "0 to 3"), (4, "0 to 3"), (1.5, "whole"), (None, "0 to 3")],
    "shuffle": [(0, "True or False"), ("yes", "True or False")],
    "residual": [(0, "True or False"), ("no", "True or False")],
    "epochs": [(0, "1 or more"), (-3, "1 or more"), (2.5, "whole"), (inf, "whole"), (None, "1 or more")],
    "minutes": [(0, "more than 0"), (-1, "more than 0"), (nan, "more than 0"), (inf, "more than 0"), ("1", "0")],
    "learning_rate": [(0, "more than 0"), (-1e-3, "more than 0"), (1.5, "at most 1"), (nan, "0"), ("1e-3", "0")],
    "batch": [(0, "1 or more"), (2.5, "whole"), (None, "1 or more"), (True, "whole")],
    "seed": [(-1, "0 to 4294967295"), (2**32, "0 to 4294967295"), (0.5, "whole"), (None, "0 to")],
}
GOOD = {
    "model": list(ARCHITECTURES),
    "tile": [None, 1, 10**6],
    "border": [None, 0, 18],
    "trim": [(240, 240, 0, 0), [1, 2, 3, 4]],
    "input_trim": [None, (0, 0, 3, 3)],
    "black_level": ["edge", 0, 64, 65535],
    "quality": [1e-6, 0.5, 1, 1.0],
    "jitter": [False],
    "skip": [0, 3],
    "shuffle": [False],
    "residual": [False],
    "epochs": [1, 10**6],
    "minutes": [None, 0.01, 600],
    "learning_rate": [None, 1e-9, 1],
    "batch": [1, 4096],
    "seed": [0, 2**32 - 1],
}


def test_every_option_is_tried_here():
    assert list(BAD) == list(GOOD) == list(asdict(Config()))


@pytest.mark.parametrize(("name", "value", "expected"), [(n, v, e) for n, bad in BAD.items() for v, e in bad], ids=repr)
def test_bad_values(name, value, expected):
    with pytest.raises(OptionError) as caught:
        Config(**{name: value})
    message = str(caught.value)
    assert message.startswith(f"{name.replace('_', '-')} is {value!r}, expected "), message
    assert expected in message.split("expected")[1]


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, good in GOOD.items() for v in good], ids=repr)
def test_good_values(name, value):
    assert getattr(Config(**{name: value}), name) == value


def test_the_architectures_are_the_models():
    from fastup.train.models import MODELS

    assert tuple(MODELS) == ARCHITECTURES


def test_a_config_is_fixed():
    with pytest.raises(FrozenInstanceError):
        Config().tile = 3


def test_options_cost_no_keras():
    script = "import sys, fastup.train.config; assert not {'keras', 'tensorflow', 'numba'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
