"""Every option is checked, and the error names it, what was found and what was expected; where settings come from."""

import subprocess
import sys
import tomllib
from dataclasses import FrozenInstanceError, asdict, fields
from itertools import combinations
from math import inf, nan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastup.errors import OptionError
from fastup.train.config import (
    ABSENT,
    ARCHITECTURES,
    LOSSES,
    OPTIMIZERS,
    OPTIONS,
    SCHEDULES,
    Config,
    as_toml,
    read_toml,
    resolve,
)
from fastup.trim import Trim

BAD = {
    "model": [("unet", f"one of {', '.join(ARCHITECTURES)}"), (None, "one of"), (["compact"], "one of")],
    "epochs": [(0, "1 or more"), (-3, "1 or more"), (2.5, "whole"), (inf, "whole"), (None, "1 or more")],
    "minutes": [(0, "more than 0"), (-1, "0"), (nan, "0"), (inf, "0"), ("1", "0"), (10**400, "0"), (True, "0")],
    "patience": [(0, "1 or more"), (1.5, "whole"), ("1", "whole"), (True, "whole")],
    "training": [("", "text"), (3, "text"), ("a\udc80", "UTF-8")],
    "validation": [("", "text"), (3, "text")],
    "tile": [
        (0, "1 or more"),
        (-72, "1 or more"),
        (72.5, "whole"),
        ("72.5", "whole"),
        ("", "whole"),
        (True, "whole"),
        (nan, "whole"),
        ((72, 0), "1 or more"),
        ("72,60,60", "or two"),
        ((), "or two"),
        ((72, True), "whole"),
        ({"size": 72}, "whole"),
    ],
    "border": [
        (-1, "0 or more"),
        (1.5, "whole"),
        ("two", "whole"),
        (inf, "whole"),
        ("18,-4", "0 or more"),
        (None, "0"),
    ],
    "trim": [
        ((240, 240), "left,right,top,bottom"),
        ((-1, 0, 0, 0), "left,right,top,bottom"),
        ((0, 0, 0.5, 0), "left,right,top,bottom"),
        ((0, 0, 0, nan), "left,right,top,bottom"),
        ((0, 0, 0, True), "left,right,top,bottom"),
        ("0,0,0", "left,right,top,bottom"),
        ("automatic", "left,right,top,bottom"),
        (240, "left,right,top,bottom"),
        (None, "left,right,top,bottom"),
    ],
    "input_trim": [((1, 2, 3), "left,right,top,bottom"), ((0, 0, 0, -2), "left,right,top,bottom")],
    "black_level": [(-1, "0 to 65535"), (65536, "0 to 65535"), ("grey", "edge"), (None, "edge"), (0.5, "whole")],
    "degrade": [("film", "downscale, tape, vhs"), ("", "downscale"), (0.5, "text"), (True, "text")],
    "scale": [
        ("1/2", "1 or more"),
        ("2,2,2", "or two"),
        ("wide", "a fraction"),
        ("1/0", "a fraction"),
        ("", "such as 2"),
    ],
    "match": [(1, "True or False"), ("yes", "True or False"), (None, "True or False")],
    "quality": [(0, "more than 0"), (-0.5, "more than 0"), (1.01, "at most 1"), (nan, "0"), ("all", "0"), (None, "0")],
    "jitter": [(1, "True or False"), ("no", "True or False"), (None, "True or False")],
    "edges": [(-1, "0 or more"), (1.5, "whole"), (None, "0 or more")],
    "skip": [(-1, "0 to 3"), (4, "0 to 3"), (1.5, "whole"), (None, "0 to 3")],
    "shuffle": [(0, "True or False"), ("yes", "True or False")],
    "augment": [(1, "True or False"), ("flips", "True or False"), (None, "True or False")],
    "swap_channels": [(1, "True or False"), (None, "True or False")],
    "span": [(0, "1 or more"), (2.5, "whole"), (None, "1 or more")],
    "settle": [(-1, "0 or more"), (None, "whole")],
    "reverse": [(1, "True or False"), (None, "True or False")],
    "stills": [(-0.1, "0 to 1"), (2, "0 to 1"), (None, "0 to 1")],
    "lookahead": [(2, "0 to 1"), (-1, "0 to 1"), (True, "whole"), (None, "0 to 1")],
    "state": [(4, "True or False"), (None, "True or False")],
    "features": [(0, "1 or more"), (1.5, "whole"), ("24", "whole")],
    "depth": [(0, "1 or more"), (True, "whole")],
    "residual": [(0, "True or False"), ("no", "True or False")],
    "loss": [
        ("l2", "mse, l1, charbonnier, psnr"),
        ("l1,", "or two"),
        ("l1,mse,l1", "or two"),
        ("", "one of"),
        (1, "one of"),
    ],
    "luma": [(-0.1, "0 to 1"), (1.1, "0 to 1"), (nan, "0 to 1"), (True, "0 to 1"), ("1", "0 to 1"), (None, "0 to 1")],
    "optimizer": [("sgd", "one of adam, muon"), (None, "one of"), (1, "one of")],
    "learning_rate": [(0, "more than 0"), (-1e-3, "more than 0"), (1.5, "at most 1"), (nan, "0"), ("1e-3", "0")],
    "schedule": [("step", "one of cosine, linear, constant"), (None, "one of"), (1, "one of")],
    "warmup": [(-1, "0 or more"), (0.5, "whole"), (None, "whole")],
    "ema": [(0, "more than 0"), (1, "less than 1"), (1.0, "less than 1"), (nan, "less than 1"), ("0.9", "less than 1")],
    "batch": [
        (0, "'auto' or a whole number, 1 or more"),
        (2.5, "whole"),
        (None, "auto"),
        (True, "whole"),
        ("a", "auto"),
    ],
    "precision": [("float64", "one of float32, bfloat16, float16"), (16, "one of"), (None, "one of")],
    "seed": [(-1, "0 to 4294967295"), (2**32, "0 to 4294967295"), (0.5, "whole"), (None, "0 to")],
    "threads": [(0, "1 to 64"), (65, "1 to 64"), (1.5, "whole"), ("2", "whole")],
    "checkpoint_minutes": [(0, "more than 0"), (-1, "more than 0"), (inf, "more than 0"), (None, "0"), (False, "0")],
    "tensorboard": [(1, "True or False"), ("logs", "True or False"), (None, "True or False")],
}
GOOD = {
    "model": list(ARCHITECTURES),
    "epochs": [1, 10**6],
    "minutes": [None, 0.01, 600],
    "patience": [None, 1, 50],
    "training": [None, "a", "/b c"],
    "validation": [None, "a"],
    "tile": [None, 1, 10**6, (72, 64)],
    "border": [0, 18, (18, 0)],
    "trim": [(240, 240, 0, 0), (1, 2, 3, 4), "auto"],
    "input_trim": [None, (0, 0, 3, 3), "auto"],
    "black_level": ["edge", 0, 64, 65535],
    "degrade": [None, "downscale", "matlab", "vhs,filter=area", "softness=0.3:0.8,noise=0:0.01"],
    "scale": [None, "1", "9/4,2"],
    "match": [True],
    "quality": [1e-6, 0.5, 1, 1.0],
    "jitter": [False],
    "edges": [0, 16],
    "skip": [0, 3],
    "shuffle": [False],
    "augment": [True],
    "swap_channels": [True],
    "span": [1, 8],
    "settle": [0, 7],
    "reverse": [True],
    "stills": [0, 0.5, 1],
    "lookahead": [0, 1],
    "state": [False],
    "features": [None, 1, 64],
    "depth": [None, 1, 20],
    "residual": [False],
    "loss": [None, "l1", "l1,mse", "mse,charbonnier"],
    "luma": [0, 0.5, 1],
    "optimizer": ["adam", "muon"],
    "learning_rate": [None, 1e-9, 1],
    "schedule": ["cosine", "linear", "constant"],
    "warmup": [0, 500],
    "ema": [None, 0.5, 0.999],
    "batch": [1, 4096, "auto"],
    "precision": ["float32", "bfloat16", "float16"],
    "seed": [0, 2**32 - 1],
    "threads": [None, 1, 64],
    "checkpoint_minutes": [0.01, 10, 1e9],
    "tensorboard": [True],
}


