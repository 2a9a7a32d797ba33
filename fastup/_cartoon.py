"""What the demo films: shapes, characters and scenery of a drawn cartoon, as layers of vector paths.

Lengths are in world units: the frame is 9 units high at zoom 1, with the origin in its middle and y upwards. Nothing is
rendered here; `fastup.demo` puts the layers before a camera.
"""

from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Points: TypeAlias = NDArray[np.float64]  # (n, 2)
Colour: TypeAlias = tuple[float, ...]  # red, green, blue
Scene: TypeAlias = "tuple[list[tuple[float, Cel]], list[tuple[float, Cel]]]"

INK = (0.07, 0.06, 0.09)

# --- shapes: arrays (n, 2), counter-clockwise ------------------------------------------------------------------------


def curve(points: ArrayLike, closed: bool = True, steps: int = 10) -> Points:
    """Catmull-Rom spline through the points."""
    p = np.asarray(points, float)
    p = np.concatenate([p[-1:], p, p[:2]] if closed else [2 * p[:1] - p[1:2], p, 2 * p[-1:] - p[-2:-1]])
    a, b, c, d = (p[k : len(p) - 3 + k, None] for k in range(4))
    t = np.arange(steps)[:, None] / steps
    line = b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
    return line.reshape(-1, 2) if closed else np.concatenate([line.reshape(-1, 2), p[-2:-1]])


def arcs(corners: ArrayLike, bulge: ArrayLike, steps: int = 5) -> Points:
    """Closed shape with sharp corners and curved edges; `bulge` is how far they swell, as a share of their length."""
    a = np.asarray(corners, float)[:, None]
    b = np.roll(a, -1, 0)
    edge = b - a
    swell = np.reshape(bulge, (-1, 1, 1)) * np.stack([edge[..., 1], -edge[..., 0]], -1)
    t = np.arange(steps)[:, None] / steps
    return (a + t * edge + 4 * t * (1 - t) * swell).reshape(-1, 2)


def tube(points: ArrayLike, widths: tuple[float, ...], steps: int = 8) -> Points:
    """A band along a smooth line, with the widths spread evenly over its length: a limb, a hair, a stroke of ink."""
    line = curve(points, closed=False, steps=steps)
    half = np.interp(np.linspace(0, 1, len(line)), np.linspace(0, 1, len(widths)), widths)[:, None] / 2
    along = np.gradient(line, axis=0)
    side = np.stack([-along[:, 1], along[:, 0]], 1) / (np.linalg.norm(along, axis=1, keepdims=True) + 1e-9)
    return np.concatenate([line - half * side, (line + half * side)[::-1]])


def xy(numbers: str) -> Points:
    """Points from a string of numbers: x y x y ..."""
    return np.array(numbers.split(), float).reshape(-1, 2)


def box(x: float, y: float, width: float, height: float) -> Points:
    """A rectangle, by its lower left corner."""
    return np.array([(x, y), (x + width, y), (x + width, y + height), (x, y + height)], float)


def oval(x: float, y: float, rx: float, ry: float, n: int = 24) -> Points:
    """An ellipse."""
    a = np.linspace(0, 2 * np.pi, n, endpoint=False)
    return np.stack([x + rx * np.cos(a), y + ry * np.sin(a)], 1)


def dim(colour: Colour, by: float = 0.76) -> Colour:
    """The colour in shadow: darker, and a little bluer."""
    return colour[0] * by * 0.96, colour[1] * by * 0.97, min(1, colour[2] * by * 1.08)


