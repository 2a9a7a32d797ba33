"""Drawn animation, telecined, with the truth carried along: which film frame and drawing every field comes from.

Used by the tests of `fastup.footage.telecine` and by ``bench/bench_telecine.py``; imports nothing of fastup.
"""

import io
import itertools
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np


@dataclass(frozen=True)
class Case:
    """What is filmed, and what is done to it. Levels are in 8-bit codes, lengths in film frames."""

    holds: tuple = (2,)  # how long drawings stay; one is picked for each scene
    motion: tuple = ("act",)  # act, mouth, pan, still; one is picked for each scene
    frames: int = 600
    size: tuple = (240, 352)
    scene: tuple = (24, 90)  # shortest and longest
    grain: float = 0.0  # standard deviation, before the pulldown: every film frame has its own
    clumps: bool = False  # whether neighbouring lines share grain, so that weaves of two film frames show
    noise: float = 0.0  # after it: every field has its own
    edits: float = 0.6  # share of cuts at which the video was cut, so that the cadence breaks
    inner: float = 0.0  # the same inside scenes, per scene
    fades: float = 0.0  # share of cuts that fade out and in, on film
    video_fades: float = 0.0  # the same, on video: every field has its own level
    top_first: bool = True
    bits: int = 8
    chroma: str = "420"  # none: luma alone, the same, in half the time
    start: int = 0  # film frames cut off the beginning: another first phase
    codec: str = ""  # mpeg2, prores or h264: what it goes through in the end


@dataclass
class Clip:
    """A telecined clip."""

    frames: list  # of (Y, Cb, Cr), interlaced, uint8 or uint16
    film: np.ndarray  # (n, 2): the film frame of the top and of the bottom field
    drawing: np.ndarray  # (film frames,): the drawing that a film frame shows
    scene: np.ndarray  # (film frames,)
    breaks: list = field(default_factory=list)  # video frames before which the cadence breaks


def make(case, seed):
    """Draw, telecine and edit a clip; the same case and seed give the same clip."""
    rng = np.random.default_rng(seed)
    pictures, drawing, scene, gains = _film(case, rng)
    order = (0, 1) if case.top_first else (1, 0)
    film = np.array([(a, b) if case.top_first else (b, a) for a, b in pulldown(len(drawing))])
    keep, breaks = _edit(case, rng, film, scene, order)
    film = film[keep]
    levels = _video_fades(case, rng, scene[film[:, order[0]]])
    grains = {}
    frames = []
    for n, pair in enumerate(film):
        for f in set(map(int, pair)) - grains.keys():
            grains[f] = _grain(case, seed, f)
        grains = {f: g for f, g in grains.items() if f in pair or f >= min(pair) - 2}
        planes = []
        for k in range(len(pictures[0])):
            parts = [pictures[drawing[f]][k] * gains[f] + (0 if k else grains[f]) for f in pair]
            woven = parts[0].copy()
            woven[1::2] = parts[1][1::2]
            for p in (0, 1):
                woven[p::2] *= levels[n, p]
            planes.append(woven)
        planes = [planes[0], *(_subsample(p, case.chroma) for p in planes[1:])]
        noise = np.random.default_rng((seed, 7, n))
        planes = [p + case.noise * noise.standard_normal(p.shape, np.float32) * (1 if k == 0 else 0.7)
                  for k, p in enumerate(planes)]  # fmt: skip
        frames.append(tuple(_codes(p, k, case.bits) for k, p in enumerate(planes)))
    if case.codec:
        frames = recode(frames, case)
    return Clip(frames, film, drawing, scene, breaks)