def _parts(high):
    return st.floats(0, high, exclude_min=True, allow_subnormal=False) | st.integers(1, int(high))


def _two(low):
    return st.tuples(st.integers(low), st.integers(low)).filter(lambda pair: pair[0] != pair[1])


_trims = st.tuples(*[st.integers(0, 10**6)] * 4)
ANY = {
    "model": st.sampled_from(ARCHITECTURES),
    "epochs": st.integers(1),
    "minutes": _parts(1e300),
    "patience": st.integers(1),
    "training": st.none() | st.text(min_size=1),
    "validation": st.none() | st.text(min_size=1),
    "tile": st.integers(1) | _two(1),
    "border": st.integers(0) | _two(0),
    "trim": _trims | st.just("auto"),
    "input_trim": _trims | st.just("auto"),
    "black_level": st.just("edge") | st.integers(0, 65535),
    "degrade": st.sampled_from(["downscale", "tape", "filter=bicubic", "noise=0:0.01"]),
    "scale": st.sampled_from(["2", "3/2", "9/4,2"]),
    "match": st.booleans(),
    "quality": _parts(1),
    "jitter": st.booleans(),
    "edges": st.integers(0, 99),
    "skip": st.integers(0, 3),
    "shuffle": st.booleans(),
    "augment": st.booleans(),
    "swap_channels": st.booleans(),
    "span": st.integers(1),
    "settle": st.integers(0),
    "reverse": st.booleans(),
    "stills": st.floats(0, 1),
    "lookahead": st.integers(0, 1),
    "state": st.booleans(),
    "features": st.integers(1),
    "depth": st.integers(1),
    "residual": st.booleans(),
    "loss": st.sampled_from(["mse", "l1,charbonnier"]),
    "luma": st.floats(0, 1),
    "optimizer": st.sampled_from(OPTIMIZERS),
    "learning_rate": _parts(1),
    "schedule": st.sampled_from(SCHEDULES),
    "warmup": st.integers(0),
    "ema": st.floats(0, 1, exclude_min=True, exclude_max=True),
    "batch": st.just("auto") | st.integers(1),
    "precision": st.sampled_from(["float32", "bfloat16", "float16"]),
    "seed": st.integers(0, 2**32 - 1),
    "threads": st.integers(1, 64),
    "checkpoint_minutes": _parts(1e300),
    "tensorboard": st.booleans(),
}
SOME = st.fixed_dictionaries({}, optional=ANY)
OF_A_MODEL = st.fixed_dictionaries({}, optional={name: values for name, values in ANY.items() if name != "model"})


