"""Two masters of one drawn film, and the truth: what shows the same drawing, where it lies, in which colours.

`make` writes folder/sd and folder/hd as 10-bit DPX. Used by the tests of `fastup match` and by the benches of it.
"""

import itertools
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import drawn
import numpy as np

import fastup
from fastup.footage.degrade import degrade
from fastup.header import Header

TAPE = {"softness": 0.5, "peaking": 0.25, "noise": 0.006, "chroma": 1.4}
KINDS = ("", "black", "fade", "flash", "dissolve", "title")


@dataclass(frozen=True)
class Case:
    """What is filmed, and what the two masters do to it. Lengths are in film frames, or in SD pixels where said."""

    frames: int = 240  # of the film, before it is edited
    hd: tuple[int, int] = (540, 720)  # the picture of the HD master, square pixels
    sd: tuple[int, int] = (240, 360)
    pillars: tuple[int, int, int, int] = (0, 0, 0, 0)  # black around HD's picture: left, right, top, bottom
    blanking: tuple[int, int, int, int] = (0, 0, 0, 0)  # black over the rim of SD's frame, the same
    # the film
    holds: tuple[int, ...] = (2,)  # how long drawings stay; one is picked for each scene
    motion: tuple[str, ...] = ("act", "act", "pan")  # act, mouth, pan, camera, still; one is picked for each scene
    scene: tuple[int, int] = (20, 50)  # the shortest and the longest
    shared: float = 0.2  # share of scenes with the background of an earlier one
    dissolves: float = 0.0  # share of cuts that are dissolves of 12 frames
    fades: float = 0.0  # share that fade out and in, with some black between
    flashes: float = 0.0  # share of scenes with a flash of two frames
    # the masters
    intros: bool = False  # each starts and ends with titles of its own, and one leaves out the film's first frames
    cuts: int = 0  # scenes that are missing in one of the masters, in turn
    reordered: int = 0  # scenes that SD shows at another place
    preview: bool = False  # SD shows some frames of later scenes before the film
    credits: int = 0  # cards of credits; before another background in each master
    missing: float = 0.0  # share of frames that are missing, in each master
    doubled: float = 0.0  # share of frames that come twice, in each
    common: bool = True  # False: they are two films
    # place
    overscan: tuple[float, float] = (0.0, 0.0)  # the least and the most that SD is larger, each axis apart
    either: bool = False  # or smaller
    rotation: float = 0.0  # degrees at most, either way
    shift: float = 0.0  # SD pixels at most, either way, each axis
    drift: float = 0.0  # SD pixels: amplitude of slow waves
    weave: float = 0.0  # SD pixels: standard deviation from frame to frame
    jumps: float = 0.0  # share of cuts after which the picture jumps by 2 pixels, and settles
    # picture
    colour: str = ""  # "", curves, matrix, both: one for each scene
    grain: float = 0.0  # standard deviation, normalised; each master its own
    tape: bool = True  # what SD tape does; without it, fewer pixels alone
    subtitles: float = 0.0  # share of SD's frames that have them
    rates: tuple[float, float] = (24000 / 1001, 24000 / 1001)