class Cel:
    """A drawing: flat colours on shapes, in the order in which they are painted."""

    pen = 1.0  # times this is how wide ink is drawn; 0: not at all

    def __init__(self) -> None:
        self.items: list[tuple[Colour, list[Points]]] = []

    def fill(self, colour: Colour, *shapes: Points) -> None:
        """Fill shapes with one colour; the same colour in a row becomes one path."""
        if not self.items or self.items[-1][0] != colour:
            self.items.append((colour, []))
        self.items[-1][1].extend(shapes)

    def paint(self, shape: Points, colour: Colour, ink: float = 0.0, line: Colour = INK) -> None:
        """Fill a shape and ink its outline, heavier below and to the right."""
        self.fill(colour, shape)
        if ink := ink * self.pen:
            along = np.roll(shape, -1, 0) - np.roll(shape, 1, 0)
            out = np.stack([along[:, 1], -along[:, 0]], 1) / (np.linalg.norm(along, axis=1, keepdims=True) + 1e-9)
            half = ink * (0.38 + 0.3 * np.maximum(0, out @ (0.5, -0.85)))[:, None] * out
            self.fill(line, shape + half, (shape - half)[::-1])

    def stroke(self, points: ArrayLike, ink: float, line: Colour = INK) -> None:
        """Draw a line of ink that thins out at both ends."""
        if ink := ink * self.pen:
            self.fill(line, tube(points, (0.15 * ink, ink, 0.9 * ink, 0.15 * ink), steps=4))

    def text(self, words: str, x: float, y: float, height: float, colour: Colour = INK, family: str = "DejaVu Sans",
             width: float | None = None) -> None:  # fmt: skip
        """Letter words around (x, y), in capitals of the given height, squeezed to `width` if they are longer."""
        from matplotlib.font_manager import FontProperties
        from matplotlib.textpath import TextPath

        outline: Any = TextPath((0, 0), words, size=10, prop=FontProperties(family=family, weight="bold"))
        shapes = outline.to_polygons()
        low, high = np.min([s.min(0) for s in shapes], 0), np.max([s.max(0) for s in shapes], 0)
        scale = np.full(2, height / (high - low)[1])
        if width:
            scale[0] = min(scale[0], width / (high - low)[0])
        self.fill(colour, *((s - (low + high) / 2) * scale + (x, y) for s in shapes))

    def place(self, other: "Cel", x: float, y: float, scale: float = 1, angle: float = 0, flip: bool = False) -> None:
        """Add another drawing, scaled, turned by an angle in radians and moved; flipped left to right first."""
        c, s = scale * np.cos(angle), scale * np.sin(angle)
        matrix = np.array([(c, s), (-s, c)]) * np.array([[-1 if flip else 1], [1]])
        for colour, shapes in other.items:
            self.fill(colour, *(s[:: -1 if flip else 1] @ matrix + (x, y) for s in shapes))

    @cached_property
    def paths(self) -> list[tuple[Colour, Any]]:
        """(colour, matplotlib Path) for each run of one colour."""
        from matplotlib.path import Path as Outline

        join = Outline.make_compound_path
        return [(colour, join(*(Outline(shape) for shape in shapes))) for colour, shapes in self.items]


# --- characters: the head's radius is 1, its middle the origin -------------------------------------------------------
# fmt: off


PAPER = (0.93, 0.91, 0.85)
SKIN = [(0.96, 0.80, 0.68), (0.93, 0.74, 0.60), (0.78, 0.56, 0.42), (0.55, 0.38, 0.29)]
HAIR = [(0.20, 0.17, 0.22), (0.45, 0.26, 0.16), (0.86, 0.64, 0.27), (0.72, 0.28, 0.18), (0.28, 0.36, 0.58)]
IRIS = [(0.25, 0.45, 0.70), (0.42, 0.28, 0.16), (0.22, 0.52, 0.34), (0.50, 0.28, 0.52)]
CLOTH = [(0.78, 0.24, 0.22), (0.22, 0.38, 0.62), (0.90, 0.74, 0.30), (0.30, 0.52, 0.38), (0.84, 0.82, 0.76),
         (0.46, 0.32, 0.52), (0.26, 0.28, 0.34), (0.86, 0.52, 0.34)]
FACE = xy("-.93 .2 -.87 -.3 -.6 -.72 -.16 -1.04 .16 -1.04 .6 -.72 .87 -.3 .93 .2 .7 .85 0 1.1 -.7 .85")
JAW = np.array([0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0])  # the points of the face that move when it turns
TORSO = xy("-.42 -1.62 -1.18 -1.86 -1.3 -2.4 -1.02 -3.6 -1.08 -5.1 0 -5.3 1.08 -5.1 1.02 -3.6 1.3 -2.4 "
           "1.18 -1.86 .42 -1.62 0 -1.9")
TORSO_SHADE = xy(".5 -5.15 1.05 -5.05 .99 -3.6 1.24 -2.4 .8 -2.5 .75 -3.6")
FOLDS = xy("-.95 -3.5 -.9 -3.8 .9 -3.3 .85 -4.3 -.95 -2.5 .98 -2.6")
EYE, LID = xy("-.22 0 -.13 -.23 .11 -.24 .22 0 .13 .2 -.12 .2"), xy("-.27 -.02 -.15 .18 .1 .22 .28 .04")
LASHES = xy("-.1 -.25 .05 -.27 .17 -.2"), xy("-.12 .29 .05 .31 .2 .22")
MOUTHS = (None, (0.14, 0.06), (0.22, 0.14), (0.1, 0.11))  # closed, and how wide and deep the others open
ARMS = (xy("1 -2.3 1.5 -3.5 1.42 -4.7"), xy("1 -2.3 2.2 -3.1 2.35 -1.5"), xy("1 -2.3 1.75 -3.5 .7 -3.7"))


def person(rng: np.random.Generator) -> dict[str, Any]:
    """Choose a character: what stays the same through the shot."""
    top, trousers, scarf = (CLOTH[k] for k in rng.permutation(len(CLOTH))[:3])
    return {"skin": SKIN[rng.integers(4)], "hair": HAIR[rng.integers(5)], "iris": IRIS[rng.integers(4)], "top": top,
            "legs": dim(trousers), "scarf": scarf, "style": rng.integers(4), "wear": rng.integers(3),
            "scarved": rng.random() < 0.4, "turn": rng.uniform(-1, 1), "pose": rng.integers(3),
            "bangs": rng.uniform(-0.12, 0.12, 10), "brow": rng.uniform(-0.08, 0.08), "phase": rng.uniform(0, 6)}


