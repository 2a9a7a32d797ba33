"""Scenes of cel animation, drawn through any affine map: nothing is resampled, so where things are is known exactly.

Lengths are in heights of the film's picture, which spans 0..1 down and 0..4/3 across; more is painted around it.
What `fastup.demo` draws is prettier; this takes a few milliseconds a picture. Used by `tests/masters.py`.
"""

from functools import cache, lru_cache

import numpy as np
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.path import Path as Outline
from matplotlib.textpath import TextPath
from matplotlib.transforms import Affine2D

ASPECT = 4 / 3
INK = (0.10, 0.09, 0.11)
MOUTHS = ((0.004, 0.03), (0.020, 0.03), (0.032, 0.022), (0.012, 0.045), (0.028, 0.04))  # radii
_PANNED = 2.5  # how far a background goes on to the right of the picture


class Scene:
    """A painted background, and a character before it.

    Two scenes of the same `ground` share the background. Everything follows from the seeds.
    """

    def __init__(self, seed, number, ground, title=False):
        self.ground = _ground(seed, ground)
        rng = np.random.default_rng((seed, number, 1))
        self.title = " ".join(rng.choice(WORDS, 2)) if title else ""
        self.paints = rng.permutation(_palette(rng, 7))
        self.size = rng.uniform(0.75, 1.1)
        self.at = rng.uniform(0.32, 0.48), rng.uniform(0.35, ASPECT - 0.35)
        self.phase, self.speed = rng.uniform(0, 6, 8), rng.uniform(0.45, 0.9, 8)
        self.speed *= rng.choice([-1, 1], 8)
        self.shapes = cache(self._shapes)

    def draw(self, size, matrix, pose, pan=0.0, camera=0.0):
        """A picture, (H, W, 3) float32 in 0..1.

        Parameters
        ----------
        size : height, width
        matrix : (2, 3)
            Film position (vertical, horizontal) -> position in the picture; pixel centres lie at half positions.
        pose : (int, int)
            Of the body, and of the mouth.
        pan : float
            How far the background has moved to the left.
        camera : float
            How far the character has.
        """
        moved, at = matrix.copy(), matrix.copy()
        moved[:, 2] -= matrix[:, 1] * pan
        at[:, 2] -= matrix[:, 1] * camera
        picture = _raster(self.ground.shapes, size, moved, self.ground.paint)[..., :3] * self.ground.shade(size, moved)
        layer = _raster(self.title_shapes() if self.title else self.shapes(*pose), size, at)
        rows = np.flatnonzero(layer[..., 3].any(1))
        if len(rows):
            rows = slice(rows[0], rows[-1] + 1)
            cover = layer[rows, :, 3:] * np.float32(1 / 255)
            picture[rows] += cover * (layer[rows, :, :3] * np.float32(1 / 255) - picture[rows])
        return picture

    def title_shapes(self):
        return text(self.title, 0.5, ASPECT / 2, 0.12, (0.9, 0.88, 0.8))

    def _shapes(self, body, mouth):
        """The character in one drawing: a list of (colour, outlines)."""
        s, (cy, cx) = self.size, self.at
        swing = np.sin(self.phase + self.speed * body)
        cy, cx = cy + 0.02 * s * swing[0], cx + 0.04 * s * swing[1]
        coat, legs, skin, hair, hat, iris, *_ = self.paints
        parts = []
        for side in (-1, 1):
            foot = 0.05 * s * swing[2 + (side > 0)]
            parts += _inked(
                (cy + 0.52 * s, cx + side * 0.06 * s + foot), (0.17 * s, 0.05 * s), 0.4 * side * swing[2], legs
            )
        parts += _inked((cy + 0.28 * s, cx), (0.19 * s, 0.12 * s), 0.12 * swing[4], coat)
        parts += [(coat * 0.72, [_oval((cy + 0.3 * s, cx + 0.05 * s), (0.15 * s, 0.05 * s), 0.12 * swing[4])])]
        for k in range(3):
            parts += [(INK, [_oval((cy + (0.2 + 0.07 * k) * s, cx - 0.01 * s), (0.009 * s, 0.009 * s), 0)])]
        for side, k in ((-1, 5), (1, 6)):
            arm = side * (0.7 + 0.6 * swing[k])
            elbow = cy + 0.22 * s + 0.06 * s * np.cos(arm), cx + side * 0.12 * s + 0.06 * s * np.sin(arm)
            parts += _inked(elbow, (0.11 * s, 0.035 * s), arm, coat * 0.9)
            hand = elbow[0] + 0.1 * s * np.cos(arm), elbow[1] + 0.1 * s * np.sin(arm)
            parts += _inked(hand, (0.035 * s, 0.035 * s), 0, skin)
        tilt = 0.12 * swing[7]
        parts += _inked((cy - 0.05 * s, cx), (0.17 * s, 0.15 * s), tilt, hair)
        parts += _inked((cy - 0.02 * s, cx), (0.14 * s, 0.125 * s), tilt, skin)
        parts += _inked((cy - 0.15 * s, cx), (0.045 * s, 0.15 * s), tilt, hat)
        for side in (-1, 1):
            eye = cy - 0.05 * s, cx + side * 0.05 * s
            parts += _inked(eye, (0.034 * s, 0.024 * s), 0, np.array([0.93, 0.93, 0.9]), 0.003)
            parts += [(iris, [_oval((eye[0], eye[1] + 0.006 * s), (0.02 * s, 0.013 * s), 0)])]
            parts += [(INK, [_oval((eye[0], eye[1] + 0.006 * s), (0.009 * s, 0.007 * s), 0)])]
        radii = np.multiply(MOUTHS[mouth], s)
        parts += _inked((cy + 0.06 * s, cx), radii, 0, np.array([0.5, 0.14, 0.13]), 0.003)
        return _paths(parts)


