"""A drawn clip of cel animation, from a seed: pairs of SD and HD frames for the demo and the tests.

A shot is a stack of layers at different depths before a moving camera: a painted sky, scenery, characters drawn anew
on twos and threes, a foreground. Shapes are drawn by matplotlib's Agg straight at the camera's position, so that
nothing is ever resampled; gradients, washes and grain are floating point, for 10 bits. Lengths are in world units:
the frame is 9 units high at zoom 1, with the origin in its middle and y upwards.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fastup import frames as _frames
from fastup._cartoon import SKIES, Cel, clouds, figure, meadow, person, room, street
from fastup._types import Floats, Frame, Progress, Size, StrPath
from fastup._whole import whole
from fastup.footage.degrade import degrade
from fastup.header import Header

if TYPE_CHECKING:
    from fastup.upscale.evaluate import Score

RATE = 24  # frames a second
MOVE = 48  # frames that a camera move lasts; then the camera rests
GRAIN = 0.005  # standard deviation of the film grain, normalised

# --- camera and film --------------------------------------------------------------------------------------------------


class _Shot:
    """One shot of the clip: everything that stays the same while the camera runs."""

    def __init__(self, seed, number):
        self.key = (seed, number)
        rng = np.random.default_rng(self.key)
        scene, sky = (street, meadow, room)[number % 3], rng.integers(len(SKIES))
        self.sky, self.light = SKIES[sky]
        self.behind, self.before = scene(rng, sky == 3)
        self.behind.insert(0, (0.25, clouds(rng, tuple(np.multiply(self.sky[0], 0.75) + 0.25 * (sky != 3)))))
        self.waves = rng.uniform(0.3, 1.6, (2, 4)) * rng.choice([-1, 1], (2, 4)), rng.uniform(0, 6, 4)
        near = number // 3 % 2
        count = rng.integers(1, 3) if near else rng.integers(2, 5)
        self.cast = []
        for x in np.linspace(-5, 5, count + 2)[1:-1] * (1.5 if near else 1) + rng.uniform(-0.4, 0.4, count):
            scale = rng.uniform(1.2, 1.5) if near else rng.uniform(0.42, 0.6)
            y = rng.uniform(-0.6, 0.3) if near else -3.4 + 9.4 * scale + rng.uniform(-0.4, 0.2)
            self.cast.append((person(rng), x, y, scale))
        self.hold = int(rng.choice([2, 3]))
        self.start, self.end = rng.uniform((-1.2, -0.25, 1.0), (1.2, 0.35, 1.25), (2, 3))
        self.drawing = cache(self._draw)

    def _draw(self, number):
        """Draw the characters anew."""
        cel = Cel()
        for who, x, y, scale in self.cast:
            cel.place(figure(who, number, 0.012 + 0.018 / scale), x, y, scale, 0, who["wear"] < 2 and who["brow"] > 0)
        return cel

    def frame(self, number, size):
        """Frame `number` of the shot, (H, W, 3) float32."""
        (height, width), t = size, min(number / MOVE, 1)
        x, y, zoom = self.start + (3 - 2 * t) * t * t * (self.end - self.start)
        white = np.random.default_rng((*self.key, number)).standard_normal((3, height + 1, width + 1), dtype=np.float32)
        white = white[:, 1:] + np.float32(0.5) * white[:, :-1]  # grain: neighbours are a little alike
        grain = (white[:, :, 1:] + np.float32(0.5) * white[:, :, :-1]) * np.float32(GRAIN / 1.25)
        planes = None
        for depth, cel in (*self.behind, (1.0, self.drawing(number // self.hold)), *self.before):
            scale = height / 9 * zoom**depth
            left, low = width / 2 - scale * x * depth, height / 2 - scale * y * depth
            rows, columns = (height - 0.5 - np.arange(height) - low) / scale, (np.arange(width) + 0.5 - left) / scale
            if planes is None:
                sky = np.stack([np.interp(rows, (-1, 2, 5), band) for band in np.transpose(self.sky)])
                planes = np.repeat(sky[..., None].astype(np.float32), width, axis=2)
            layer = _raster(cel, ((scale, 0, left), (0, scale, low), (0, 0, 1)), size, self.light)
            part = np.flatnonzero(layer[..., 3].any(1))
            if len(part):
                part = slice(part[0], part[-1] + 1)
                shade = self._shade(rows[part], columns, 0 if depth == 1 else 0.025)
                cover = layer[part, :, 3] * np.float32(1 / 255)
                for plane, colour in zip(planes[:, part], np.moveaxis(layer[part], 2, 0), strict=False):
                    plane += cover * (colour * shade - plane)
        planes += grain
        return np.ascontiguousarray(np.moveaxis(np.clip(planes, 0, 1, out=planes), 0, 2))

    def _shade(self, rows, columns, strength):
        """How light a layer's paint is: a slope from top to bottom, and the wash of the brush, in sums of cosines."""
        (a, b), phase = self.waves
        u, v = np.outer(rows, b), np.outer(columns, a) + phase  # cos(u + v) = cos u cos v - sin u sin v
        u = np.concatenate([0.97 + 0.02 * rows[:, None], strength * np.cos(u), -strength * np.sin(u)], 1)
        v = np.concatenate([np.ones((len(v), 1)), np.cos(v), np.sin(v)], 1)
        return u.astype(np.float32) @ (v.T / 255).astype(np.float32)