_ALL = {"motion": ("act", "act", "mouth", "pan", "still"), "grain": 1.0, "noise": 1.0}
CASES = {
    "on ones": Case(holds=(1,), grain=2, noise=1),
    "on ones, clean": Case(holds=(1,)),
    "on twos, grain 2, noise 1": Case(holds=(2,), grain=2, noise=1),
    "on threes, grain 2, noise 1": Case(holds=(3,), grain=2, noise=1),
    "on threes, grain in clumps": Case(holds=(3,), grain=2, noise=1, clumps=True),
    "on threes, no grain, noise 2": Case(holds=(3,), noise=2),
    "on threes, clean": Case(holds=(3,)),
    "on threes, noise 4": Case(holds=(3,), noise=4),
    "on fours, grain 1, noise 2": Case(holds=(4,), grain=1, noise=2),
    "on twos, mouths only": Case(holds=(2,), motion=("mouth",), grain=1, noise=1),
    "on threes, mouths only, noise 2": Case(holds=(3,), motion=("mouth",), noise=2),
    "on twos over pans": Case(holds=(2,), motion=("pan",), grain=1, noise=1),
    "mixed": Case(holds=(1, 2, 3, 4), **_ALL),
    "mixed, breaks inside scenes": Case(holds=(1, 2, 3, 4), inner=0.7, **_ALL),
    "on threes, breaks inside, noise 2": Case(holds=(3,), noise=2, inner=0.7),
    "on twos, fades on film": Case(holds=(2,), fades=0.7, grain=1, noise=1),
    "on twos, fades on video": Case(holds=(2,), video_fades=0.5, grain=1, noise=1),
    "on twos, bottom field first": Case(holds=(2,), grain=1, noise=1, top_first=False, start=1),
    "on twos, 4:2:2, 10 bits, 486 lines": Case(
        holds=(2, 3), grain=1, noise=1, bits=10, chroma="422", size=(486, 720), top_first=False, start=3
    ),
    "on threes, MPEG-2": Case(holds=(3,), grain=1, noise=1, codec="mpeg2"),
    "on twos, MPEG-2, bottom field first": Case(holds=(2,), grain=1, noise=1, codec="mpeg2", top_first=False, start=2),
    "on twos, ProRes": Case(holds=(2,), grain=1, noise=1, bits=10, chroma="422", codec="prores"),
    "on twos, H.264": Case(holds=(2,), grain=1, noise=1, codec="h264"),
}
SMALL = Case(frames=64, grain=1, noise=1, size=(96, 160), bits=10, chroma="422", inner=1, top_first=False)


def bars(count, times, size=(96, 160), noise=1.0, seed=0):
    """Frames of a bar that moves: times(frame) gives when its top and its bottom field were taken."""
    rng = np.random.default_rng(seed)
    x = np.arange(size[1])
    for n in range(count):
        fields = [np.where(abs(x - 20 - 3 * t) < 12, 200.0, 60.0) for t in times(n)]
        frame = np.empty(size)
        frame[0::2], frame[1::2] = fields
        yield (frame + rng.normal(0, noise, size)).round().clip(0, 255).astype(np.uint8)


def progressive(n):
    return n % 36, n % 36


def interlaced(n):
    return n % 36, n % 36 + 0.5