def _hair(cel, who, sway, w):
    """The hair behind the body."""
    hair, low = who["hair"], (-1.0, -2.5, -1.25, -0.9)[who["style"]]
    for side in (-1, 1) if who["style"] == 2 else ():
        tail = xy(".95 .3 1.6 -.1 1.65 -1.2 1.45 -2.1") * (side, 1) + np.outer([0, 0, 1, 2], [sway, 0])
        cel.paint(tube(tail, (0.3, 0.7, 0.6, 0.04)), hair, w)
        for k in (-0.12, 0.1):
            cel.stroke(np.add(tail[1:], (k, 0)), 0.8 * w, dim(hair, 0.5))
        cel.paint(oval(side * 1.05, 0.3, 0.16, 0.2), CLOTH[0], w)
    ends = [(x * (1 - 0.02 * low) - sway * low, low - 0.22 * (k % 2)) for k, x in enumerate(np.linspace(-1.1, 1.1, 8))]
    around = [(-1.1, 0.3), (-1.15, -0.3), *ends, (1.15, -0.3), (1.1, 0.3), (0.7, 1), (-0.7, 1)]
    cel.paint(arcs(around, 0.1), dim(hair, 0.7), w)
    for x in np.linspace(-0.9, 0.9, 7):
        cel.stroke([(x, low + 0.9), (x + sway, low + 0.4), (x - sway * low, low)], 0.7 * w, dim(hair, 0.42))


def _head(who, drawing, w):
    """The head in one drawing, with lines `w` wide."""
    cel, f, skin, hair = Cel(), who["turn"], who["skin"], who["hair"]
    sway = 0.06 * np.sin(drawing * 0.8 + who["phase"])
    for x in (-0.93 - 0.1 * f, 0.93 - 0.1 * f):
        cel.paint(oval(x, -0.15, 0.15, 0.25), skin, w)
        cel.stroke([(x, 0), (0.95 * x, -0.12), (x, -0.25)], 0.7 * w, dim(skin, 0.5))
    cel.paint(curve(FACE + np.outer(JAW, [0.16 * f, 0])), skin, w)
    cel.fill(dim(skin, 0.83), curve([(0.5 + 0.16 * f, -0.74), (0.82, -0.3), (0.88, 0.2), (0.72, 0.1), (0.72, -0.3)]))
    middles = [(side, 0.44 * side * (1 - 0.08 * abs(f)) + 0.22 * f) for side in (-1, 1)]
    for side, x in middles:
        _eye(cel, who, (side * (1 - 0.16 * max(0, f * side)), 1), x, drawing % 17 == 5, w)
        cel.fill(tuple(np.multiply(skin, (1, 0.86, 0.84))), oval(0.22 * f + 0.58 * side, -0.48, 0.13, 0.065))
    cel.stroke(np.add(xy(".02 -.3 .07 -.43 -.03 -.46"), (0.3 * f, 0)), w)
    m, lips = 0.22 * f, MOUTHS[(1, 0, 2, 3, 0, 1, 2, 0)[(drawing + int(4 * who["phase"])) % 8]]
    if lips is None:
        cel.stroke([(m - 0.2, -0.68), (m, -0.74), (m + 0.2, -0.66)], 1.2 * w)
    else:
        lip = curve(xy("-1 0 -.6 -1.1 0 -1.4 .6 -1.1 1 0 0 -.15") * lips + (m, -0.66))
        cel.paint(lip, (0.45, 0.13, 0.13), w)
        cel.fill((0.86, 0.45, 0.42), oval(m, -0.67 - lips[1], lips[0] * 0.5, lips[1] * 0.28))
    tips = [(x + 0.2 * f + sway, 0.22 + y) for x, y in zip(np.linspace(-0.62, 0.62, 5), who["bangs"][:5], strict=True)]
    gaps = zip(np.linspace(-0.48, 0.46, 4), 0.54 + 0.5 * who["bangs"][5:9], strict=True)
    fringe = [point for pair in zip(tips, [*gaps, (0.8, 0.28)], strict=True) for point in pair]
    edge = np.array([(-1.0 + sway, -0.62), (-0.8, 0.28), *fringe, (1.0 + sway, -0.62)])
    a = np.linspace(-0.06, np.pi + 0.06, 15)
    crown = np.stack([1.13 * np.cos(a), 0.12 + 1.1 * np.sin(a)], 1)
    cel.fill(dim(skin, 0.8), arcs(np.concatenate([crown[4:-4] * 0.7, edge[1:-1] * (0.95, 1) + (0.03, -0.1)]), 0.1))
    bulge = np.concatenate([np.full(15, 0.03), np.resize([-0.1, 0.12], len(edge))])
    cel.paint(arcs(np.concatenate([crown, edge]), bulge), hair, w)
    shine = np.stack([0.85 * np.cos(a[3:-5]), 0.1 + 0.86 * np.sin(a[3:-5])], 1)
    ragged = shine[::-1] * np.where(np.arange(len(shine)) % 2, 0.97, 0.82)[:, None]
    cel.fill(tuple(np.minimum(1, np.multiply(hair, 1.25) + 0.1)), np.concatenate([shine, ragged]))
    for tip in np.array(tips):
        cel.stroke([tip * 0.98, tip * (0.92, 0.6) + (0, 0.42), tip * (0.6, 0.2) + (0, 0.95)], 0.8 * w, dim(hair, 0.5))
    for side, x in middles:
        cel.stroke([(x - 0.2 * side, 0.24 + who["brow"]), (x + 0.08 * side, 0.32), (x + 0.27 * side, 0.22)], 1.7 * w)
    return cel