_PLACE = {"overscan": (0.02, 0.05), "rotation": 0.3, "shift": 2.0, "drift": 0.5, "weave": 0.1}
CASES = {
    "clean": Case(tape=False),
    "on twos, grain": Case(grain=0.012, holds=(2,)),
    "on ones": Case(grain=0.006, holds=(1,), missing=0.01),
    "on threes, mouths": Case(grain=0.006, holds=(3,), motion=("mouth",)),
    "overscan": Case(grain=0.004, overscan=(0.02, 0.06), either=True, shift=4.0),
    "weave": Case(grain=0.004, drift=0.8, weave=0.25, jumps=0.5, shift=2.0),
    "rotation": Case(grain=0.004, rotation=1.0, overscan=(0.02, 0.04)),
    "colour, curves": Case(grain=0.004, colour="curves"),
    "colour, matrix": Case(grain=0.004, colour="matrix"),
    "subtitles": Case(grain=0.004, subtitles=0.6, colour="curves"),
    "missing, doubled": Case(grain=0.004, holds=(1, 2, 3), missing=0.03, doubled=0.03),
    "camera": Case(grain=0.004, motion=("camera", "camera", "act"), shift=2.0, overscan=(0.02, 0.05), missing=0.01),
    "cut, re-ordered": Case(grain=0.004, frames=300, cuts=3, reordered=1, preview=True),
    "intros": Case(grain=0.004, intros=True, credits=2, rates=(24000 / 1001, 24.0), pillars=(120, 120, 0, 0)),
    "dissolves, fades": Case(grain=0.004, frames=300, dissolves=0.35, fades=0.3, flashes=0.3),
    "everything": Case(
        frames=300, holds=(1, 2, 2, 3), motion=("act", "act", "pan", "mouth", "still"), dissolves=0.15, fades=0.15,
        flashes=0.15, intros=True, cuts=2, preview=True, credits=1, missing=0.01, doubled=0.01, jumps=0.3,
        colour="both", grain=0.006, subtitles=0.3, rates=(24000 / 1001, 24.0), pillars=(120, 120, 0, 0),
        blanking=(3, 4, 2, 0), **_PLACE,
    ),
    "nothing in common": Case(common=False, grain=0.004),
}  # fmt: skip
SMALL = {"hd": (360, 480), "sd": (160, 240)}  # for what has little time: replace(CASES[name], **SMALL)


class Look(NamedTuple):
    """What a film frame shows: two frames of the same look show the same picture."""

    scene: int
    pose: tuple[int, int] = (0, 0)
    pan: float = 0.0  # how far the background has moved to the left; the character as well where the camera pans
    camera: float = 0.0
    gain: float = 1.0
    white: float = 0.0
    other: "Look | None" = None  # into which it dissolves
    weight: float = 0.0
    card: str = ""

    @property
    def kind(self):
        if self.gain == 0:
            return "black"
        if self.other:
            return "dissolve"
        if self.gain < 1:
            return "fade"
        return "flash" if self.white else "title" if self.card else ""