def _raster(cel, matrix, size, light):
    """Draw a cel through a world-to-pixel transform: (H, W, 4) uint8, colours not multiplied by coverage."""
    from matplotlib.backends.backend_agg import RendererAgg
    from matplotlib.transforms import Affine2D

    renderer = RendererAgg(size[1], size[0], 72)
    gc, transform = renderer.new_gc(), Affine2D(np.array(matrix))
    gc.set_linewidth(0)
    gc.set_snap(False)
    for colour, path in cel.paths:
        renderer.draw_path(gc, path, transform, tuple(np.multiply(colour, light)))
    return np.asarray(renderer.buffer_rgba())


# --- clip, data, comparison -------------------------------------------------------------------------------------------


def clip(seed: int = 0, shots: int = 4, frames: int = 48, size: Size = (1080, 1440)) -> Iterator[Floats]:
    """Draw a clip, frame by frame: (H, W, 3), normalised, 0..1.

    Parameters
    ----------
    seed
        0 or more. The same seed gives the same clip.
    shots
        How many; each is another scene with its own characters, colours and camera.
    frames
        In each shot, of 24 a second. A camera move lasts 48.
    size
        The picture is composed for 3:4.
    """
    for shot in range(shots):
        scene = _Shot(seed, shot)
        for number in range(frames):
            yield scene.frame(number, size)