def text(words, y, x, height, colour, ink=0.006):
    """Letters around a place, as shapes: black behind, a little larger, and the letters."""
    shapes = [np.array(s)[:, ::-1] * (-1, 1) for s in _letters(words)]
    low, high = np.min([s.min(0) for s in shapes], 0), np.max([s.max(0) for s in shapes], 0)
    scale = height / (high - low)[0]
    shapes = [(s - (low + high) / 2) * scale + (y, x) for s in shapes]
    around = [np.add(s, (dy, dx)) for s in shapes for dy in (-ink, ink) for dx in (-ink, ink)]
    return _paths([(INK, [s]) for s in around] + [(colour, shapes)])


def overlay(picture, shapes, matrix):
    """Draw shapes over a picture, in place."""
    layer = _raster(shapes, picture.shape[:2], matrix)
    cover = layer[..., 3:] * np.float32(1 / 255)
    picture += cover * (layer[..., :3] * np.float32(1 / 255) - picture)


class _Ground:
    """A background: painted shapes, and the light and the brush in sums of waves."""

    def __init__(self, rng):
        self.paint = _palette(rng, 1)[0]
        parts = []
        horizon = rng.uniform(0.45, 0.75)
        x = np.linspace(-0.5, ASPECT + _PANNED, 40)
        for k in range(2):
            ridge = horizon - 0.16 + 0.14 * k + np.cumsum(rng.normal(0, 0.022, len(x))) * 0.7
            line = np.stack([ridge, x], 1)
            fill = np.concatenate([line, [(1.6, x[-1]), (1.6, x[0])]])
            colour = _palette(rng, 1)[0]
            parts += [
                (colour * 0.5, [np.concatenate([line - (0.006, 0), np.add(line[::-1], (0.002, 0))])]),
                (colour, [fill]),
            ]
        for _ in range(46):
            at = rng.uniform(-0.1, 1.1), rng.uniform(-0.3, ASPECT + _PANNED)
            kind, colour = rng.integers(4), _palette(rng, 1)[0]
            if kind == 0:
                parts += _inked(at, rng.uniform(0.02, 0.16, 2), rng.uniform(0, 3), colour)
            elif kind == 1:  # a house, or a box
                h, w = rng.uniform(0.05, 0.25, 2)
                box = np.array([(-h, -w), (-h, w), (h, w), (h, -w)]) / 2 + at
                parts += [(colour * 0.4, [box + np.sign(box - at) * 0.005]), (colour, [box])]
                for a, b in rng.uniform(-0.4, 0.4, (4, 2)) * (h, w) + at:
                    parts += [(colour * 0.6, [_oval((a, b), (0.02, 0.012), 0)])]
            elif kind == 2:  # a stem with leaves
                h = rng.uniform(0.1, 0.3)
                lean = rng.normal(0, 0.03)
                stem = np.array([(0, -0.008), (-h, lean - 0.003), (-h, lean + 0.003), (0, 0.008)]) + at
                parts += [(colour * 0.5, [stem])]
                for t in rng.uniform(0.2, 1, 6):
                    leaf = at[0] - h * t, at[1] + lean * t + rng.normal(0, 0.03)
                    parts += _inked(leaf, (0.015, 0.03), rng.uniform(0, 3), colour, 0.002)
            else:  # strokes of a brush
                strokes = [_oval((at[0] + a, at[1] + b), (0.004, rng.uniform(0.02, 0.08)), rng.uniform(-0.5, 0.5))
                           for a, b in rng.normal(0, 0.06, (6, 2))]  # fmt: skip
                parts += [(colour, strokes)]
        self.shapes = _paths(parts)
        waves = 20
        length, angle = np.exp(rng.uniform(np.log(0.02), np.log(1.5), waves)), rng.uniform(0, np.pi, waves)
        self.vector = 2 * np.pi / length * [np.sin(angle), np.cos(angle)]  # (2, waves): down, across
        self.phase = rng.uniform(0, 2 * np.pi, waves)
        self.strength = 0.007 * np.clip(length / 0.1, 0.3, 3)

    def shade(self, size, matrix):
        """How light the paint is, (H, W, 1), the mean over each pixel: plane waves are products of two lines."""
        inverse = np.linalg.inv(matrix[:, :2])
        per_pixel = inverse.T @ self.vector  # radians a pixel, down and across
        phase = self.phase - self.vector.T @ inverse @ matrix[:, 2]
        strength = self.strength * np.sinc(per_pixel / (2 * np.pi)).prod(0)
        v, u = (np.outer(np.arange(n) + 0.5, k) for n, k in zip(size, per_pixel, strict=True))
        v += phase
        down = np.concatenate([np.cos(v) * strength, -np.sin(v) * strength], 1).astype(np.float32)
        across = np.concatenate([np.cos(u), np.sin(u)], 1).astype(np.float32)
        light = np.empty(size, np.float32)
        for top in range(0, size[0], 4):  # products too small for BLAS to start threads for, as each picture has one
            np.matmul(down[top : top + 4], across.T, out=light[top : top + 4])
        light += 1
        light *= np.float32(1 / 255)
        return light[..., None]


