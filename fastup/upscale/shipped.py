"""The models that come with fastup, by name: `NAME` stands for the one of a scale. weights/make.py makes them."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

import fastup
from fastup._scales import Scale, parsed
from fastup._types import Size, StrPath
from fastup.errors import OptionError

NAME = "cel"
SCALES: Mapping[str, Scale] = MappingProxyType({"cel-sd": parsed("9/4,2"), "cel-2x": parsed("2")})
WORDS = MappingProxyType({"cel-sd": "720x480 to 1440x1080, for SD's pixels", "cel-2x": "twice the size, any frames"})


def is_named(model: object) -> bool:
    """Whether that is the name of a model that comes along, written as no path: ``./cel`` is a file's."""
    return isinstance(model, str) and (model == NAME or model in SCALES)


def scale_for(size: Size) -> Scale:
    """The scale for frames of (height, width): 704 to 720 by 480 to 486 pixels are SD's, and become square."""
    height, width = size
    return SCALES["cel-sd" if 480 <= height <= 486 and 704 <= width <= 720 else "cel-2x"]


def scale_of(data: StrPath) -> Scale | None:
    """The scale of the pairs in DATA/evaluation, or in DATA if it holds Alpha and Beta itself; None without Alpha."""
    from fastup.pairs.folder import SIDES, find_pairs  # which needs more than `fastup upscale` does

    data = Path(data)
    folder = data / "evaluation" if (data / "evaluation").is_dir() else data
    return find_pairs(folder).geometry.scale if (folder / SIDES[0]).is_dir() else None


def file(model: StrPath, scale: Scale | None = None, keras: bool | None = None) -> StrPath:
    """The file of a model that comes along; whatever is no name of one is given as it is.

    Parameters
    ----------
    model
        `NAME`, which goes by `scale`, or a name in `SCALES`, which does not.
    scale
        Where none of the models has it, that of twice the size is given, of which all but the last layer may fit.
    keras
        Whether the file is to be Keras' own; by default where no engine for the other is installed.

    Raises
    ------
    OptionError
        If it is `NAME`, and there is no scale.
    """
    if not is_named(model):
        return model
    if model == NAME:
        if scale is None:
            raise OptionError(f"{NAME} is two models, expected one of them: {'; '.join(map(words, SCALES))}")
        model = next((name for name, its in SCALES.items() if its == scale), "cel-2x")
    if keras is None:
        keras = not any(map(find_spec, ("openvino", "onnxruntime")))
    return Path(fastup.__file__).parent / "weights" / f"{model}{'.keras' if keras else '.onnx'}"


def words(name: str) -> str:
    """A model by its name in `SCALES`, in words."""
    return f"{name}, {WORDS[name]}"