def _eye(cel, who, scale, x, blink, w):
    def at(points):
        return (points * scale + (x, -0.12))[:: 1 if scale[0] > 0 else -1]

    if blink:
        cel.stroke(at(xy("-.24 -.04 0 -.13 .26 -.03")), 2 * w)
        return
    s, look, iris = abs(scale[0]), x + 0.05 * who["turn"], who["iris"]
    cel.fill((0.95, 0.95, 0.93), curve(at(EYE)))
    cel.paint(oval(look, -0.14, 0.135 * s, 0.2), iris, 0.8 * w, dim(iris, 0.35))
    cel.fill(dim(iris, 0.5), oval(look, -0.14, 0.13 * s, 0.19)[:13])
    cel.fill(INK, oval(look, -0.14, 0.06 * s, 0.1))
    cel.fill((0.97, 0.97, 0.96), oval(look - 0.05, -0.05, 0.045, 0.06), oval(look + 0.05, -0.25, 0.025, 0.03))
    cel.fill(INK, tube(at(LID), (0.02, 0.08, 0.09, 0.03)))
    for lash in LASHES:
        cel.stroke(at(lash), 0.7 * w)


def figure(who: dict[str, Any], drawing: int, w: float) -> Cel:
    """A whole character, about eleven units tall, in one drawing, with lines `w` wide."""
    cel, sway, top, skin = Cel(), np.sin(drawing * 0.7 + who["phase"]), who["top"], who["skin"]
    _hair(cel, who, 0.06 * np.sin(drawing * 0.8 + who["phase"]), w)
    for x in (-0.5, 0.5):
        leg, shoe = [(x, -4.9), (1.24 * x, -7), (1.32 * x, -9.1)], xy("-.42 -9.45 .42 -9.45 .3 -8.95 -.3 -8.95")
        cel.paint(tube(leg, (1.15, 0.85, 0.62)), dim(who["legs"], 0.92 - 0.16 * x), w)
        cel.paint(curve(np.add(shoe, (1.32 * x, 0))), dim(who["scarf"], 0.6), w)
        for y in (-6.8, -7.05, -8.7):
            cel.stroke([(1.2 * x - 0.22, y), (1.2 * x, y - 0.08), (1.2 * x + 0.22, y + 0.1)], 0.8 * w)
    _arm(cel, who, -1, 0, 0, w)
    cel.paint(tube([(0, -0.7), (0, -1.3), (0, -1.8)], (0.62, 0.6, 0.75)), skin, w)
    cel.fill(dim(skin), curve([(-0.3, -1.0), (0, -1.5), (0.3, -1.25), (0.3, -0.9)]))
    cel.paint(curve(TORSO), top, w)
    cel.fill(dim(top), curve(TORSO_SHADE))
    if who["wear"] == 0:  # a shirt
        cel.stroke([(0, -1.9), (0.02, -3.5), (0, -5.25)], w)
        for y in np.arange(-2.4, -5, -0.55):
            cel.paint(oval(0.12, y, 0.07, 0.07, 12), PAPER, 0.7 * w)
        for side in (-1, 1):
            cel.paint(arcs((xy("0 -1.92 .42 -2.3 .62 -1.68 .36 -1.5") * (side, 1))[::side], 0.04), dim(top, 0.95), w)
        cel.paint(box(-0.9, -3.2, 0.5, 0.55), dim(top, 0.9), 0.8 * w)
    elif who["wear"] == 1:  # a striped sweater
        for y in np.arange(-2.5, -5, -0.6):
            x = np.interp(-y, (2.5, 3.6, 5), (1.2, 0.95, 1.0))
            cel.fill(who["scarf"], tube([(-x, y), (0, y - 0.12), (x, y)], (0.22, 0.22)))
    else:  # a number
        cel.paint(oval(-0.05, -3.0, 0.68, 0.52), PAPER, w)
        cel.text(f"{int(who['phase'] * 16):02d}", -0.05, -3.0, 0.5, dim(top, 0.6), width=0.8)
    for x, y in FOLDS:
        cel.stroke([(x, y), (0.77 * x, y - 0.12), (0.58 * x, y - 0.1)], w, dim(top, 0.4))
    _arm(cel, who, 1, who["pose"], sway, w)
    if who["scarved"]:
        cel.paint(tube([(-0.75, -1.5), (0, -1.85), (0.75, -1.5)], (0.35, 0.55, 0.35)), who["scarf"], w)
        cel.paint(tube([(0.35, -1.8), (0.55, -2.6), (0.5 + 0.1 * sway, -3.3)], (0.4, 0.5, 0.6)), who["scarf"], w)
        for x in (0.4, 0.5, 0.65):
            cel.stroke([(x, -2.1), (x + 0.04, -2.6), (x + 0.08 * sway, -3.2)], 0.8 * w)
    cel.place(_head(who, drawing, w), 0, 0, 1, 0.04 * sway)
    return cel


