"""A movie that frames go to, in parts that are whole or absent, until it is whole itself."""

import json
import queue
import re
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from fractions import Fraction
from itertools import chain, groupby
from typing import Any, Self

import numpy as np

from fastup._threads import in_order
from fastup._types import Frame, StrPath
from fastup._whole import whole
from fastup.codes import CHROMA, LOG, Colorimetric, Transfer
from fastup.errors import DataError, FastupError, OptionError
from fastup.footage import codecs, remux
from fastup.footage.sink import Sink, is_kept
from fastup.footage.source import PRIMARY_TAGS, TRANSFER_TAGS, UNSPECIFIED, Source, is_525, is_sd
from fastup.footage.stills import exact_rate
from fastup.header import Header

try:
    import fcntl
except ModuleNotFoundError:  # Windows has no such locks
    fcntl = None  # type: ignore[assignment]

_RECORD, _LOCK = "movie.json", "lock"
_AHEAD = 2  # frames that wait for the encoder, beside those that are being converted


class Movie(Sink):
    """A video that is encoded behind the making of its frames: see `fastup.sink`.

    Frames go to part-files in a hidden folder beside it, each whole or absent; when all are there they are joined, with
    sound, subtitles, chapters and tags of `like`, and the movie appears under its name. What is killed carries on after
    the last part, and ends with the same bytes.

    Parameters
    ----------
    like
        The source whose frames `start` to before `end`, one of `every`, become the movie. Their rate is its rate.
    codec, bits
        One of `codecs.CODECS`, by default as the suffix has it; bits of a code, where it can hold several.
    rate
        Frames per second, where `like` knows none.
    overwrite
        Whether to begin anew: otherwise a movie that is there stays, and parts of the same making are gone on from.
    made_by
        Whatever else makes the frames what they are, as JSON has it. Parts that were made by other facts are refused.
    part
        Whether another process holds the movie and will join it: parts are all that is made.

    Raises
    ------
    OptionError
        If the codec does not fit, as `codecs.chosen` has it, or nothing says a rate.
    DataError
        If the path is a folder, or the source; or parts of another movie are there.
    """

    def __init__(
        self, path: StrPath, like: Source | None = None, *, codec: str | None = None, bits: int | None = None,
        rate: Fraction | str | None = None, start: int = 0, end: int | None = None, every: int = 1,
        overwrite: bool = False, made_by: Mapping[str, Any] | None = None, part: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(path)
        self._part = part
        self.like, self.start, self.end, self.every = like, start, end, every
        self.codec, self.bits = codecs.chosen(path, codec, bits), bits
        self.rate = _rate(self.path, like, start, rate) / every
        self.parts = self.path.with_name(f".{self.path.name}.parts")
        if self.path.is_dir():
            raise DataError(f"{path}: a folder, expected a file for the movie, or another name")
        if like is not None and self.path.exists() and like.path.exists() and self.path.samefile(like.path):
            raise DataError(f"{path}: this is the source; expected another place for the movie")
        self._facts, self._overwrite = self._made_of(dict(made_by or {})), overwrite
        self._look_around()
        self._next, self._ended = start, False
        self._thread: threading.Thread | None = None
        self._failed: BaseException | None = None
        self._frames: queue.Queue[Any] = queue.Queue(_AHEAD)

    def is_made(self, number: int) -> bool:
        return self._whole or self._place(number) in self._there

    def unit(self, number: int) -> int:
        """The part."""
        return self._place(number)

    @property
    def begun(self) -> bool:
        """Whether the first frame has said what all have in common."""
        return self._whole or self._record is not None

    def gather(self) -> None:
        """Take in the parts that other processes have made of it."""
        if not self._whole:
            self._record = self._begun()
            self._there = frozenset(self._place(number) for number, _ in self._found() if self._record)

    def __enter__(self) -> Self:
        if self._part:
            self._start()
        elif not self._whole:
            self.parts.mkdir(parents=True, exist_ok=True)
            self._lock = _locked(self.parts / _LOCK, self.path)
            before = self._whole, self._there
            self._look_around()  # alone now: another run may have ended since
            if (self._whole, self._there) != before:
                self._lock.close()
                raise FastupError(f"{self.path}: another run has gone on with it; expected the same command once more")
            if self._record is None:
                for file in self.parts.iterdir():
                    if file.name != _LOCK:
                        file.unlink()
            self._start()
        else:  # which may be of anything: it is the name alone that is the same
            self.notes.append(f"{self.path} was there already, and stays as it is; --overwrite makes it anew")
        return self

    def _start(self):
        thread = self._thread = threading.Thread(target=self._encode, name="encoder")
        thread.start()

    def __exit__(self, kind: Any, problem: Any, trace: Any) -> None:
        if self._part and self._thread is not None:
            self._frames.put(_END if kind is None else _ABANDONED)
            self._thread.join()
            if kind is None:
                self._raise()
        elif self._thread is not None:
            try:
                self._frames.put(_END if kind is None else _ABANDONED)
                self._thread.join()
                if kind is None:
                    self._raise()
                    self._join()
                    self._whole = True
            finally:
                self._lock.close()
                if self._whole or not self._found():
                    shutil.rmtree(self.parts, ignore_errors=True)
        elif self.parts.is_dir():  # a run was killed after its end, or one with --overwrite is under way
            with suppress(FastupError, OSError), closing(_locked(self.parts / _LOCK, self.path)):
                shutil.rmtree(self.parts, ignore_errors=True)

    def write(self, frame: Frame, header: Header | None = None, number: int | None = None) -> None:
        """Encode a frame: uint16 codes up to the header's white (1023 without one), or floats; R, G and B, or grey.

        Alpha is left out, and named. Its turn may come later. DataError if it is none, or of another size than those
        before; OSError if there is no room.
        """
        self._raise()
        number = self._next if number is None else number
        if number < self._next:
            raise ValueError(f"{self.path}: frame {number} after frame {self._next - self.every}, expected it before")
        self._next = number + self.every
        if self.is_made(number):
            return
        white = (header.white if header is not None else None) or 1023
        self._check(frame, header, number)
        if frame.shape[2] == 4 and (note := "alpha is left out") not in self.notes:
            self.notes.append(note)
        frame = frame[:, :, :3] if frame.shape[2] != 1 else np.repeat(frame, 3, axis=2)
        if self._record is None:
            self._begin(frame, header, number, white)
        look = self._look
        if frame.shape[:2] != (look.height, look.width):
            height, width = frame.shape[:2]
            raise DataError(
                f"{self.path}: frame {number} is {width}x{height}, expected {look.width}x{look.height} as those before"
            )
        self._frames.put((number, frame, white, is_kept(header)))

    # -- what the parts are made of ------------------------------------------------------------------------------

    def _made_of(self, made_by):
        """What decides on the bytes of the parts, in JSON's types."""
        import av

        source = None
        if self.like is not None:
            source = str(self.like.path.absolute())
            if self.like.once:  # whatever else comes through it, it is to be of one kind
                source = self.like.settings.get("source")
            elif self.like.path.is_file():
                found = self.like.path.stat()
                written = datetime.fromtimestamp(found.st_mtime, UTC)
                source += f", {found.st_size} bytes, written {written:%Y-%m-%d %H:%M:%S} UTC"
        ends = [end for end in (self.end, self.like.frame_count if self.like is not None else None) if end is not None]
        facts = {
            "source": source, "codec": self.codec.words, "options": self.codec.options, "part": self.codec.part,
            "bits": self.bits, "rate": str(self.rate), "start": self.start, "every": self.every,
            "end": min(ends, default=None),  # a part is whole that ends there
            "encoder": f"PyAV {av.__version__}, {self.codec.encoder}", **made_by,
        }  # fmt: skip
        return json.loads(json.dumps(facts, default=str))

    def _look_around(self):
        """Take note of what other runs have made."""
        self._whole = self.path.exists() and not self._overwrite and not self._part
        fresh = self._overwrite or self._whole
        self._record = None if fresh else self._begun()  # None where there are no parts to carry on with
        self._there = frozenset(self._place(number) for number, _ in self._found() if self._record)

    def _begun(self):
        """The record of a run before; DataError if that was of something else."""
        try:
            record = json.loads((self.parts / _RECORD).read_text())
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None
        facts = record["facts"]
        for name in [*self._facts, *facts]:
            if facts.get(name) != self._facts.get(name):
                raise DataError(
                    f"{self.path}: begun with {name} {facts.get(name)}, found {self._facts.get(name)}; expected the "
                    "same command to carry on, --overwrite, or another name"
                )
        look = record["look"]
        fractions = {name: look[name] and Fraction(look[name]) for name in ("rate", "aspect")}
        self._look = codecs.Look(**(look | fractions | {"tags": tuple(look["tags"])}))
        return record

    def _begin(self, frame, header, number, white):
        """Take from the first frame what all have in common, and note it beside the parts."""
        height, width = frame.shape[:2]
        codecs.check_size(self.path, self.codec, (height, width))
        depth = white.bit_length() if frame.dtype.kind != "f" else 0
        bits = self.bits or (depth if depth in self.codec.bits else self.codec.bits[0])
        sd = is_sd(height, width)
        usual = ("REC_601_525" if is_525(height) else "REC_601_625") if sd else "REC_709"
        transfer = header.transfer if header is not None else None
        colours = header.colorimetric if header is not None else None
        transfer = Transfer[usual] if transfer is None else transfer
        colours = Colorimetric[usual] if colours is None else colours
        fields = self._fields(header, height, width)
        if transfer in LOG:
            self.notes.append(
                f"codes are of {transfer.text}, for which movies have no tag: players take them for video"
            )
        trc = TRANSFER_TAGS.get(transfer, UNSPECIFIED)
        trc = 1 if self.codec.apple and trc == 6 else trc
        matrix = 0 if self.codec.subsampling is None else (6 if is_525(height) else 5) if sd else 1
        full = self.codec.subsampling is None and not is_kept(header)
        aspect = header.pixel_aspect if header is not None else None
        tags = PRIMARY_TAGS.get(colours, UNSPECIFIED), trc, matrix, 2 if full else 1
        self._look = codecs.Look(height, width, bits, self.rate, aspect, "601" if sd else "709", fields, tags)
        timecode = self._timecode(header)
        self._record = {"facts": self._facts, "first": number, "timecode": timecode, "look": asdict(self._look)}
        with whole(self.parts / _RECORD) as part:
            part.write_text(json.dumps(self._record, default=str, indent=1))

    def _timecode(self, header):
        """That of the first frame, if it counts as many frames a second as the movie has."""
        text, counted = (header.timecode, header.frame_rate) if header is not None else (None, None)
        if text and counted and round(counted) != round(self.rate):
            self.notes.append(f"the timecode counts {counted:.6g} frames/s, not {float(self.rate):.6g}: it is left out")
            return None
        known = getattr(self.like, "timecode", None)
        if text and known and known.drop_frame:  # which no header can mark above 40 frames/s
            return f"{text[:8]};{text[9:]}"
        return text

    def _fields(self, header, height, width):
        """Which field is first, where frames are woven of two as those of the source are."""
        if self.like is None or header is None or header.interlace != 1:
            return None
        down, across = (there - here for there, here in zip(self.like.size, (height, width), strict=True))
        order = getattr(self.like, "field_order", None)
        if across or down % 2 or down < 0:  # they have been scaled
            return None
        if order is None or self.codec.subsampling == "4:2:0":
            why = f"{self.codec.words} has chroma for both" if order else "no one says which is first"
            self.notes.append(f"frames are woven of two fields, but the movie says that it is progressive: {why}")
            return None
        return order

    def _check(self, frame, header, number):
        if (
            frame.ndim != 3
            or frame.shape[2] not in (1, 3, 4)
            or not (frame.dtype == np.uint16 or frame.dtype.kind == "f")
        ):
            raise DataError(
                f"{self.path}: frame {number} is {frame.shape} of {frame.dtype}, expected R, G and B, or grey, "
                "(height, width, channels), of uint16 or floats"
            )
        if header is not None and header.descriptor in CHROMA:
            raise DataError(f"{self.path}: frame {number} is {header.descriptor.text}, expected RGB")

    # -- parts ---------------------------------------------------------------------------------------------------

    def _place(self, number):
        """Which part a frame belongs to, counted from 0."""
        return (number - self.start) // self.every // self.codec.part

    def _found(self):
        """The parts that are there: the number of the first frame of each, and the file."""
        names = sorted(self.parts.glob("*.part")) if self.parts.is_dir() else []
        return sorted((int(path.stem), path) for path in names if re.fullmatch(r"\d+", path.stem))

    def _encode(self):
        """Encode what comes, part by part, on a thread of its own."""
        try:
            with closing(in_order(self._converted, self._coming(), threads=2, ahead=2)) as pictures:
                for _, group in groupby(pictures, lambda picture: self._place(picture[0])):
                    self._write_part(group)
        except _Abandon:
            pass
        except BaseException as problem:
            self._failed = problem
            with suppress(_Abandon):
                for _ in self._coming():  # so that nobody waits for ever for room
                    pass

    def _coming(self):
        while not self._ended:
            item = self._frames.get()
            self._ended = item in (_END, _ABANDONED)
            if item is _ABANDONED:
                raise _Abandon
            if not self._ended:
                yield item

    def _converted(self, item):
        number, frame, white, keep = item
        if frame.dtype.kind == "f" and not np.isfinite(frame).all():
            raise DataError(f"{self.path}: frame {number} holds NaN or infinity, expected finite numbers")
        if frame.dtype.kind != "f" and frame.max() > white:
            raise DataError(f"{self.path}: frame {number} holds code {frame.max()}, expected 0 to {white}")
        return number, codecs.planes(frame, white, self.codec, self._look, keep)

    def _write_part(self, group: Iterator[Any]) -> None:
        first = next(group)
        with whole(self.parts / f"{first[0]:07d}.part") as part, open(part, "xb") as file:
            times = (((number - first[0]) // self.every, arrays) for number, arrays in chain([first], group))
            container = "mp4" if self.codec.encoder == "ffv1" else "mov"
            with remux.written(file, self.path, container, remux.muxing(".mov", self.rate)) as made:
                codecs.encode(made, self.codec, self.path.suffix.lower(), self._look, times)

    def _join(self):
        found = self._found()
        if not found or self._record is None:
            raise DataError(f"{self.path}: there is no frame to make a movie of")
        start = self._record["first"]
        parts = [((number - start) // self.every, path) for number, path in found]
        span = self.like.span(start, self.end) if self.like is not None else None
        beside = (self.like.path, span) if span is not None else None
        if beside and self.rate * self.every != self.like.rate:  # seconds are others
            self.notes.append(
                f"there is no sound, and nothing else of {self.like.path}'s file, in it: that has "
                f"{float(self.like.rate):.6g} frames/s, not {float(self.rate * self.every):.6g}"
            )
            beside = None
        for goes_along in [beside, None] if beside else [None]:
            try:
                with whole(self.path) as part, open(part, "x+b") as file:
                    self.notes += remux.join(
                        file, self.path, parts, self.codec, self._look, self._record["timecode"], goes_along
                    )  # fmt: skip
                return
            except DataError as error:  # of what the source's file holds, such as sound that is damaged
                if goes_along is None:
                    raise
                self.notes.append(f"there is no sound, and nothing else of {self.like.path}'s file, in it: {error}")

    def _raise(self):
        if self._failed is not None:
            raise self._failed


class _Abandon(Exception):
    """The part under way is not to become whole."""


_END, _ABANDONED = object(), object()


def _rate(path, like, first, rate):
    """Frames per second of the source."""
    try:
        asked = None if rate is None else Fraction(rate)
    except (ValueError, ZeroDivisionError):
        asked = Fraction(0)
    if asked is not None:
        if asked <= 0:
            raise OptionError(f"rate is {rate}, expected frames per second, as 25 or 24000/1001")
        return asked
    known = like.rate if like is not None else None
    if known is None and like is not None:
        known = exact_rate(like.header(first).frame_rate)
    if known is None:
        raise OptionError(f"{path}: no frame rate is known of the frames, expected one: --rate 24000/1001")
    return known


def _locked(path, movie):
    file = open(path, "wb")  # noqa: SIM115 -- its end is the lock's
    if fcntl is not None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise FastupError(f"{movie}: another run is making it; expected its end, or another name") from None
        except OSError:  # no locks here
            pass
    return file