def test_every_option_is_tried_here():
    assert list(BAD) == list(GOOD) == list(ANY) == list(asdict(Config())) == list(OPTIONS.values())


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


def test_a_trim_may_be_text_or_a_list():
    assert Config(trim="1,2,3,4") == Config(trim=[1, 2, 3, 4]) == Config(trim=(1, 2, 3, 4))


def test_sizes_along_each_axis():
    assert Config(tile="72,60").tile == Config(tile=[72, 60]).tile == (72, 60)
    assert Config(tile="72", border="18, 18") == Config(tile=(72, 72), border=18) == Config(tile=72, border=[18])


def test_what_may_be_absent_says_what_that_means():
    assert list(ABSENT) == [field.name for field in fields(Config) if field.default is None]


def test_names_are_those_of_training():
    from fastup.networks import losses
    from fastup.networks.models import MODELS
    from fastup.train import fit

    assert tuple(MODELS) == ARCHITECTURES
    assert tuple(fit.RATE_LEFT) == SCHEDULES
    assert tuple(losses.LOSSES) == LOSSES
    for architecture in MODELS.values():
        assert architecture.defaults.keys() <= ANY.keys() - {"model"}
        config = Config(**architecture.defaults)
        assert (config.loss, config.learning_rate) == (architecture.loss, architecture.learning_rate)
        with pytest.raises(TypeError):
            architecture.defaults["jitter"] = False


def test_a_config_is_fixed():
    with pytest.raises(FrozenInstanceError):
        Config().tile = 3