def _arm(cel, who, side, pose, sway, w):
    skin, sleeve = who["skin"], who["top"] if side > 0 else dim(who["top"], 0.85)
    shoulder, elbow, wrist = (ARMS[pose] + np.outer([0, 0, pose == 1], [0.25 * sway, 0])) * (side, 1)
    along = (wrist - elbow) / np.linalg.norm(wrist - elbow)
    across, palm = np.array([-along[1], along[0]]), wrist + 0.24 * along
    cel.paint(oval(*palm, 0.27, 0.27), skin, w)
    for k in (-1.5, -0.5, 0.5, 1.5):
        root = palm + 0.12 * k * across + 0.1 * along
        tip = root + (0.4 - 0.04 * k * k) * along + 0.04 * k * across
        cel.paint(tube([root, (root + tip) / 2, tip], (0.13, 0.13, 0.08)), skin, w)
    cel.fill(skin, oval(*palm, 0.23, 0.23))
    thumb = palm + 0.2 * side * across
    cel.paint(tube([palm, thumb, thumb + 0.18 * along + 0.1 * side * across], (0.16, 0.15, 0.08)), skin, w)
    start = shoulder - 0.3 * (elbow - shoulder)
    cel.paint(oval(*elbow, 0.32, 0.32), sleeve, w)
    cel.paint(tube([start, shoulder, elbow], (0.3, 0.74, 0.64)), sleeve, w)
    cel.paint(tube([elbow, (elbow + wrist) / 2, wrist], (0.62, 0.58, 0.54)), sleeve, w)
    cel.fill(sleeve, oval(*start, 0.2, 0.22), oval(*elbow, 0.29, 0.29))  # the seams
    cel.fill(who["scarf"], tube([wrist - 0.14 * along, wrist], (0.5, 0.5)))
    for fold in (elbow + 0.25 * along, elbow + 0.4 * along):
        cel.stroke([fold - 0.28 * across, fold - 0.08 * along, fold + 0.12 * across], w, dim(who["top"], 0.4))


# --- scenery ----------------------------------------------------------------------------------------------------------

WORDS = "BAKERY BOOKS RADIO FRUIT CAFE POST TAXI HOTEL FISH TEA MUSIC TOYS STAMPS NOODLES FLOWERS SHOES ATLAS".split()  # noqa: SIM905
FONTS = ("DejaVu Sans", "DejaVu Serif", "DejaVu Sans Mono", "STIXGeneral")
SKIES = [  # colours from the horizon up; the light on the scene
    ([(0.90, 0.93, 0.90), (0.62, 0.80, 0.91), (0.30, 0.56, 0.80)], (1.0, 1.0, 1.0)),
    ([(0.97, 0.78, 0.50), (0.90, 0.58, 0.48), (0.46, 0.38, 0.56)], (1.0, 0.88, 0.78)),
    ([(0.88, 0.90, 0.86), (0.76, 0.82, 0.82), (0.60, 0.70, 0.74)], (0.94, 0.97, 0.98)),
    ([(0.36, 0.42, 0.58), (0.20, 0.25, 0.43), (0.09, 0.11, 0.25)], (0.62, 0.68, 0.86))]


def _vary(rng, colour, by=0.06):
    return tuple(np.clip(np.add(colour, rng.uniform(-by, by)) + rng.uniform(-by / 2, by / 2, 3), 0.03, 0.95))


def _sign(cel, rng, x, y, height, colour, width):
    cel.text(WORDS[rng.integers(len(WORDS))], x, y, height, colour, FONTS[rng.integers(4)], width)


def _puff(rng, x, y, rx, ry, n, bulge=0.28):
    """A cloud, a bush, a bit of a tree: an oval with scalloped edges."""
    return arcs(oval(x, y, rx, ry, n) + rng.normal(0, 0.12 * ry, (n, 2)), bulge, 8)


def clouds(rng: np.random.Generator, colour: Colour) -> Cel:
    """The clouds of a sky."""
    cel = Cel()
    for x, y, r in rng.uniform((-9, 1, 0.5), (9, 4.2, 1.3), (6, 3)):
        cel.fill(dim(colour, 0.9), _puff(rng, x, y, 2.2 * r, 0.55 * r, 13))
        cel.fill(colour, _puff(rng, x - 0.15 * r, y + 0.14 * r, 2.0 * r, 0.42 * r, 12))
    return cel