def recode(frames, case):
    """Frames through a codec, interlaced: MPEG-2 at quantiser 4, ProRes HQ, or H.264 at a rate factor of 23."""
    import av

    name, kind, pixels, options = {
        "mpeg2": ("mpeg2video", "mpeg", "yuv420p", {
            "flags": "+ildct+ilme+qscale", "qmin": "4", "qmax": "4", "global_quality": str(4 * 118), "bf": "2",
            "g": "15", "top": str(int(case.top_first)),
        }),
        "h264": ("libx264", "matroska", "yuv420p", {
            "crf": "23", "flags": "+ildct+ilme", "x264-params": f"tff={int(case.top_first)}",
        }),
        "prores": ("prores_ks", "mov", "yuv422p10le", {"profile": "hq", "flags": "+ildct"}),
    }[case.codec]  # fmt: skip
    height, width = frames[0][0].shape
    file = io.BytesIO()
    with av.open(file, "w", format=kind) as container:
        stream = container.add_stream(name, rate=Fraction(30000, 1001), options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, pixels
        for number, planes in enumerate(frames):
            picture = av.VideoFrame(width, height, pixels)
            picture.pts, picture.time_base = number, Fraction(1001, 30000)
            fill(picture, planes)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    file.seek(0)
    with av.open(file) as container:
        return [tuple(planes_of(picture, frames[0])) for picture in container.decode(video=0)]


def fill(picture, planes):
    """Put planes into a frame of PyAV."""
    for there, plane in zip(picture.planes, planes, strict=True):
        lines = np.frombuffer(there, np.uint8).reshape(-1, there.line_size)
        raw = np.ascontiguousarray(plane).view(np.uint8)
        lines[: raw.shape[0], : raw.shape[1]] = raw


def planes_of(picture, like):
    """The planes of a frame of PyAV, of the shapes and types of others."""
    for there, plane in zip(picture.planes, like, strict=True):
        lines = np.frombuffer(there, np.uint8).reshape(-1, there.line_size)[: plane.shape[0]]
        yield lines[:, : plane.shape[1] * plane.itemsize].copy().view(plane.dtype)


def pulldown(count):
    """3:2 pulldown: film frames by (first field, second field) of video frames. AA BB BC CD DD."""
    pairs = []
    for n in range(0, count - 3, 4):
        a, b, c, d = range(n, n + 4)
        pairs += [(a, a), (b, b), (b, c), (c, d), (d, d)]
    return pairs


def score(clip, pairs, same=None):
    """How well woven frames tell the film.

    Parameters
    ----------
    clip : Clip
    pairs : sequence of (int, int)
        For each woven frame, the video frames that its top and its bottom field come from; -1 where it has one alone.

    Returns
    -------
    wrong, drawings, woven, frames : int
        Drawings that are shown for a wrong time, of how many; frames woven from two film frames, of how many. A film
        frame of which an edit left one field may be shown or not; both are right. Two film frames of which
        ``same(a, b)`` is true count as one.
    """
    pairs = np.asarray(pairs).reshape(-1, 2)
    top, bottom = clip.film[pairs[:, 0], 0], clip.film[pairs[:, 1], 1]
    top, bottom = np.where(pairs[:, 0] < 0, bottom, top), np.where(pairs[:, 1] < 0, top, bottom)
    apart = top != bottom
    if same is not None:
        apart &= ~same(top, bottom)
    fields = [clip.film[:, 0], clip.film[:, 1]]
    both, any_ = np.intersect1d(*fields), np.union1d(*fields)
    count = len(clip.drawing)
    least = np.bincount(clip.drawing[both], minlength=count)
    most = np.bincount(clip.drawing[any_], minlength=count)
    shown = np.bincount(clip.drawing[top], minlength=count)
    there = most > 0
    wrong = there & ((shown < least) | (shown > most))
    return int(wrong.sum()), int(there.sum()), int(apart.sum()), len(pairs)


# -- the film ---------------------------------------------------------------------------------------------------------


def _film(case, rng):
    pictures, drawing, scene, gains = [], [], [], []
    number = 0
    while len(drawing) < case.frames:
        length = int(rng.integers(*case.scene))
        hold, motion = int(rng.choice(case.holds)), str(rng.choice(case.motion))
        stage = _Stage(case.size, rng)
        time, first = 0, len(drawing)
        while time < length:
            stay = {"still": length, "pan": 1}.get(motion, hold)
            pictures.append(stage.draw(motion, time // stay, time // hold, 3 if case.chroma else 1))
            drawing += [len(pictures) - 1] * min(stay, length - time)
            time += stay
        scene += [number] * (len(drawing) - first)
        gain = np.ones(length, np.float32)
        if rng.random() < case.fades and length > 24:
            ramp = np.linspace(0, 1, 12, dtype=np.float32)
            gain[:12], gain[-12:] = ramp, ramp[::-1]
        gains += list(gain)
        number += 1
    count = case.frames // 4 * 4
    skip = case.start
    return pictures, np.array(drawing[skip : count + skip]), np.array(scene[skip : count + skip]), gains[skip:]


class _Stage:
    """A background, and a character that moves before it."""

    def __init__(self, size, rng):
        self.rng = rng
        self.height, self.width = height, width = size
        wide = width + 400
        y, x = np.mgrid[:height, :wide].astype(np.float32)
        a, b, c = rng.uniform(-1, 1, 3)
        luma = 110 + 60 * (a * x / wide + b * y / height)
        luma += 6 * np.sin(x / rng.uniform(7, 20) + 3 * c) * np.sin(y / rng.uniform(5, 15))
        self.back = [luma, 128 + 20 * a + 0 * x, 128 + 20 * b + 0 * x]
        for _ in range(12):
            centre = rng.uniform(0, height), rng.uniform(0, wide)
            radii = rng.uniform(0.03, 0.25, 2) * height
            _ellipse(self.back, centre, radii, rng.uniform(0, 3), _paint(rng), rng.random() < 0.7)
        self.paints = [_paint(rng) for _ in range(5)]
        self.scale = height * rng.uniform(0.5, 1.0)
        self.centre = height * rng.uniform(0.45, 0.6), width * rng.uniform(0.3, 0.7)
        self.phase, self.speed = rng.uniform(0, 6, 6), rng.uniform(0.25, 0.7, 6)
        self.pan = rng.uniform(0.7, 4.0) * rng.choice([-1, 1])

    def draw(self, motion, step, pose, count=3):
        shift = 200 + (self.pan * step if motion == "pan" else 0)
        left = int(np.clip(np.floor(shift), 0, 399))
        part = np.float32(np.clip(shift - left, 0, 1))
        planes = [(1 - part) * p[:, left : left + self.width] + part * p[:, left + 1 : left + 1 + self.width]
                  for p in self.back[:count]]  # fmt: skip
        angles = self.phase + (self.speed * pose if motion in ("act", "pan") else 0)
        s, (cy, cx) = self.scale, self.centre
        if motion in ("act", "pan"):
            cy, cx = cy + 0.02 * s * np.sin(angles[0]), cx + 0.05 * s * np.sin(angles[1])
        _ellipse(planes, (cy + 0.25 * s, cx), (0.25 * s, 0.13 * s), 0.1 * np.sin(angles[2]), self.paints[0], True)
        for side, k in ((-1, 3), (1, 4)):
            arm = 0.6 * np.sin(angles[k])
            at = cy + 0.15 * s + 0.08 * s * np.sin(arm), cx + side * (0.16 * s + 0.03 * s * np.cos(arm))
            _ellipse(planes, at, (0.05 * s, 0.15 * s), side * (0.5 + arm), self.paints[1], True)
        _ellipse(planes, (cy - 0.1 * s, cx), (0.15 * s, 0.13 * s), 0.15 * np.sin(angles[2]), self.paints[2], True)
        for side in (-1, 1):
            _ellipse(planes, (cy - 0.14 * s, cx + side * 0.05 * s), (0.03 * s, 0.02 * s), 0, (235, 128, 128), True)
        opening = 0.004 + 0.025 * abs(np.sin(1.3 * pose + self.phase[5])) if motion != "still" else 0.01
        _ellipse(planes, (cy - 0.03 * s, cx), (opening * s, 0.045 * s), 0, (60, 118, 160), True)
        return [np.ascontiguousarray(p) for p in planes]


def _paint(rng):
    return rng.uniform(50, 210), rng.uniform(90, 166), rng.uniform(90, 166)


def _ellipse(planes, centre, radii, angle, paint, ink):
    """Paint an antialiased ellipse with an ink line around it."""
    (cy, cx), reach = centre, max(radii) + 3
    height, width = planes[0].shape
    top, bottom = max(0, int(cy - reach)), min(height, int(cy + reach) + 1)
    left, right = max(0, int(cx - reach)), min(width, int(cx + reach) + 1)
    if top >= bottom or left >= right:
        return
    y, x = np.mgrid[top:bottom, left:right].astype(np.float32)
    y, x = y - np.float32(cy), x - np.float32(cx)
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    v, u = (c * y + s * x) / np.float32(radii[0]), (c * x - s * y) / np.float32(radii[1])
    distance = (np.hypot(v, u) - 1) * np.float32(min(radii))
    for plane, value in zip(planes, paint, strict=False):
        part = plane[top:bottom, left:right]
        part += (np.float32(value) - part) * np.clip(0.5 - distance, 0, 1)
    if ink:
        line = 0.9 * np.clip(1.3 - np.abs(distance), 0, 1)
        for plane, value in zip(planes, (25, 128, 128), strict=False):
            part = plane[top:bottom, left:right]
            part += (np.float32(value) - part) * line


def _grain(case, seed, frame):
    if not case.grain:
        return np.float32(0)
    white = np.random.default_rng((seed, 5, frame)).standard_normal((case.size[0] + 1, case.size[1]), np.float32)
    return case.grain * (white[1:] + white[:-1]) / np.float32(2**0.5) if case.clumps else case.grain * white[1:]


# -- the video --------------------------------------------------------------------------------------------------------


def _edit(case, rng, film, scene, order):
    """Which video frames stay, and before which of them the cadence breaks."""
    keep = np.ones(len(film), bool)
    first = scene[film[:, order[0]]]
    cuts = np.flatnonzero(np.diff(first)) + 1
    starts = np.concatenate([[0], cuts, [len(film)]])
    for cut in cuts:
        if rng.random() < case.edits:
            before, after = [(0, 1), (1, 0), (1, 1), (2, 0), (0, 3), (2, 1), (1, 3), (4, 0)][int(rng.integers(8))]
            keep[max(cut - before, 0) : cut + after] = False
    for a, b in itertools.pairwise(starts):
        if rng.random() < case.inner and b - a > 20:
            at = int(rng.integers(a + 8, b - 10))
            keep[at : at + int(rng.integers(1, 5))] = False
    index = np.flatnonzero(keep)
    gaps = np.diff(index) - 1
    return index, [int(n) + 1 for n in np.flatnonzero(gaps % 5)]


def _video_fades(case, rng, scene):
    levels = np.ones((len(scene), 2), np.float32)
    for cut in np.flatnonzero(np.diff(scene)) + 1:
        if rng.random() < case.video_fades:
            for n in range(max(0, cut - 10), min(len(scene), cut + 10)):
                for p in (0, 1):
                    time = n + 0.5 * (p if case.top_first else 1 - p)
                    levels[n, p] = min(levels[n, p], abs(time - cut + 0.25) / 10)
    return levels


def _subsample(plane, chroma):
    plane = (plane[:, 0::2] + plane[:, 1::2]) / 2
    if chroma == "420":  # within each field
        height = plane.shape[0] // 4 * 4
        fields = plane[:height].reshape(height // 4, 2, 2, -1)  # of 4 lines: 0 and 2 are the top field's
        plane = fields.mean(1).reshape(height // 2, -1)
    return plane


def _codes(plane, kind, bits):
    low, high = (16, 235) if kind == 0 else (16, 240)
    plane = np.clip(np.rint(plane * 2 ** (bits - 8)), low * 2 ** (bits - 8), high * 2 ** (bits - 8))
    return plane.astype(np.uint8 if bits == 8 else np.uint16)
