"""Frames through a model, in order: a stream of them, or one."""

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

import numpy as np

from fastup import _planes
from fastup._formats import possible_aspect
from fastup._types import Floats, Frame, Size, StrPath
from fastup.codes import CHROMA, scaled
from fastup.errors import DataError, FastupError, OptionError
from fastup.footage.worker import share
from fastup.header import Header
from fastup.trim import Trim, fixed
from fastup.upscale import shipped
from fastup.upscale.engines import opened
from fastup.upscale.ensemble import Ensemble
from fastup.upscale.model import Model
from fastup.upscale.recurrence import AFTER, Carried, Given, Prepared, Step, beginnings, steps
from fastup.upscale.strips import Strips

if TYPE_CHECKING:
    from fastup.networks.models import Network

Item = TypeVar("Item")
Label = TypeVar("Label")  # what comes before a frame in a stream: its header, or its path

ROOM = 0.8  # share of what is free that frames and their engine may take
BITS = 10  # of the codes that `upscale` writes


class Upscaler:
    """A trained model, ready for frames: a ``.keras`` or ``.onnx`` file that `fastup train` wrote, or a `Network`.

    Scale, trim, border and white are inside. For an ``.onnx`` neither Keras nor TensorFlow is loaded. Raises
    FastupError if the file is no such model, OSError if it is missing, and what `fastup.upscale.engines.opened` does.

    A frame goes through in three steps, `prepared`, `run` and `finished`, of which the first and the last may be on
    other threads than the second; a call, and `stream`, take all three.

    Parameters
    ----------
    model
        A network may be trained between frames, if Keras runs it.
    engine
        What runs the model: "keras", "openvino" or "onnxruntime"; "auto" takes the fastest that is installed, of a
        network Keras. `engine_words` says which it is, and `why`.
    self_ensemble
        Whether frames are means as of `fastup.upscale.ensemble.Ensemble`; each is then run `views` times.
    memory, on_note
        Where so many bytes, most of what is free by default, are too little for the engine and a few frames, or it runs
        out of memory, a frame is made in strips, which give the same to less than half a code; `on_note` is called with
        a line about it.
    parallel
        How many frames will be in the `run` step at a time: more than one gains where that has threads; how many may
        be is `engine.parallel`.
    """

    def __init__(
        self, model: "StrPath | Network", engine: str = "auto", self_ensemble: bool = False, memory: int | None = None,
        parallel: int = 1, on_note: Callable[[str], object] | None = None,
    ) -> None:  # fmt: skip
        self._asked = model, engine, self_ensemble, memory, parallel
        self.model = Model.of(shipped.file(model, keras=None if engine == "auto" else engine == "keras"))
        self.colour = self.model.colour
        self.engine, self.why = opened(self.model, engine, parallel)
        self.self_ensemble = self_ensemble
        self.engine_words = f"{self.engine.words}: {self.why}"
        if memory is None and (free := self.engine.free()) is not None:
            memory = int(ROOM * free / share())
        self.views = 1
        strips = Strips(self.engine, self.model, memory, on_note)
        self._make: Strips | Ensemble = strips
        if self_ensemble:
            self._make = Ensemble(strips, self.model.scale, self.engine.planes, strips.step)
            self.views = strips.states = self._make.views
            self.engine_words += f"; {self._make.words}"

    def __reduce__(self) -> Any:
        """Another process opens the same file, once: a model that comes along by its name, others by their content."""
        model, engine, self_ensemble, memory, parallel = self._asked
        if self.model.live:
            raise OptionError("a network of this process cannot go to others; expected the file of a model")
        path, named = Path(self.model.name), shipped.is_named(Path(self.model.name).stem)
        if named and path == shipped.file(path.stem, keras=path.suffix == ".keras"):
            model = path.stem
        else:
            model = str(path.absolute())
        return _opened, (model, digest(path), engine, self_ensemble, memory, parallel)

    @property
    def settings(self) -> dict[str, Any]:
        """What the model was trained with."""
        return self.model.settings

    @property
    def white(self) -> int | None:
        """The white of the targets trained on, and of the codes that it gives for codes; None if they were floats."""
        return self.settings["target_white"]

    @property
    def input_trim(self) -> Trim:
        """What it trims of a frame, before all else: nothing if it was trained with "auto", which goes by source."""
        return fixed(self.settings["input_trim"])

    def aspect(self, aspect: Fraction | None) -> Fraction:
        """The pixel aspect of an upscaled frame, so that its picture keeps its shape; that of the targets for None."""
        given = possible_aspect(aspect)
        if given is None:
            return Fraction(*self.settings["pixel_aspect"])
        vertical, horizontal = self.model.scale
        return (given * vertical / horizontal).limit_denominator(10**6)  # or it might not fit the header

    def size(self, given: Size) -> Size:
        """The size of the upscaled frame of one of that size; DataError or OptionError if it cannot be upscaled."""
        self.check((*given, 3))
        height, width = (n * s for n, s in zip(self.input_trim.picture(given), self.model.scale, strict=True))
        return int(height), int(width)

    def header(self, header: Header, bits: int = BITS) -> Header:
        """The header of an upscaled frame, of that of its input: what `upscale` writes with it.

        It is of one element of RGB. Its size and pixel aspect follow from the scale. Colorimetric, and
        transfer with its low and high code, are those of the targets trained on, where they had them. All else is kept.
        `bits` are those of the codes to write: `BITS`; or ``white.bit_length()`` for codes that were made of codes.
        Raises DataError or OptionError if frames of its size cannot be upscaled.
        """
        height, width = self.size((header.height or 0, header.width or 0))
        if len(header.elements) > 1:
            header = header.only(0)
        names = ("transfer", "colorimetric")
        colour = {name: self.settings[name] for name in names if self.settings[name] is not None}
        levels, old, new = self.settings.get("levels"), self.white, 2**bits - 1
        if "transfer" in colour and levels:  # older models have none
            colour |= levels
            for name in ("low_code", "high_code"):
                code, colour[name] = levels[name], None
                if code is not None and old is not None and code <= old:
                    colour[name] = scaled(code, old, new)
        return header.replace(
            width=width, height=height, descriptor="RGB", bits=bits, pixel_aspect=self.aspect(header.pixel_aspect),
            **colour,
        )  # fmt: skip

    def __call__(self, frame: Frame) -> Frame:
        """Upscale one frame: a `stream` of one."""
        ((_, result),) = self.stream([("the frame", frame)])
        return result

    @overload
    def stream(
        self, frames: Iterable[Frame], matched: bool = False, cuts: Iterable[int] | None = None
    ) -> Iterator[Frame]: ...

    @overload
    def stream(
        self, frames: Iterable[tuple[Label, Frame]], matched: bool = False, cuts: Iterable[int] | None = None
    ) -> Iterator[tuple[Label, Frame]]: ...

    def stream(self, frames, matched=False, cuts=None):
        """Upscale frames in order. A frame is taken from `frames` when its result is asked for, not before.

        A recurrent model makes each frame of its neighbours, too, and of what it carries along from those before, so it
        takes the next one first; and a few more, where it has to find where shots begin. Nothing goes from shot to
        shot: at the ends of one its nearest frame stands in for the neighbour, and nothing is carried into the first.
        So a frame alone is a shot of one.

        Parameters
        ----------
        frames : iterable of ndarray, or of pairs
            Shape (height, width, 3): ``uint16`` code values of the white trained on (read frames of another white as
            ``float32``), or floats, normalised. The picture that is left after the model's input trim must be whole
            cells of its scale, of any size. In a pair, its `Header`, or its path as of `fastup.stream`, comes first.
        matched
            Whether they have the colours of the targets already, as the inputs of a set that `fastup match --to hd`
            made. Others get them first where the model was trained on such: by `Model.colour`, clipped as those were.
        cuts
            Of a recurrent model, the numbers of the frames with which shots begin; found in the frames if not given.

        Yields
        ------
        ndarray, shape (picture height * vertical scale, picture width * horizontal scale, 3)
            For ``uint16`` the nearest codes of `white`; for floats ``float32``, normalised; clipped to black and white.
            For a pair, a pair: the header becomes that of the upscaled frame, a path stays.

        Raises
        ------
        ValueError
            If shape or dtype don't fit, or code values are of another white than trained on, or that was of floats.
        DataError, OptionError
            If the picture isn't whole cells, and names the nearest sizes that are. If it holds NaN or infinity, or the
            model makes such; if the header says that it is Y, Cb and Cr. The message begins with the path of the frame,
            or its number in the stream, from 0.
        """
        flow = self.flow()
        firsts = None if cuts is None else self.firsts(cuts)

        def taken():
            for number, given in enumerate(frames):
                *label, frame = given if isinstance(given, tuple) else (given,)
                name = label[0] if label and not isinstance(label[0], Header) else f"frame {number}"
                if label and isinstance(label[0], Header):
                    self._refuse_other(name, label[0], frame)
                yield Given(label, self.prepared(name, frame, matched), None if firsts is None else number in firsts)

        for step in flow.steps(taken()):
            white = self.white if step.frame.codes else None
            label, result = step.item, self.finished(step.frame, flow.run(step), white)
            if not label:
                yield result
            elif isinstance(label[0], Header):
                yield self.header(label[0], white.bit_length() if white else BITS), result
            else:
                yield label[0], result

    def flow(self) -> "Flow":
        """What runs frames of a film in order: for each film one of its own."""
        return Flow(self)

    def firsts(self, cuts: Iterable[int]) -> frozenset[int]:
        """The numbers with which shots begin, checked; OptionError if they are none, or the model needs none."""
        if not self.model.recurrent:
            raise OptionError("cuts are given, but the model sees every frame by itself; expected a recurrent model")
        found = [*cuts]
        numbers = [isinstance(each, int | np.integer) and not isinstance(each, bool) and each >= 0 for each in found]
        if odd := [each for each, number in zip(found, numbers, strict=True) if not number]:
            raise OptionError(f"cuts has {odd[0]!r}, expected the numbers of frames, from 0")
        return frozenset(map(int, found))

    def _refuse_other(self, name, header, frame):
        """Raise an error where a header says that a frame is not R, G and B, or of another white than trained on."""
        if header.descriptor in CHROMA:
            raise DataError(f"{name}: holds Y, Cb and Cr, expected RGB: fastup converts no colours")
        white = self.settings["input_white"]
        if white and frame.dtype == np.uint16 and header.white not in (white, None):
            raise ValueError(
                f"{name} holds codes up to a white of {header.white}, expected {white}, that the model was trained on; "
                "read frames of another white as float32"
            )

    def prepared(self, name: object, frame: Frame, matched: bool = False) -> Prepared:
        """A frame as the engine takes it, checked; `matched` and errors are those of `stream`; they call it by name."""
        codes = frame.dtype == np.uint16
        if not codes and frame.dtype.kind != "f":
            raise ValueError(f"{name} is of {frame.dtype}, expected uint16 code values or normalised floats")
        if frame.ndim != 3 or frame.shape[2] != 3:
            raise ValueError(f"{name} is {frame.shape}, expected (height, width, 3)")
        try:
            picture = self.picture(frame)
        except (DataError, OptionError) as error:
            raise type(error)(f"{name}: {error}") from None
        white = self.settings["input_white"]
        if codes and None in (white, self.white):
            raise ValueError(
                f"{name} is of uint16 code values, but the {'targets' if white else 'inputs'} that the model was "
                "trained on were floats, which have no white: read frames as float32"
            )
        if not codes:
            with np.errstate(over="ignore"):  # becomes infinity, which is refused
                picture = picture.astype(np.float32, copy=False)
        floats, found = _planes.floats_of(picture, white, self.engine.planes)
        if not codes and found:
            raise DataError(f"{name}: holds NaN or infinity, expected finite numbers")
        if codes and found > white:
            raise ValueError(
                f"{name} holds code {found}, expected at most {white}, the white that the model was trained "
                "on; read frames of another white as float32"
            )
        if self.colour is not None and not matched:
            pixels = np.moveaxis(floats, 0, -1) if self.engine.planes else floats
            np.clip(self.colour.apply(pixels, out=pixels), 0, 1, out=pixels)
        return Prepared(str(name), floats, codes, self._grid(picture, white if codes else None))

    def _grid(self, picture, white):
        """What cuts are found by, where a model has to know of them."""
        if not self.model.recurrent:
            return None
        from fastup._signatures import levels

        return levels(picture, white)

    def run(self, prepared: Prepared) -> Floats:
        """What the engine makes of it, or of its flips and turns. As many calls at a time as `engine.parallel`.

        A frame of a recurrent model is a shot by itself; those of a film go through `flow`. Raises FastupError where
        the engine fails, or there is too little memory even for the lowest strip.
        """
        if self.model.recurrent:
            return self.flow().run(Step(None, (prepared,) * self.model.frames))
        return self._named(prepared, lambda: self._make(prepared.picture))

    def _named(self, prepared, make):
        """What `make` gives; errors call the frame by name."""
        try:
            return make()
        except FastupError as error:
            raise FastupError(f"{prepared.name}: {error}") from error

    def finished(self, prepared: Prepared, result: Floats, white: int | None) -> Frame:
        """The upscaled frame, (height, width, 3), clipped: nearest codes of a white, or float32 for None.

        DataError where the model has made NaN of it.
        """
        planes = self.engine.planes
        out, nans = _planes.codes_of(result, white, planes) if white else _planes.clipped(result, planes)
        if nans:
            raise DataError(
                f"{prepared.name}: the model makes NaN of it, though its pixels are numbers: training has diverged; "
                "try a lower --learning-rate"
            )
        return out

    def picture(self, frame: Frame) -> Frame:
        """The picture of an input frame, a view; checked to be whole cells."""
        self.check(frame.shape)
        return self.input_trim.crop(frame)

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise DataError or OptionError unless frames of this (height, width, channels) can be upscaled."""
        height, width, channels = shape
        if channels != 3:
            raise DataError(f"{channels} channels, expected 3")
        size = self.input_trim.picture((height, width), "the model's input-trim")
        nearest = [(n // q * q or q, -(-n // q) * q) for n, q in zip(size, self.model.cell[0], strict=True)]
        if any(size[axis] not in nearest[axis] for axis in (0, 1)):
            (low_h, high_h), (low_w, high_w) = nearest
            raise DataError(
                f"the picture is {size[1]}x{size[0]}, which is not whole pixels at this model's scale; the nearest "
                f"that are: {low_w}x{low_h} and {high_w}x{high_h}"
            )


def digest(path: StrPath) -> str:
    """What tells a model's file from others."""
    return sha256(Path(path).read_bytes()).hexdigest()[:16]