def _grass(cel, rng, count, low, high, height, *tones):
    for tone in tones:
        for x, y in rng.uniform((-12, low), (12, high), (count, 2)):
            h, d = height * rng.uniform(0.5, 1.2), rng.uniform(-0.3, 0.3) * height
            blade = [(x, y), (x + 0.3 * d, y + 0.6 * h), (x + d, y + h)]
            cel.fill(tone, tube(blade, np.multiply(height, (0.1, 0.08, 0.01)), 3))


def _tree(cel, rng, x, y, h, green, w=0.03):
    bark, lean = _vary(rng, (0.42, 0.30, 0.22)), rng.uniform(-0.1, 0.1) * h
    trunk = [(x, y), (x + lean / 3, y + 0.4 * h), (x + lean, y + 0.8 * h)]
    cel.paint(tube(trunk, (0.2 * h, 0.12 * h, 0.07 * h)), bark, w)
    for k in np.array([-0.04, 0.0, 0.03]) * h:
        cel.stroke([(x + k, y), (x + 0.8 * k, y + 0.15 * h), (x + lean / 3 + 0.6 * k, y + 0.4 * h)], w, dim(bark, 0.5))
    for k in range(6):
        a, b = x + lean + rng.normal(0, 0.17) * h, y + h * (0.62 + 0.07 * k)
        r = h * (0.24 - 0.018 * k) * rng.uniform(0.85, 1.15)
        tone = tuple(np.multiply(green, 0.66 + 0.07 * k))
        cel.paint(_puff(rng, a, b, 1.25 * r, r, 15), tone, w)
        cel.fill(tuple(np.multiply(tone, 1.13)), _puff(rng, a - 0.15 * r, b + 0.25 * r, 0.85 * r, 0.55 * r, 12))
        for p, q in rng.normal((a, b), (0.5 * r, 0.36 * r), (16, 2)):
            cel.stroke([(p - 0.1 * r, q), (p, q - 0.1 * r), (p + 0.1 * r, q + 0.02 * r)], 0.7 * w, dim(tone, 0.62))


def meadow(rng: np.random.Generator, night: bool) -> Scene:
    """A scene in the country: layers behind and before the characters, each with its depth."""
    far, near, front, green = Cel(), Cel(), Cel(), _vary(rng, (0.42, 0.58, 0.30))
    for k in range(3):
        tone = tuple(np.multiply(green, 0.45 + 0.15 * k) + np.multiply(3 - k, (0.08, 0.087, 0.12)))
        ridge = curve([(x, 1.4 - 1.1 * k + rng.normal(0, 0.45)) for x in np.linspace(12, -12, 12)], closed=False)
        far.paint(np.concatenate([[(-12, -8), (12, -8)], ridge]), tone, 0.02, dim(tone, 0.6))
        for x, y in ridge[rng.integers(0, len(ridge), 14)]:
            far.paint(_puff(rng, x, y, 0.3, 0.26, 9), dim(tone, 0.85), 0.018, dim(tone, 0.5))
    near.paint(box(-12, -9, 24, 7.3), green, 0.03)
    for x in np.arange(-11, 11, 0.75):  # a fence
        near.paint(box(x, -2.1, 0.13, 1.15) + rng.normal(0, 0.02, (4, 2)), (0.72, 0.64, 0.52), 0.025)
        near.paint(box(x, -1.25, 0.75, 0.11), (0.76, 0.68, 0.56), 0.022)
        near.paint(box(x, -1.75, 0.75, 0.11), (0.70, 0.62, 0.50), 0.022)
    for x in np.add((-7.5, -3.6, 3.2, 7.4), rng.uniform(-1, 1, 4)):
        _tree(near, rng, x, -2.1, rng.uniform(3.6, 5.2), _vary(rng, (0.48, 0.66, 0.32)))
    _grass(near, rng, 70, -2.3, -2.1, 0.3, green, dim(green, 0.8))
    _grass(near, rng, 500, -5.5, -2.2, 0.21, dim(green, 0.8), tuple(np.multiply(green, 1.18)))
    for x, y in rng.uniform((-9, -4.6), (9, -2.6), (50, 2)):
        near.paint(_puff(rng, x, y, 0.08, 0.07, 6, 0.4), CLOTH[rng.integers(5)], 0.015)
    _grass(front, rng, 340, -6.8, -5.8, 1.4, dim(green, 0.45), dim(green, 0.62))
    return [(0.5, far), (0.9, near)], [(1.4, front)]


def _window(cel, rng, x, y, width, height, lit, w=0.022):
    cel.paint(box(x - 0.07, y - 0.07, width + 0.14, height + 0.14), _vary(rng, (0.80, 0.76, 0.68)), w)
    glass = (0.97, 0.82, 0.46) if lit else _vary(rng, (0.38, 0.52, 0.60))
    cloth = _vary(rng, CLOTH[rng.integers(8)])
    cel.paint(box(x, y, width, height), glass, w)
    shine = xy(".1 0 .3 0 .75 1 .55 1") * (width, height)
    cel.fill(tuple(np.minimum(0.95, np.multiply(glass, 1.15))), np.add(shine, (x, y)))
    for side, edge in ((1, x), (-1, x + width)):
        hem = xy("0 .98 0 .1 .2 .2 .32 .98") * (side * width, height) + (edge, y)
        cel.paint(arcs(hem[::side], 0.03), cloth, 0.7 * w)
    cel.fill(INK, box(x + width / 2 - w, y, 2 * w, height), box(x, y + 0.55 * height, width, 1.6 * w))
    cel.paint(box(x - 0.14, y - 0.15, width + 0.28, 0.1), _vary(rng, (0.70, 0.66, 0.60)), w)