def test_options_cost_no_keras(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text("tile = 72")
    script = f"""
import sys
from fastup.train.config import as_toml, read_toml, resolve
as_toml(*resolve([("f", read_toml({str(path)!r}))]))
assert not {{"keras", "tensorflow", "numba"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", script], check=True)


# -- where settings come from ------------------------------------------------------------------------------------------

PLACES = "command line", "run.toml", "run", "model"


@pytest.mark.parametrize("places", [c for n in range(5) for c in combinations(PLACES, n)], ids=", ".join)
@pytest.mark.parametrize("name", [name for name in GOOD if name != "model"])
def test_the_stronger_place_wins(name, places):
    # A value of its own for each place, as far as there are so many.
    values = dict(zip(PLACES, (GOOD[name] * 4)[-4:], strict=True))
    *given, model = ({name: values[place]} if place in places else {} for place in PLACES)
    layers = list(zip(PLACES[:3], given, strict=True))
    config, sources = resolve(layers, {"compact": model, "vdsr": {name: None}})
    strongest = places[0] if places else "default"
    assert getattr(config, name) == (values[strongest] if places else getattr(Config(), name))
    assert sources == {field: strongest if field == name else "default" for field in asdict(config)}


@pytest.mark.parametrize(
    ("command", "file", "model", "place"),
    [
        ({}, {}, "compact", "default"),
        ({}, {"model": "vdsr"}, "vdsr", "run.toml"),
        ({"model": "srcnn"}, {}, "srcnn", "command line"),
        ({"model": "srcnn"}, {"model": "vdsr"}, "srcnn", "command line"),
    ],
)
def test_the_model_that_is_chosen_sets_its_own(command, file, model, place):
    models = {name: {"batch": 1 + ARCHITECTURES.index(name)} for name in ARCHITECTURES}
    config, sources = resolve([("command line", command), ("run.toml", file)], models)
    assert (config.model, config.batch) == (model, 1 + ARCHITECTURES.index(model))
    assert (sources["model"], sources["batch"]) == (place, "model")


def test_a_span_that_is_given_is_longer_than_what_settles_of_it():
    own = {"recurrent": {"span": 6, "settle": 5}}
    for span, settle in ((1, 0), (3, 2), (6, 5), (9, 5)):
        config, sources = resolve([("command line", {"model": "recurrent", "span": span})], own)
        assert (config.span, config.settle, sources["settle"]) == (span, settle, "model")
    config, _ = resolve([("command line", {"model": "recurrent", "span": 2, "settle": 3})], own)
    assert config.settle == 3  # which training refuses


@settings(deadline=None)
@given(command=SOME, file=SOME, models=st.fixed_dictionaries(dict.fromkeys(ARCHITECTURES, OF_A_MODEL)))
def test_any_settings_from_anywhere(command, file, models):
    config, sources = resolve([("command line", command), ("run.toml", file)], models)
    model = command.get("model", file.get("model", "compact"))
    for name, value in asdict(config).items():
        if name in command:
            assert (value, sources[name]) == (command[name], "command line")
        elif name in file:
            assert (value, sources[name]) == (file[name], "run.toml")
        elif name == "settle" in models[model] and ("span" in command or "span" in file):
            assert (value, sources[name]) == (min(models[model][name], config.span - 1), "model")
        elif name in models[model]:
            assert (value, sources[name]) == (models[model][name], "model")
        else:
            assert (value, sources[name]) == (getattr(Config(), name), "default")


@pytest.mark.parametrize("model", ["unet", None, ["compact"]])
def test_no_such_model(model):
    with pytest.raises(OptionError, match=r"model is .*, expected one of srcnn"):
        resolve([("command line", {"model": model})], {"compact": {}})


# -- files -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("settings") / "run.toml"


@settings(deadline=None)
@given(values=SOME, place=st.text(st.characters(exclude_categories=())).filter(lambda p: p not in ("default", "model")))
def test_what_is_written_is_what_is_read(file, values, place):
    config = Config(**values)
    text = as_toml(config, dict.fromkeys(asdict(config), "default") | dict.fromkeys(values, place))
    file.write_text(text, "utf-8")
    again, sources = resolve([("run.toml", read_toml(file))])
    assert again == config
    assert {type(value) for value in asdict(again).values()} <= {str, int, float, bool, tuple, Trim, type(None)}
    absent = {name for name, value in asdict(config).items() if value is None}
    comments = absent | {name for name in asdict(config) if name not in values}  # what nobody chose
    assert {name for name, source in sources.items() if source == "default"} == comments
    lines = text.splitlines()
    assert len(lines) == 1 + len(OPTIONS)
    for line, (option, name) in zip(lines[1:], OPTIONS.items(), strict=True):
        assert line.removeprefix("# " if name in comments else "").startswith(f"{option} =")
        assert not place.isprintable() or f" # {place if name in values else 'default'}" in line
        assert name not in absent or line.endswith(f": {ABSENT[name]}")


def test_a_file_is_read(file):
    file.write_bytes(
        b"\xef\xbb\xbf# as some editors write it\r\ntrim = '240, 240,0,0'\r\ninput-trim = [0, 0, 3, 3]\r\nema = 0.9\r\n"
    )
    assert Config(**read_toml(file)) == Config(trim=(240, 240, 0, 0), input_trim=(0, 0, 3, 3), ema=0.9)
    file.write_bytes(b"")
    assert read_toml(file) == {}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"quality =", ["not TOML", "at end of document"]),
        (b"tile = 72\nquality = half\n", ["not TOML", "line 2"]),
        (b"tile = 72\n\ntile = 60\n", ["not TOML", "line 3"]),
        (b"--tile 72", ["not TOML", "line 1"]),
        (b"tile = 72\0", ["not TOML", "line 1"]),
        (b"tile = " + b"[" * 100_000, ["not TOML"]),
        (b"tile = " + b"9" * 5000, ["not TOML", "digits"]),
        (b"tile = 72\n# d\xe9tail", ["not UTF-8", "0xe9", "line 2"]),
        ("tile = 72".encode("utf-16"), ["not UTF-8", "0xff", "line 1"]),
        (b"qualty = 1", ["no option is named 'qualty'", "did you mean 'quality'"]),
        (b"frobnicate = 1", ["no option is named 'frobnicate'", "--print-config"]),
        (b"more-epochs = 1", ["no option is named 'more-epochs'"]),
        (b"'tile\\n' = 1\n\"a\\nb\" = 1", ["no option is named"]),
        (b"[train]\ntile = 72", ["no option is named 'train'"]),
        (b"[tile]\nsize = 72", ["tile is {'size': 72}, expected a whole number"]),
        (b"[[model]]", ["model is [{}], expected one of"]),
        (b"model = ['compact']", ["model is ['compact'], expected one of"]),
        (b"model = 'unet'", ["model is 'unet', expected one of srcnn"]),
        (b"tile = 72.0", ["tile is 72.0, expected a whole number"]),
        (b"tile = 1979-05-27", ["tile is datetime.date(1979, 5, 27), expected"]),
        (b"quality = 'all'", ["quality is 'all', expected a number"]),
        (b"quality = true", ["quality is True, expected a number"]),
        (b"jitter = 1", ["jitter is 1, expected True or False"]),
        (b"minutes = inf", ["minutes is inf, expected"]),
        (b"minutes = 1" + b"0" * 400, ["minutes is 1000", "expected"]),
        (b"learning-rate = nan", ["learning-rate is nan, expected"]),
        (b"black-level = {}", ["black-level is {}, expected 'edge' or"]),
        (b"trim = [1, 2, 3]", ["trim is [1, 2, 3], expected four"]),
        (b"trim = [1, 2, 3, true]", ["trim is [1, 2, 3, True], expected four"]),
        (b"trim = [[1], 2, 3, 4]", ["trim is [[1], 2, 3, 4], expected four"]),
        (b"trim = '1,2,3'", ["trim is '1,2,3', expected four whole numbers"]),
        (b"input-trim = 3", ["input-trim is 3, expected four"]),
    ],
    ids=lambda value: repr(value[:24]),
)
def test_what_is_wrong_with_a_file(file, content, words):
    file.write_bytes(content)
    with pytest.raises(OptionError) as caught:
        read_toml(file)
    assert str(caught.value).startswith(f"{file}: ")
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("option", OPTIONS)
def test_a_slip_of_the_key_is_understood(file, option):
    for key in {option.replace("-", "_"), option[:-1], option + "s"} - {option}:
        file.write_text(f"{key} = 1")
        with pytest.raises(OptionError, match=f"no option is named '{key}'; did you mean '{option}'"):
            read_toml(file)


@settings(deadline=None)
@given(
    content=st.binary()
    | st.text().map(str.encode)
    | st.builds(
        "{} = {}".format, st.sampled_from(list(OPTIONS)), st.from_regex(r"[-+0-9a-z.\"'\[\]{}, ]*", fullmatch=True)
    ).map(str.encode)
)
def test_any_file_is_settings_or_an_error_of_its_own(file, content):
    file.write_bytes(content)
    try:
        values = read_toml(file)
    except OptionError:
        return
    assert resolve([("f", values)])[0] == Config(**values)
    found = tomllib.loads(content.decode("utf-8-sig"))
    assert {OPTIONS[option] for option in found} == values.keys()


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.toml"):
        read_toml(tmp_path / "none.toml")
    with pytest.raises(IsADirectoryError, match=tmp_path.name):
        read_toml(tmp_path)