@lru_cache(4)  # as many as `evaluate` compares, on most days
def _opened(model, expected, *asked):
    """The upscaler of a worker; DataError if its model is another file."""
    engine, self_ensemble, memory, parallel = asked
    path = shipped.file(model, keras=None if engine == "auto" else engine == "keras")
    if (found := digest(path)) != expected:
        raise DataError(f"has another model at {path}: digest {found}, expected {expected}, as here")
    return Upscaler(path, engine, self_ensemble, memory, parallel)


class Flow(Generic[Item]):
    """Frames of a film through an `Upscaler`, in order, between its steps `prepared` and `finished`.

    Attributes
    ----------
    parallel : int
        How many calls of `run` may be under way at a time; of a recurrent model one, in the order of the steps.
    """

    def __init__(self, upscaler: Upscaler) -> None:
        self._upscaler, model = upscaler, upscaler.model
        self.parallel = upscaler.engine.parallel
        self._carried = Carried(upscaler._make.step, upscaler.engine.planes) if model.recurrent else None

    @property
    def after(self) -> int:
        """By how many frames after it it is told whether a shot begins with one."""
        return AFTER if self._upscaler.model.lookahead else 0

    def steps(self, frames: Iterable[Given[Item]]) -> Iterator[Step[Item]]:
        """What is to be run for frames, in order: a step for each that is needed."""
        if self._carried is None:
            return (Step(given.item, (given.frame,)) for given in frames if given.needed)
        return steps(beginnings(frames, self.after), self._upscaler.model.lookahead)

    def run(self, step: Step[Item]) -> Floats:
        """The target picture of a step, as `Upscaler.run` gives it, and raises."""
        if self._carried is None:
            return self._upscaler.run(step.frame)
        carried = self._carried
        return self._upscaler._named(step.frame, lambda: carried(step))