def _house(cel, rng, x, y, width, height, night, w=0.028):
    wall, roof = _vary(rng, (0.78, 0.70, 0.60), 0.14), _vary(rng, (0.58, 0.32, 0.26), 0.12)
    cloth = CLOTH[rng.integers(4)]
    cel.paint(box(x, y, width, height), wall, w)
    for a, b in rng.uniform((x, y), (x + width - 0.3, y + height), (30, 2)):  # some bricks
        cel.stroke([(a, b), (a + 0.15, b), (a + 0.3, b)], 0.018, dim(wall, 0.72))
    cel.fill(dim(wall, 0.7), box(x, y + height - 0.18, width, 0.18))
    a, b, c = x - 0.25, x + width + 0.25, y + height
    cel.paint(np.array([(a, c), (b, c), (b - 0.55, c + 1.3), (a + 0.55, c + 1.3)]), roof, w)
    for k in range(1, 7):  # its tiles
        a, b, c = a + 0.08, b - 0.08, c + 1.3 / 7
        cel.stroke([(a, c), ((a + b) / 2, c), (b, c)], 0.02, dim(roof, 0.55))
        for p in np.arange(a + 0.13 * (k % 2), b, 0.26):
            cel.stroke([(p, c), (p + 0.01, c - 0.09), (p, c - 0.18)], 0.02, dim(roof, 0.55))
    for a in x + width * np.array([0.25, 0.75] if width < 3.9 else [0.17, 0.5, 0.83]) if height > 3 else ():
        _window(cel, rng, a - 0.35, y + height - 1.35, 0.7, 0.9, night and rng.random() < 0.6)
    left = rng.random() < 0.5
    door = x + width * (0.12 if left else 0.62)
    _window(cel, rng, x + width * (0.5 if left else 0.1), y + 0.75, 0.38 * width, 0.95, night, 0.026)
    cel.paint(box(door, y, 0.75, 1.75), _vary(rng, (0.36, 0.30, 0.26)), w)
    for k in (0.12, 0.95):
        cel.paint(box(door + 0.12, y + k, 0.5, 0.65), _vary(rng, (0.42, 0.36, 0.30)), 0.02)
    cel.paint(oval(door + 0.66, y + 0.87, 0.05, 0.05, 12), (0.85, 0.70, 0.32), 0.02)
    for k, a in enumerate(np.linspace(x + 0.1, x + width - 0.1, 10)[:-1]):  # an awning
        cel.paint(arcs(box(a, y + 1.85, width / 9 - 0.02, 0.4), [0.25, 0, 0, 0]), cloth if k % 2 else PAPER, 0.022)
    cel.paint(box(x + 0.3, y + 2.28, width - 0.6, 0.5), dim(cloth, 0.6), w)
    _sign(cel, rng, x + width / 2, y + 2.53, 0.27, PAPER, width - 0.9)


def street(rng: np.random.Generator, night: bool) -> Scene:
    """A scene in town, as `meadow` gives it."""
    far, near, front, x = Cel(), Cel(), Cel(), -12.0
    while x < 12:
        width, height = rng.uniform(0.8, 1.8), rng.uniform(2.5, 6)
        tone = _vary(rng, (0.3, 0.34, 0.48) if night else (0.66, 0.70, 0.74), 0.05)
        far.paint(box(x, -3, width, height), tone, 0.018, dim(tone, 0.6))
        at = [(a, b) for a in np.arange(x + 0.12, x + width - 0.2, 0.24) for b in np.arange(-2, height - 3.3, 0.34)]
        panes = [box(a, b, 0.12, 0.18) for a, b in at if rng.random() < 0.7]
        far.fill((0.95, 0.82, 0.5) if night else dim(tone, 0.8), *panes)
        x += width
    x = -11.0
    while x < 10.5:
        width = rng.uniform(3.0, 4.4)
        _house(near, rng, x, -2.3, width, rng.choice([2.9, 4.3]), night)
        x += width + rng.choice([0.15, 0.9])
    near.paint(box(-14, -2.55, 28, 0.25), (0.66, 0.65, 0.62), 0.025)
    near.paint(box(-14, -9, 28, 6.45), (0.50, 0.50, 0.52), 0.025)
    near.fill((0.85, 0.82, 0.70), *(arcs([(x, -4.6), (x + 1.2, -4.6), (x + 1.4, -4.4), (x + 0.2, -4.4)], 0)
                                    for x in np.arange(-16, 17, 2.4)))
    for a, b in rng.uniform((-11, -5.5), (11, -2.7), (160, 2)):
        near.stroke([(a, b), (a + 0.1, b + 0.02), (a + 0.25, b)], 0.022, (0.38, 0.38, 0.41))
    for a in rng.uniform(-1, 1) + np.array([-13.5, -4.5, 4.5]):  # poles and wires
        near.paint(box(a, -2.5, 0.16, 6.4), (0.40, 0.36, 0.34), 0.025)
        near.paint(box(a - 0.7, 3.3, 1.56, 0.12), (0.36, 0.33, 0.32), 0.025)
        for k in (-0.6, 0.1, 0.7):
            near.stroke([(a + k + 4.5 * t, 3.5 - 0.9 * t * (2 - t)) for t in np.linspace(0, 2, 9)], 0.022)
            near.paint(oval(a + k, 3.48, 0.06, 0.09, 10), PAPER, 0.02)
    x = rng.choice([-6.6, 6.6])  # a signpost
    front.paint(box(x - 0.15, -8, 0.3, 10), (0.20, 0.24, 0.26), 0.04)
    front.paint(box(x - 1.1, 0.4, 2.2, 1.3), CLOTH[rng.integers(4)], 0.04)
    front.paint(box(x - 1.0, 0.5, 2.0, 1.1), PAPER, 0.025)
    _sign(front, rng, x, 1.25, 0.36, INK, 1.8)
    front.text(f"{rng.integers(2, 99)} KM  No. {rng.integers(100, 999)}", x, 0.8, 0.2, width=1.8)
    return [(0.4, far), (0.85, near)], [(1.3, front)]


