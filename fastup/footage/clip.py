"""What a video and a folder of stills have in common: frames in order, with timecodes, as 10-bit R, G, B."""

import math
import re
from bisect import bisect_right
from fractions import Fraction

import numpy as np

from fastup.codes import Timecode
from fastup.errors import OptionError
from fastup.footage.sequences import count as _count
from fastup.footage.sequences import timecode_at


class Planes(tuple):
    """The arrays of a frame: (Y, Cb, Cr), each of its own size; (Y,); or (RGB,) of shape (H, W, 3).

    uint8 or uint16, the source's codes. `interlaced` says whether lines of chroma belong to the fields in turn.
    """

    interlaced = False


class Source:
    """What a video and stills have in common: all but how they are read.

    Attributes
    ----------
    path : Path
    width, height : int
        In pixels.
    bits : int
        Of the codes, 8 to 16.
    rate : Fraction or None
        Frames per second; of a variable rate, the mean.
    pixel_aspect : Fraction or None
        Width of a pixel over its height.
    timecode : Timecode or None
        Of frame 0.
    field_order : {"top", "bottom", None}
        Which field is first, by what the file claims.
    frame_count : int or None
        Exact of stills, with those that are missing; an estimate of video.
    matrix, siting, full
        As `fastup._ycbcr.rgb` has them.
    notes : list of str
        What was assumed or is odd, a line each. A pass over the frames may add to them.
    damage : str or None
        What kept the last pass over the frames from giving all that the file should have.
    settings : dict of str to str
        What is known of the source, and from where, in words.
    """

    matrix, siting, full, field_order, damage = None, "left", True, None, None

    def __init__(self, path, keep, interlaced):
        self.path, self.keep, self._interlaced = path, keep, interlaced
        self.notes, self.settings = [], {}
        self._marks, self._base, self._pace = None, None, 1  # as of `sequences.Timeline`

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def rgb(self, planes, out=None):
        """10-bit R, G, B of a frame.

        Y, Cb, Cr are converted as `fastup._ycbcr.rgb` does it. Codes of R, G, B are scaled from white to white and
        nothing else; luma alone gives grey.

        Parameters
        ----------
        planes : Planes
        out : ndarray, (H, W, 3), uint16, optional

        Returns
        -------
        ndarray, (H, W, 3), uint16
        """
        from fastup import _ycbcr  # brings Numba

        if len(planes) == 3:
            return _ycbcr.rgb(
                planes, self.bits, matrix=self.matrix, siting=self.siting,
                interlaced=planes.interlaced, full=self.full, keep=self.keep, out=out,
            )  # fmt: skip
        (plane,) = planes
        if out is None:
            out = np.empty((*plane.shape[:2], 3), np.uint16)
        table = _ycbcr.table(self.bits, self.full or plane.ndim == 3, self.keep)
        codes = table.take(plane, mode="clip")  # damage may give more than there should be
        out[...] = codes if plane.ndim == 3 else codes[:, :, np.newaxis]
        return out

    def frame_number(self, position, name="position"):
        """The number of a frame from its number, its time or its timecode.

        Parameters
        ----------
        position : int or str
            ``120``; ``0:01:02.5``, the first frame at that time or after; ``01:00:02:12`` or ``01:00:02;12``.
        name : str
            What to call it in an error.

        Raises
        ------
        OptionError
            If it is none of them, or the source has no rate or timecode to tell by.
        """
        text = str(position)
        if text.isdecimal():
            return int(text)
        time = re.fullmatch(r"(?:(\d+):)?(\d+):(\d\d?(?:\.\d+)?)", text)
        if time and self.rate:
            hours, minutes, seconds = (Fraction(part or 0) for part in time.groups())
            return math.ceil((hours * 3600 + minutes * 60 + seconds) * self.rate)
        try:
            timecode = None if time else Timecode(text)
        except ValueError:
            raise OptionError(
                f"{name} is {text!r}, expected a frame's number, a time as 0:01:02.5, or a timecode"
            ) from None
        marks = self._timecodes()
        if not self.rate or (timecode and not marks):
            raise OptionError(f"{name} is {text}, but {self.path} has no {'timecode' if self.rate else 'frame rate'}")
        base = self._base or max(1, round(self.rate))
        for (place, first), (end, _) in zip(marks, [*marks[1:], (math.inf, None)], strict=True):
            later = _count(timecode, base, first.drop_frame) - _count(first, base, first.drop_frame)
            if later >= 0 and place - (-later // self._pace) < end:
                return place - (-later // self._pace)
        if len(marks) == 1:
            raise OptionError(f"{name} is {text}, before the first frame, which is {marks[0][1]}")
        raise OptionError(f"{name} is {text}, expected one that counts on from {some([mark[1] for mark in marks])}")

    def _timecode(self, index, rate):
        """The timecode of a frame at a rate, if it can be counted; above 40 frames/s no header can mark drop frame."""
        marks, own = self._timecodes(), self.rate or rate
        if not rate or not 1 <= round(rate) <= 60:
            return None
        after = bisect_right(marks, index * own / rate, key=lambda mark: mark[0])
        if not after:
            return None
        place, first = marks[after - 1]
        text = timecode_at(first, math.floor(index - place * rate / own), self._base or own, rate)
        return text if rate <= 40 else text.replace(";", ":")

    def _timecodes(self):
        """The frames from which timecodes are counted on, and those."""
        return self._marks or ([(0, self.timecode)] if self.timecode else [])

    def there(self, index):
        """Whether there is a frame of that number, as far as it is known."""
        return True

    def missing(self, start, end):
        """What is missing from a frame to before another, in words, once a pass has ended; None if nothing is."""
        return self.damage

    def _say_scaled(self):
        self.settings["range"] = f"0-{(1 << self.bits) - 1}, to 0-1023"

    def note(self, text):
        """Add to the notes, once."""
        if text not in self.notes:  # which another pass may have found
            self.notes.append(text)


def made_levels(source):
    """The codes that black and white get."""
    return (64, 940) if source.keep and not source.full else (0, 1023)


def is_sd(source):
    return source.width < 1280 and source.height <= 608  # 576 lines, and the 32 of blanking above them of D-10


def per_second(rate):
    return f"{float(rate):.6g} frames/s" if rate else "no frame rate"


def some(words):
    return ", ".join(words[:3]) + ", ..." * (len(words) > 3)