@lru_cache(maxsize=64)
def _ground(seed, number):
    return _Ground(np.random.default_rng((seed, number, 2)))


WORDS = "THE MOON STORY HARBOUR CAT AND KING RIVER GARDEN STUDIO PRESENTS TALE OF WINTER CLOUD".split()  # noqa: SIM905


@lru_cache(maxsize=64)
def _letters(words):
    return TextPath((0, 0), words, size=10).to_polygons()


def _palette(rng, count):
    """Paints: neither near black nor near white, so that no change of colour clips them."""
    return rng.uniform(0.12, 0.86, (count, 3)) * 0.7 + rng.uniform(0.12, 0.86, (count, 1)) * 0.3


def _oval(centre, radii, angle, points=28):
    t = np.linspace(0, 2 * np.pi, points, endpoint=False)
    y, x = radii[0] * np.cos(t), radii[1] * np.sin(t)
    c, s = np.cos(angle), np.sin(angle)
    return np.stack([c * y - s * x + centre[0], s * y + c * x + centre[1]], 1)


def _inked(centre, radii, angle, colour, ink=0.0045):
    return [
        (INK, [_oval(centre, np.add(radii, ink), angle)]),
        (colour, [_oval(centre, np.subtract(radii, ink), angle)]),
    ]


def _paths(parts):
    """(colour, outlines in (y, x)) as what Agg draws: (colour, path in (x, y))."""
    join = Outline.make_compound_path
    closed = ((colour, [np.concatenate([s, s[:1]])[:, ::-1] for s in shapes]) for colour, shapes in parts)
    return [(tuple(colour), join(*(Outline(s, closed=True) for s in shapes))) for colour, shapes in closed]


def _raster(shapes, size, matrix, paint=None):
    """(H, W, 4) uint8, colours not multiplied by coverage. Agg's origin is at the bottom: its y is turned over."""
    renderer = RendererAgg(size[1], size[0], 72)
    gc = renderer.new_gc()
    gc.set_linewidth(0)
    gc.set_snap(False)
    (yy, yx, y0), (xy, xx, x0) = matrix
    transform = Affine2D(np.array([(xx, xy, x0), (-yx, -yy, size[0] - y0), (0, 0, 1)]))
    if paint is not None:
        around = Outline([(-9, -9), (99, -9), (99, 99), (-9, 99), (-9, -9)], closed=True)
        renderer.draw_path(gc, around, transform, tuple(paint))
    for colour, path in shapes:
        renderer.draw_path(gc, path, transform, colour)
    return np.asarray(renderer.buffer_rgba())