def room(rng: np.random.Generator, night: bool) -> Scene:
    """A scene indoors, as `meadow` gives it."""
    wall, wood, back, front = _vary(rng, (0.72, 0.68, 0.58), 0.12), _vary(rng, (0.50, 0.36, 0.26)), Cel(), Cel()
    back.fill(wall, box(-12, -3.2, 24, 11))
    back.fill(tuple(np.multiply(wall, 0.95)), *(box(x, -3.2, 0.28, 11) for x in np.arange(-12, 12, 0.7)))
    back.paint(box(-12, -3.4, 24, 0.3), dim(wood), 0.028)
    back.paint(box(-12, -9, 24, 5.6), wood, 0.028)
    for k in range(26):
        back.stroke([(k - 13, -3.4), (1.6 * k - 20.5, -5), (2.2 * k - 28, -7)], 0.03, dim(wood, 0.6))
    side = rng.choice([-1, 1])
    _window(back, rng, side * 2.8 - 1.3, -0.4, 2.6, 3.2, night, 0.035)
    for x in (-side * 3.4, side * 6.6):  # bookshelves
        back.paint(box(x - 1.6, -3.2, 3.2, 7.1), dim(wood, 0.9), 0.035)
        for y in np.arange(-3.0, 3.2, 1.35):
            back.paint(box(x - 1.5, y, 3.0, 1.2), dim(wood, 0.5), 0.025)
            a = x - 1.45
            while a < x + 1.2:
                thick, tall = rng.uniform(0.13, 0.26), rng.uniform(0.75, 1.1)
                tone, book, title = CLOTH[rng.integers(8)], Cel(), Cel()
                book.paint(box(0, 0, thick, tall), _vary(rng, tone), 0.02)
                _sign(title, rng, 0, 0, 0.09, PAPER if sum(tone) < 1.6 else INK, tall - 0.35)
                title.fill(dim(tone, 0.6), *(box(end, -0.06, 0.05, 0.12) for end in (tall / 2 - 0.16, 0.08 - tall / 2)))
                book.place(title, thick / 2, tall / 2, 1, np.pi / 2)
                back.place(book, a, y + 0.02, 1, rng.choice([0, 0, 0, -0.06]))
                a += thick + rng.choice([0.01, 0.01, 0.12])
    back.paint(box(-0.75 - 0.4 * side, 1.0, 1.5, 2.0), PAPER, 0.03)  # a poster
    back.fill(CLOTH[rng.integers(4)], oval(-0.4 * side, 2.1, 0.5, 0.5))
    _sign(back, rng, -0.4 * side, 1.35, 0.24, INK, 1.2)
    for x in (-4.2 * side, 3.4 * side):  # plants
        for a, h in rng.uniform((-1, 0.7), (1, 1.7), (14, 2)):
            rib = np.array([(x + 0.2 * a, -4.5), (x + 0.5 * a, -4.5 + 0.7 * h), (x + a, -4.5 + h)])
            front.paint(tube(rib, (0.05, 0.26, 0.02)), _vary(rng, (0.32, 0.52, 0.28)), 0.03)
            front.stroke(rib, 0.022, (0.16, 0.28, 0.16))
        pot = np.add(xy("-.45 -5.7 .45 -5.7 .55 -4.45 -.55 -4.45"), (x, 0))
        front.paint(arcs(pot, 0.04), CLOTH[rng.integers(8)], 0.04)
    return [(0.8, back)], [(1.15, front)]


# fmt: on