@dataclass
class Truth:
    """What is true of the two masters. Frames are numbered from 0, by their place in folder/sd and folder/hd."""

    case: Case
    seed: int
    sd: list[Look]
    hd: list[Look]
    affine: np.ndarray  # (SD frames, 2, 3): SD position -> HD position (down, across) of whole frames; centres at .5
    partners: list[frozenset[int]]  # of each SD frame, the HD frames that show the same picture; none where it is black
    drawing: np.ndarray  # (SD frames,): which picture, by number; the same number is the same picture
    hd_drawing: np.ndarray  # the same of the HD frames; -1 where SD never shows it
    shot: np.ndarray  # (SD frames,): the scene; colours are those of the scene
    kind: list[str]  # (SD frames,): one of KINDS
    subtitled: np.ndarray  # (SD frames,) bool
    _colours: dict[int, Callable] = field(repr=False)
    _art: "Art" = field(repr=False)

    @property
    def usual(self):
        """SD frames that have a partner, and are no black, faded, flashing or dissolving ones."""
        return [n for n, partners in enumerate(self.partners) if partners and not self.kind[n]]

    def colour(self, frame):
        """The function that makes HD's colours, (..., 3) normalised floats, those of an SD frame, without noise."""
        return self._colours[int(self.shot[frame])]

    def picture(self, frame, size=None, coloured=True):
        """What an SD frame would be with no tape, grain or subtitles, (H, W, 3) float32: the best that can be had.

        `size` is of the whole SD frame, and may be that of its HD twin. Blanking is not drawn. Without being
        `coloured` it has HD's colours.
        """
        size = size or self.case.sd
        scale = np.divide(size, self.case.sd)
        to_film = self._art.to_film(self.affine[frame])
        matrix = invert(to_film) * scale[:, None]
        picture = self._art.draw(self.sd[frame], size, matrix)
        return self.colour(frame)(picture).astype(np.float32) if coloured else picture

    def flat(self, frame, size=None, reach=4, span=0.04):
        """Where a picture is flat, (H, W) bool: around it, `reach` SD pixels far, it spans no more than `span`.

        Subtitles, blanking and what HD does not show are left out, each with that much around.
        """
        size = size or self.case.sd
        picture = self.picture(frame)
        low, high = picture.copy(), picture.copy()
        for axis in (0, 1):
            low, high = _running(low, reach, axis, np.minimum), _running(high, reach, axis, np.maximum)
        widest = (high - low).max(2) <= span
        y, x = (np.arange(n) + 0.5 for n in self.case.sd)
        left, right, top, bottom = self.case.blanking
        inside = np.outer((y > top + reach) & (y < self.case.sd[0] - bottom - reach),
                          (x > left + reach) & (x < self.case.sd[1] - right - reach))  # fmt: skip
        position = (
            np.stack(np.meshgrid(y, x, indexing="ij"), -1) @ self.affine[frame][:, :2].T + self.affine[frame][:, 2]
        )
        left, right, top, bottom = self.case.pillars
        margin = reach * max(np.divide(self.case.hd, self.case.sd))
        for axis, before in ((0, top), (1, left)):
            at = position[..., axis] - before
            inside &= (at > margin) & (at < self.case.hd[axis] - margin)
        if self.subtitled[frame]:
            inside[int(0.74 * self.case.sd[0]) :] = False
        rows, columns = (np.arange(n) * s // n for n, s in zip(size, self.case.sd, strict=True))
        return (widest & inside)[rows][:, columns]


def make(case, seed, folder, threads=2):
    """Draw both masters; the same case and seed give the same files, and the same `Truth`."""
    rng = np.random.default_rng((seed, 0))
    film = _film(case, rng, 0)
    other = film if case.common else _film(case, rng, 500)
    sd, hd = _edit(case, rng, film, other)
    art = Art(case, seed)
    shot = np.array([look.scene for look in sd])
    colours = {scene: colour_map(case, np.random.default_rng((seed, scene, 3))) for scene in sorted(set(shot.tolist()))}
    matrices = places(case, np.random.default_rng((seed, 4)), shot)  # film -> SD
    affine = np.array([compose(art.hd_matrix, invert(m)) for m in matrices])
    numbers = {look: n for n, look in enumerate(dict.fromkeys(sd))}
    where = defaultdict(list)
    for n, look in enumerate(hd):
        where[look].append(n)
    subtitles = _subtitles(case, np.random.default_rng((seed, 5)), sd)
    truth = Truth(
        case, seed, sd, hd, affine,
        [frozenset() if look.kind == "black" else frozenset(where[look]) for look in sd],
        np.array([numbers[look] for look in sd]), np.array([numbers.get(look, -1) for look in hd]), shot,
        [look.kind for look in sd], np.array([bool(words) for words in subtitles]), colours, art,
    )  # fmt: skip
    folder = Path(folder)
    grain = Grain(seed, np.maximum(case.hd, (2 * case.sd[0], case.sd[1])))

    def write_sd(n):
        picture = colours[shot[n]](art.draw(sd[n], (2 * case.sd[0], case.sd[1]), matrices[n] * [[2], [1]]))
        picture = picture.astype(np.float32)
        if subtitles[n]:
            words = drawn.text(subtitles[n], 0.88, drawn.ASPECT / 2, 0.07, (0.95, 0.95, 0.92))
            drawn.overlay(picture, words, art.sd_matrix * [[2], [1]])
        tape = TAPE if case.tape else dict.fromkeys(TAPE, 0.0)
        grain.add(picture, case.grain * 2**0.5, (0, n))
        picture = degrade(picture, case.sd, seed=(seed, n, 6), **tape)
        _blank(picture, case.blanking)
        _write(folder / "sd" / f"tape_{n + 86400:06d}.dpx", picture, n, case.rates[0], "01:00:00:00", (8, 9))

    def write_hd(n):
        picture = _frame(art.plain(hd[n]), case.pillars)
        left, right, top, bottom = case.pillars
        inside = picture[top : picture.shape[0] - bottom, left : picture.shape[1] - right]
        grain.add(inside, case.grain, (1, n))
        _write(folder / "hd" / f"scan.{n + 1001:07d}.dpx", picture, n, case.rates[1], "00:59:30:00", (1, 1))

    for name in ("sd", "hd"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(write_hd, range(len(hd))))
        list(pool.map(write_sd, range(len(sd))))
    return truth


# -- the film ----------------------------------------------------------------------------------------------------------


def _film(case, rng, first):
    """The film, a list of scenes, each a list of looks."""
    scenes, total = [], 0
    while total < case.frames:
        number, length = first + len(scenes), int(rng.integers(*case.scene))
        hold, motion = int(rng.choice(case.holds)), str(rng.choice(case.motion))
        speed = rng.uniform(1.0, 4.0) / 240  # of a pan: SD pixels a frame
        looks = []
        mouth = 0
        for t in range(length):
            if t % hold == 0:
                mouth = int((mouth + rng.integers(1, len(drawn.MOUTHS))) % len(drawn.MOUTHS))
            pose = {"mouth": (0, mouth), "still": (0, 0)}.get(motion, (t // hold, mouth))
            moved = round(speed * t, 5) if motion in ("pan", "camera") else 0.0
            looks.append(Look(number, pose, moved, moved if motion == "camera" else 0.0))
        if rng.random() < case.flashes:
            at = int(rng.integers(3, length - 5))
            looks[at : at + 2] = [look._replace(white=w) for look, w in zip(looks[at:], (0.8, 0.45), strict=False)]
        scenes.append(looks)
        total += length
    for a, b in itertools.pairwise(scenes):
        chance = rng.random()
        if chance < case.dissolves:
            weights = np.arange(1, 13) / 13
            last = a[-12:]
            a[-12:] = [x._replace(other=y, weight=float(w)) for x, y, w in zip(last, b[:12], weights, strict=True)]
            del b[:12]
        elif chance < case.dissolves + case.fades:
            a[-8:] = [x._replace(gain=float(g)) for x, g in zip(a[-8:], np.arange(8, 0, -1) / 9, strict=True)]
            b[:8] = [x._replace(gain=float(g)) for x, g in zip(b[:8], np.arange(1, 9) / 9, strict=True)]
            a += [Look(a[0].scene, gain=0.0)] * int(rng.integers(1, 12))
    return scenes


def _edit(case, rng, film, other):
    """What the two masters show: lists of looks."""
    sd, hd = [list(scene) for scene in film], [list(scene) for scene in other]
    inner = rng.permutation(np.arange(1, min(len(sd), len(hd)) - 1)).tolist()
    for turn, at in enumerate(inner[: case.cuts]):
        (sd, hd)[turn % 2][at] = []
    for at in inner[case.cuts : case.cuts + case.reordered]:
        sd.insert(at + 2 if at + 3 < len(sd) else 0, sd.pop(at))
    cards = [" ".join(rng.choice(drawn.WORDS, 3)) for _ in range(case.credits)]
    for k, words in enumerate(cards):
        length = int(rng.integers(20, 40))
        sd.append([Look(900 + k, card=words)] * length)
        hd.append([Look(920 + k, card=words)] * length)
    if case.preview:
        bits = [scene[3 : 3 + int(rng.integers(8, 16))] for scene in film[2::2] if len(scene) > 20]
        sd.insert(0, [look for bit in bits[:3] for look in bit])
    masters = []
    for scenes, titles in ((sd, 700), (hd, 720)):
        looks = [look for scene in scenes for look in scene]
        if case.intros:
            if titles == 720:
                looks = looks[int(rng.integers(4, 16)) :]
            before = [Look(titles + k) for k in range(2) for _ in range(rng.integers(12, 40))]
            black = [Look(titles, gain=0.0)] * int(rng.integers(2, 20))
            looks = black + before + black[1:] + looks + black + [Look(titles + 3)] * int(rng.integers(10, 30))
        gone = rng.random(len(looks)) < case.missing
        twice = rng.random(len(looks)) < case.doubled
        masters.append([look for look, g, d in zip(looks, gone, twice, strict=True) if not g for _ in range(1 + d)])
    return masters


class Art:
    """What films are drawn with."""

    def __init__(self, case, seed):
        self.case, self.seed = case, seed
        left, _, top, _ = case.pillars
        self.hd_matrix = np.array([[case.hd[0], 0, top], [0, case.hd[1] / drawn.ASPECT, left]], float)
        self.sd_matrix = np.array([[case.sd[0], 0, 0], [0, case.sd[1] / drawn.ASPECT, 0]], float)
        self.scene = lru_cache(maxsize=None)(self._scene)
        self.plain = lru_cache(maxsize=8)(self._plain)

    def _scene(self, number):
        ground = number
        rng = np.random.default_rng((self.seed, number, 8))
        if number < 700 and number % 500 >= 2 and rng.random() < self.case.shared:
            ground = number - int(rng.integers(1, 3))
        return drawn.Scene(self.seed, number, ground, title=700 <= number < 900)

    def _plain(self, look):
        """HD's picture, without pillars."""
        matrix = self.hd_matrix.copy()
        matrix[:, 2] = 0
        return self.draw(look, self.case.hd, matrix)

    def to_film(self, affine):
        return compose(invert(self.hd_matrix), affine)

    def draw(self, look, size, matrix):
        picture = self.scene(look.scene).draw(size, matrix, look.pose, look.pan, look.camera)
        if look.card:
            drawn.overlay(picture, drawn.text(look.card, 0.3, drawn.ASPECT / 2, 0.09, (0.92, 0.9, 0.8)), matrix)
        if look.white:
            picture += np.float32(look.white) * (np.float32(0.94) - picture)
        if look.other:
            picture += np.float32(look.weight) * (self.draw(look.other, size, matrix) - picture)
        return picture if look.gain == 1 else picture * np.float32(look.gain)


def _subtitles(case, rng, sd):
    """The words of each SD frame; "" where there are none."""
    words = [""] * len(sd)
    at = 0
    while at < len(sd):
        length = int(rng.integers(15, 45))
        if rng.random() < case.subtitles:
            line = " ".join(rng.choice(drawn.WORDS, 4)).lower()
            words[at : at + length] = [line] * len(words[at : at + length])
        at += length + 2
    return words


# -- the masters -------------------------------------------------------------------------------------------------------


def places(case, rng, shot):
    """Film position -> SD position of every SD frame, (n, 2, 3)."""
    n = len(shot)
    zoom = 1 + rng.uniform(*case.overscan, 2) * (rng.choice([-1, 1], 2) if case.either else 1)
    angle = np.radians(rng.uniform(0.5, 1) * case.rotation * rng.choice([-1, 1]))
    shift = rng.uniform(-case.shift, case.shift, 2)
    t = np.arange(n)[:, None]
    moved = case.weave * rng.standard_normal((n, 2))
    moved += case.drift * np.sin(2 * np.pi * t / rng.uniform(80, 250, 2) + rng.uniform(0, 6, 2))
    for cut in np.flatnonzero(np.diff(shot)) + 1:
        if rng.random() < case.jumps:
            jump = rng.choice([-1, 1], 2) * (2.0, 0.7)
            part = moved[cut : cut + 4]
            part += jump * 0.45 ** np.arange(len(part))[:, None]
    c, s = np.cos(angle), np.sin(angle)
    pixels = np.array([case.sd[0], case.sd[1] / drawn.ASPECT]) * zoom
    linear = pixels[:, None] * np.array([[c, -s], [s, c]])
    middle, film_middle = np.array(case.sd) / 2, np.array([0.5, drawn.ASPECT / 2])
    offset = middle + shift + moved - linear @ film_middle
    return np.concatenate([np.broadcast_to(linear, (n, 2, 2)), offset[:, :, None]], 2)


def colour_map(case, rng):
    """Some change of colours: monotone curves, or a matrix, that keep 0.05..0.92 within 0..1."""
    kind = case.colour if case.colour != "both" else str(rng.choice(["curves", "matrix"]))
    if kind == "curves":
        black, white = rng.uniform(0.0, 0.05, 3), rng.uniform(0.9, 0.99, 3)
        gamma, bend = rng.uniform(0.85, 1.18, 3), rng.uniform(-0.2, 0.2, 3)

        def colour(rgb):
            b, w, g, s = (value.astype(rgb.dtype) for value in (black, white, gamma, bend / (2 * np.pi)))
            v = np.maximum(rgb, 0) ** g
            return b + (w - b) * (v - s * np.sin(rgb.dtype.type(2 * np.pi) * v))

    elif kind == "matrix":
        luma = np.array([0.299, 0.587, 0.114])
        saturation = rng.uniform(0.88, 1.08)
        matrix = saturation * np.eye(3) + (1 - saturation) * luma + rng.uniform(-0.035, 0.035, (3, 3))
        matrix *= rng.uniform(0.9, 1.0)
        offset = rng.uniform(0.0, 0.03, 3)

        def colour(rgb):
            return np.stack([rgb @ row + o for row, o in zip(matrix.astype(rgb.dtype), offset, strict=True)], -1)

    else:

        def colour(rgb):
            return rgb

    return colour


class Grain:
    """Grain, cut at random from a sheet of it, turned over or not."""

    def __init__(self, seed, size):
        rng = np.random.default_rng((seed, 9))
        white = rng.standard_normal((size[0] + 161, size[1] + 161, 3), np.float32)
        white = white[1:] + np.float32(0.5) * white[:-1]
        self.sheet = (white[:, 1:] + np.float32(0.5) * white[:, :-1]) / np.float32(1.25)
        self.seed = seed

    def add(self, picture, strength, key):
        if strength:
            rng = np.random.default_rng((self.seed, *key, 10))
            height, width = picture.shape[:2]
            y, x = rng.integers(self.sheet.shape[0] - height), rng.integers(self.sheet.shape[1] - width)
            turned = self.sheet[y : y + height, x : x + width][:: rng.choice([-1, 1]), :: rng.choice([-1, 1])]
            picture += np.float32(strength) * turned


def _frame(picture, around):
    left, right, top, bottom = around
    return np.pad(picture, ((top, bottom), (left, right), (0, 0)))


def _blank(picture, around):
    left, right, top, bottom = around
    height, width = picture.shape[:2]
    for part in (picture[:top], picture[height - bottom :], picture[:, :left], picture[:, width - right :]):
        part[...] = 0


def _write(path, picture, number, rate, start, aspect):
    hours, minutes, seconds, frames = map(int, start.split(":"))
    count = ((hours * 60 + minutes) * 60 + seconds) * 24 + frames + number
    timecode = f"{count // 86400:02d}:{count // 1440 % 60:02d}:{count // 24 % 60:02d}:{count % 24:02d}"
    height, width = picture.shape[:2]
    header = Header.new(width, height, pixel_aspect=aspect, frame_rate=rate, timecode=timecode)
    fastup.write(path, picture, header=header, fsync=False)


def invert(matrix):
    inverse = np.linalg.inv(matrix[:, :2])
    return np.concatenate([inverse, -(inverse @ matrix[:, 2:])], 1)


def compose(outer, inner):
    """The map that does `inner` first."""
    return np.concatenate([outer[:, :2] @ inner[:, :2], outer[:, :2] @ inner[:, 2:] + outer[:, 2:]], 1)


def _running(values, reach, axis, what):
    """`what` of each line and those within reach; the rim counts as itself."""
    result = values.copy()
    values = np.moveaxis(values, axis, 0)
    out = np.moveaxis(result, axis, 0)
    for step in range(1, reach + 1):
        what(out[step:], values[:-step], out=out[step:])
        what(out[:-step], values[step:], out=out[:-step])
    return result