def write_data(
    folder: StrPath, seed: int = 0, size: Size = (1080, 1440), sd_size: Size = (480, 720),
    train: int = 20, validation: int = 2, evaluation: int = 4, on_progress: Progress | None = None,
) -> None:  # fmt: skip
    """Write the pairs of a drawn clip as 10-bit DPX: folder/{train,validation,evaluation}/{Alpha,Beta}/NAME.dpx.

    Two frames are taken from each shot, half a second or more apart, and no shot serves two of the three sets. Beta
    holds the drawn frames, Alpha what SD tape makes of them. Timecode and frame position run on through the clip.

    The folder is made if it is missing, and frames of the same name are overwritten. `size` is of Beta, `sd_size` of
    Alpha: OptionError where it is larger. `train`, `validation` and `evaluation` say how many pairs each set gets.
    """
    jobs, first, folder = [], 0, Path(folder)
    for name, count in (("train", train), ("validation", validation), ("evaluation", evaluation)):
        for part in ("Alpha", "Beta"):
            (folder / name / part).mkdir(parents=True, exist_ok=True)
        shots = -(-count // 2)
        jobs += [(folder / name, first + k, range(2)[: count - 2 * k]) for k in range(shots)]
        first += shots
    done, total = 0, train + validation + evaluation

    def write(job):
        path, shot, picks = job
        scene = _Shot(seed, shot)
        for pick in picks:
            number = (7, 31)[pick] + shot % 5
            position = shot * MOVE + number
            name = f"shot{shot + 1:02d}_{number + 1:04d}.dpx"
            frame = scene.frame(number, size)
            _write_frame(path / "Beta" / name, frame, position, Fraction(1))
            tape = degrade(frame, sd_size, seed=(seed, shot, number, 1))
            _write_frame(path / "Alpha" / name, tape, position, Fraction(8, 9))
        return len(picks)

    with ThreadPoolExecutor(2) as pool:
        for count in pool.map(write, jobs):
            done += count
            if on_progress:
                on_progress(done, total, "drawing pairs")


def _write_frame(path, frame, position, pixel_aspect):
    seconds, rest = divmod(position, RATE)
    timecode = f"01:{seconds // 60:02d}:{seconds % 60:02d}:{rest:02d}"
    height, width = frame.shape[:2]
    place = {"timecode": timecode, "frame_rate": RATE, "frame_position": position}
    _frames.write(path, frame, header=Header.new(width, height, pixel_aspect=pixel_aspect, **place))


def compare(folder: Path, model: StrPath, score: "Score") -> Path:
    """Write folder/comparison.png: the last evaluation frame by bicubic, by the model and as it was drawn.

    `score` is that frame's, for the titles. Gives the picture's path.
    """
    from fastup.pairs.folder import find_pairs
    from fastup.upscale.evaluate import compare
    from fastup.upscale.upscaler import Upscaler

    upscaler = Upscaler(model)
    pairs = find_pairs(folder / "evaluation")
    path, ours, bicubic, target = next(compare(upscaler, pairs.only([len(pairs) - 1])))
    picture = upscaler.picture(_frames.read(path, dtype="float32"))
    rows, columns = (np.arange(t) * i // t for t, i in zip(target.shape[:2], picture.shape[:2], strict=True))
    versions = {
        "input": picture[rows][:, columns],
        f"bicubic, {score.psnr_bicubic:.2f} dB": bicubic,
        f"fastup {upscaler.settings['model']}, {score.psnr:.2f} dB": ours,
        "target": target,
    }
    comparison(folder / "comparison.png", versions)
    return folder / "comparison.png"


def comparison(
    path: StrPath, columns: Mapping[str, Frame], crops: Sequence[tuple[int, int, int, int]] | None = None
) -> None:
    """Write a picture that shows the same crops of several versions of one frame, as a PNG.

    Parameters
    ----------
    path
        Appears only when it is whole.
    columns
        Titles and frames, (H, W, 3), floating, normalised, all of the target's size. The last is the target, shown
        whole above the crops.
    crops
        Windows (y, x, height, width). By default the three, apart from one another, in which the target has the most
        detail.

    Raises
    ------
    ValueError
        If `columns` is empty or its frames differ in shape.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    shapes = {title: np.shape(frame) for title, frame in columns.items()}
    if len(set(shapes.values())) != 1:
        raise ValueError(f"columns: found shapes {shapes}, expected frames of one shape")
    target = list(columns.values())[-1]
    crops = _busiest(target) if crops is None else crops
    colours = ("#ffb454", "#59c2ff", "#95e6cb", "#f07178")
    height, width = target.shape[:2]
    across = 3.4 * len(columns)
    tall = [0.62 * across * height / width] + [3.4 * crop[2] / crop[3] for crop in crops]
    sheet = Figure(figsize=(across, sum(tall) + 0.5), dpi=120, facecolor="#1e1f22", layout="constrained")
    canvas = FigureCanvasAgg(sheet)
    grid = sheet.add_gridspec(len(tall), len(columns), height_ratios=tall)
    above = sheet.add_subplot(grid[0, :])
    above.imshow(np.clip(target, 0, 1), interpolation="antialiased")
    axes = [above]
    for row, (y, x, h, w) in enumerate(crops):
        colour = colours[row % len(colours)]
        above.add_patch(Rectangle((x, y), w, h, fill=False, edgecolor=colour, linewidth=2))
        for column, (title, frame) in enumerate(columns.items()):
            below = sheet.add_subplot(grid[row + 1, column])
            below.imshow(np.clip(frame[y : y + h, x : x + w], 0, 1), interpolation="nearest")
            axes.append(below)
            below.spines[:].set(color=colour, linewidth=1.5)
            if row == 0:
                below.set_title(title, color="#e6e6e6", fontsize=13)
    for each in axes:
        each.set(xticks=[], yticks=[])
    with whole(path) as part:
        canvas.print_png(part)


def _busiest(frame, count=3):
    """Windows of a seventh of the frame's height, apart from one another, where neighbouring pixels differ most."""
    height = max(1, frame.shape[0] // 7)
    width = min(height * 4 // 3, frame.shape[1])
    rows, columns = frame.shape[0] // height, frame.shape[1] // width
    detail = np.abs(np.diff(frame.mean(2), axis=1, append=0))[: rows * height, : columns * width]
    detail = detail.reshape(rows, height, columns, width).sum((1, 3))
    found = []
    for k in np.argsort(-detail, axis=None, kind="stable"):
        y, x = divmod(int(k), columns)
        if all(max(abs(y - b), abs(x - a)) > 1 for b, a in found):
            found.append((y, x))
    return [(y * height, x * width, height, width) for y, x in found[:count]]
