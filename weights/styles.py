"""Still pictures of many styles, each drawn from a seed: what the weights in the box are trained on.

A picture is a scene of `fastup._cartoon` with lines of any weight, or none; shapes that cover one another, as leaves
do; strokes along a flow, as hair and grass; bodies in soft light, as a renderer's; lettering and patterns; or one of
these before another. What restoration learns of them is how edges, lines and textures of all sizes look, so sizes
follow power laws, as those in photographs do. The shapes are the dead leaves of Achddou et al. (2021, "Synthetic images
as a regularity prior for image restoration neural networks"). Nothing is of anybody's film.

Pictures are (height, width, 3), float32, 0..1.
"""

import colorsys
import string

import numpy as np
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path as Outline
from matplotlib.textpath import TextPath
from matplotlib.transforms import Affine2D
from scipy.ndimage import gaussian_filter, map_coordinates

from fastup import _cartoon
from fastup._cartoon import Cel, arcs, box, clouds, curve, figure, person
from fastup._resample import resize
from fastup.codes import LUMA_601

FONTS = ("DejaVu Sans", "DejaVu Serif", "DejaVu Sans Mono", "STIXGeneral")


def picture(seed, size=(720, 960)):
    """One picture; the same seed, any integers, gives the same one."""
    rng = np.random.default_rng(seed)
    over = rng.choice([1, 1, 1.3, 1.6])  # drawn larger, then made smaller: sharper than Agg's own antialiasing
    drawn = tuple(int(np.ceil(n * over)) for n in size)
    made = _one(rng, drawn)
    if rng.random() < 0.4:  # something else in front, perhaps before a background that is out of focus
        if rng.random() < 0.5:
            made = _blurred(made, rng.uniform(0.8, 6) * over)
        made += _mask(rng, drawn)[..., None] * (_one(rng, drawn) - made)
    if rng.random() < 0.5:
        made = _graded(rng, made)
    made = resize(np.clip(made, 0, 1), size, "area" if rng.random() < 0.3 else "lanczos")
    made = _softened(rng, _with_dull_colours(rng, made))
    if rng.random() < 0.3:  # grain
        made += (rng.standard_normal(made.shape, np.float32) * rng.uniform(0, 0.006)).astype(np.float32)
    if rng.random() < 0.3:
        made = _faded(rng, np.clip(made, 0, 1))
    return np.clip(made, 0, 1).astype(np.float32)


def _faded(rng, made):
    """On the way to or from black, white or a colour: down to a thirtieth of its contrast, by even steps of dB."""
    colour = rng.choice([0.0, 0.0, 0.0, 1.0, np.nan])
    ground = _colour(rng) if np.isnan(colour) else np.float32(colour)
    return ground + np.float32(10 ** rng.uniform(-1.5, 0)) * (made - ground)


def _with_dull_colours(rng, made):
    """Colours as most masters have them: they differ less than light does, and change less sharply, as of 4:2:0.

    What is blurred is what R, G and B are more than luma, by Rec.601 or Rec.709.
    """
    weights = LUMA_601 if rng.random() < 0.5 else np.array((0.2126, 0.7152, 0.0722), np.float32)
    luma = (made @ weights)[..., None]
    colours = (made - luma) * rng.uniform(0.15, 1.1)
    if rng.random() < 0.75:
        colours = _blurred(colours, rng.uniform(0.4, 2.0))
    return luma + colours


def _softened(rng, made):
    """As soft as most masters are, so that softness alone does not say that a tape made it: all over, or in depth.

    Of neighbours, and of every second ones, the squared differences are as 1 to 3 in the median picture, as in films.
    """
    if rng.random() < 0.25:
        return made
    soft = _blurred(made, rng.uniform(0.3, 1.1))
    if rng.random() < 0.6:
        return soft
    depth = np.clip(0.5 + _fractal(rng, made.shape[:2], 2.5, 40), 0, 1)[..., None]
    return soft + depth * (_blurred(made, rng.uniform(0.7, 2.2)) - soft)


def _one(rng, size):
    kinds = (_cels, 0.27), (_shapes, 0.25), (_strokes, 0.2), (_bodies, 0.14), (_page, 0.09), (_texture, 0.05)
    return kinds[rng.choice(len(kinds), p=[share for _, share in kinds])][0](rng, size)


# --- colours ----------------------------------------------------------------------------------------------------------


def _colour(rng, hue=None, vivid=1.0):
    """A colour: most are dull, as most of a picture is."""
    hue = rng.random() if hue is None else (hue + rng.normal(0, 0.06)) % 1
    return np.array(colorsys.hsv_to_rgb(hue, min(1, vivid * rng.beta(1.2, 2.2)), rng.beta(2, 1.5)), np.float32)


def _palette(rng, count):
    """Colours that go together: of one hue and its neighbours, or of any."""
    hue = rng.random() if rng.random() < 0.7 else None
    return np.stack([_colour(rng, hue if rng.random() < 0.8 else None) for _ in range(count)])


def _coloured(rng, field, count=5):
    """A field of numbers as a picture: through colours that follow one another."""
    colours = _palette(rng, count)
    if rng.random() < 0.6:  # from dark to light, so that luma has the field's structure
        colours = colours[np.argsort(colours.sum(1))]
    at = np.linspace(*np.quantile(field[::8, ::8], (0.02, 0.98)), count)
    return np.stack([np.interp(field, at, channel) for channel in colours.T], 2).astype(np.float32)


def _graded(rng, made):
    """Other colours and contrast, as another print has them."""
    luma = made.mean(2, keepdims=True)
    made = luma + rng.uniform(0.2, 1.3) * (made - luma)
    made = made * rng.uniform(0.4, 1.15) * rng.uniform(0.85, 1.1, 3) + rng.uniform(-0.02, 0.1, 3)
    return (np.clip(made, 0, 1) ** rng.uniform(0.6, 1.5)).astype(np.float32)


# --- fields -----------------------------------------------------------------------------------------------------------


def _fractal(rng, size, slope, smallest=0.0, stretch=1.0):
    """Noise whose amplitude falls as frequency to the power `slope`; its deviation is 1.

    `stretch` draws it out in a direction; `smallest` is the wavelength, in pixels, below which there is nothing.
    """
    y, x = np.fft.fftfreq(size[0])[:, None], np.fft.rfftfreq(size[1])
    a = rng.uniform(0, np.pi)
    u, v = (np.cos(a) * x + np.sin(a) * y) * stretch, (np.cos(a) * y - np.sin(a) * x) / stretch
    f = np.maximum(np.hypot(u, v), 0.7 / max(size))
    spectrum = f**-slope * np.exp(2j * np.pi * rng.random(f.shape))
    if smallest:
        spectrum *= np.exp(-((f * smallest) ** 2))
    spectrum[0, 0] = 0
    field = np.fft.irfft2(spectrum, size)
    return (field / field.std()).astype(np.float32)


def _field(rng, size):
    """Noise of one kind or another: clouds, grain of wood, marble, ridges, patches."""
    field = _fractal(rng, size, rng.uniform(0.9, 2.2), rng.choice([0, 2, 4]), rng.choice([1, 1, 1, 2, 4]))
    kind = rng.integers(5)
    if kind == 0:
        return -abs(field)
    if kind == 1:  # drawn about by another
        shift = [rng.uniform(5, 40) * _fractal(rng, size, 2.0, 8) for _ in range(2)]
        at = [axis + by for axis, by in zip(np.mgrid[: size[0], : size[1]], shift, strict=True)]
        return map_coordinates(field, at, order=1, mode="wrap").astype(np.float32)
    if kind == 2:
        return _steps(field * rng.uniform(0.7, 3))
    return field


def _steps(field):
    """Each whole step of a field flat, with antialiased edges between them."""
    slope = np.hypot(*np.gradient(field)) + 1e-6
    whole = np.floor(field)
    return (whole + np.clip((field - whole - 1) / slope + 1, 0, 1)).astype(np.float32)


def _mask(rng, size):
    """0 and 1, with antialiased edges: blots, a body, a part of the frame."""
    field = _fractal(rng, size, rng.uniform(1.6, 2.6), rng.choice([0, 4, 16])) - rng.uniform(-0.5, 0.9)
    slope = np.hypot(*np.gradient(field)) + 1e-6
    return np.clip(field / slope + 0.5, 0, 1)


def _blurred(made, sigma):
    return gaussian_filter(made, (sigma, sigma, 0), mode="nearest", truncate=3)


def _texture(rng, size):
    return _coloured(rng, _field(rng, size), rng.integers(2, 8))


def _ground(rng, size):
    """A background: one colour, a slope of colours, or a texture."""
    kind = rng.random()
    if kind < 0.3:
        y, x = np.linspace(-1, 1, size[0])[:, None], np.linspace(-1, 1, size[1])
        a = rng.uniform(0, 2 * np.pi)
        field = np.hypot(y - np.sin(a), x - np.cos(a)) if rng.random() < 0.4 else np.sin(a) * y + np.cos(a) * x
        return _coloured(rng, field, rng.integers(2, 5))
    if kind < 0.5:
        return np.broadcast_to(_colour(rng), (*size, 3)).astype(np.float32)
    return _texture(rng, size)


# --- shapes -----------------------------------------------------------------------------------------------------------


class _Canvas:
    """Agg's surface, on which polygons are filled; origin at the lower left, pixels."""

    def __init__(self, size):
        self.renderer = RendererAgg(size[1], size[0], 72)
        self.gc = self.renderer.new_gc()
        self.gc.set_linewidth(0)
        self.gc.set_snap(False)
        self.still = Affine2D()

    def fill(self, points, colour):
        self.path(Outline(points), colour)

    def path(self, path, colour):
        self.renderer.draw_path(self.gc, path, self.still, tuple(np.clip(colour, 0, 1)))

    def over(self, ground, shade=1.0):
        """What was drawn, its paint times `shade`, over a picture."""
        layer = np.asarray(self.renderer.buffer_rgba()).astype(np.float32) / 255
        return ground + layer[..., 3:] * (layer[..., :3] * shade - ground)


def _radii(rng, count, least, most):
    """Sizes as the things in a photograph have them: their density falls with the third power."""
    u = rng.random(count)
    return (least**-2 + u * (most**-2 - least**-2)) ** -0.5


def _blot(rng, corners):
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    return np.stack([np.cos(angle), np.sin(angle)], 1) * rng.uniform(0.5, 1.1, (corners, 1))


def _outlines(rng):
    """Unit shapes of one family."""
    angle = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    disc = np.stack([np.cos(angle), np.sin(angle)], 1)
    family = rng.integers(6)
    if family == 0:
        return [disc * (1, rng.uniform(0.3, 1)) for _ in range(6)]
    if family == 1:  # leaves
        leaf = np.array([(-1, 0), (-0.3, 0.32), (0.3, 0.28), (1, 0), (0.3, -0.28), (-0.3, -0.32)])
        return [arcs(leaf[[0, 3]], rng.uniform(0.15, 0.4), 10), curve(leaf * (1, rng.uniform(0.6, 1.4))),
                arcs(_blot(rng, 9), 0.25), arcs(leaf, 0.12)]  # fmt: skip
    if family == 2:
        return [_blot(rng, rng.integers(3, 7)) for _ in range(8)]
    if family == 3:
        return [curve(_blot(rng, rng.integers(4, 12))) for _ in range(8)]
    if family == 4:  # boxes and bars
        return [box(-1, -1, 2, 2) * (1, rng.uniform(0.05, 1)) for _ in range(8)]
    return [disc, _blot(rng, 5), curve(_blot(rng, 7)), disc * (1, 0.4), arcs(_blot(rng, 8), rng.uniform(-0.3, 0.3))]


def _shapes(rng, size):
    """Shapes over shapes: flat, lit from a side, or inked; of a palette, or of the colours of a texture below them."""
    canvas, outlines = _Canvas(size), _outlines(rng)
    least, most = rng.uniform(1.2, 8), rng.uniform(30, 250)
    count = int(min(5000, rng.uniform(0.8, 3) * size[0] * size[1] / (2 * np.pi * least**2 * np.log(most / least))))
    radii = _radii(rng, count, least, most)
    if rng.random() < 0.5:
        radii = np.sort(radii)[::-1]  # the small ones above, so that all are seen
    places, turns = rng.uniform(0, 1, (count, 2)) * size[::-1], rng.uniform(0, 2 * np.pi, count)
    if rng.random() < 0.3:  # all lie alike
        turns = rng.normal(rng.uniform(0, 6), 0.2, count)
    ground = _ground(rng, size)
    colours = _palette(rng, rng.integers(2, 12))[rng.integers(0, 2, count)] if rng.random() < 0.2 else None
    if colours is None and rng.random() < 0.5:
        palette = _palette(rng, rng.integers(3, 12))
        colours = palette[rng.integers(0, len(palette), count)]
    elif colours is None:
        below = _coloured(rng, _fractal(rng, size, rng.uniform(1.2, 2.2)), 6)
        colours = below[(size[0] - 1 - places[:, 1].astype(int)), places[:, 0].astype(int)]
    colours = np.clip(colours + rng.normal(0, rng.uniform(0, 0.12), (count, 1)), 0, 1)
    if rng.random() < 0.3:  # dark ones below
        colours = colours * np.linspace(rng.uniform(0.3, 0.9), 1.1, count)[:, None]
    lit = rng.choice([0, 0, 1])
    ink = rng.uniform(0.4, 2.5) if rng.random() < 0.3 else 0
    light, rib = rng.uniform(-0.3, 0.3, 2), rng.random() < 0.3
    for place, r, turn, colour, n in zip(
        places, radii, turns, colours, rng.integers(0, len(outlines), count), strict=True
    ):
        c, s = r * np.cos(turn), r * np.sin(turn)
        shape = outlines[n] @ ((c, s), (-s, c))
        if ink and r > 2.5 * ink:
            canvas.fill(shape * (1 + ink / r) + place, 0.15 * colour)
        canvas.fill(shape + place, colour)
        steps = int(min(8, r / 4)) * lit
        for k in range(1, steps):
            canvas.fill(shape * (1 - k / steps) + place + light * r * k / steps, colour * (1 + 0.07 * k) + 0.01 * k)
        if rib and r > 6:
            side = 0.06 * np.array([-s, c])
            canvas.fill(np.array([(-c, -s), side, (c, s), -side]) * 0.95 + place, 0.7 * colour)
    return canvas.over(ground, _shade(rng, size))


def _shade(rng, size):
    """How light paint is: evenly, in clouds, or as a rough surface."""
    kind = rng.integers(4)
    if kind == 0:
        return np.float32(1)
    slope, strength = ((2.0, 0.15), (1.2, 0.08), (0.8, 0.05))[kind - 1]
    return 1 + rng.uniform(0, strength) * _fractal(rng, size, slope)[..., None]


def _strokes(rng, size):
    """Hair, fur, grass, brushwork: strokes along a flow, each a little off it, from the back to the front."""
    canvas, ground = _Canvas(size), _ground(rng, size) * rng.uniform(0.3, 1)
    width, length = rng.uniform(0.7, 4), rng.uniform(8, 90)
    count = int(np.clip(rng.uniform(0.6, 2.5) * size[0] * size[1] / (width * length), 300, 14000))
    flow = rng.uniform(0, 2 * np.pi) + rng.uniform(0.1, 1.2) * _fractal(rng, size, rng.uniform(1.6, 2.5), 40)
    tone = _coloured(rng, _fractal(rng, size, rng.uniform(1.3, 2.2)), rng.integers(2, 7))
    x, y = rng.uniform(0, size[1], count), rng.uniform(0, size[0], count)
    if rng.random() < 0.4:  # from top to bottom, as blades on the ground
        y = np.sort(y)[::-1]
    at = size[0] - 1 - y.astype(int), x.astype(int)
    angle = flow[at] + rng.normal(0, rng.uniform(0.03, 0.5), count)
    bend = rng.normal(0, rng.uniform(0.02, 0.4), count)
    lengths = length * rng.uniform(0.4, 1.3, count)
    widths = width * rng.uniform(0.5, 1.4, count)
    colours = tone[at] * np.exp(rng.normal(0, rng.uniform(0.05, 0.35), (count, 1)))
    line = [np.stack([x, y], 1)]
    for k in range(4):
        along = np.stack([np.cos(angle + k * bend), np.sin(angle + k * bend)], 1)
        line.append(line[-1] + along * lengths[:, None] / 4)
    profile = (0.6, 1, 0.9, 0.6, 0.05) if rng.random() < 0.8 else (1, 1, 1, 1, 1)
    half = [0.5 * w * widths[:, None] * np.stack([-np.sin(angle), np.cos(angle)], 1) for w in profile]
    outline = np.stack([p - h for p, h in zip(line, half, strict=True)]
                       + [p + h for p, h in zip(line, half, strict=True)][::-1], 1)  # fmt: skip
    shine = rng.uniform(0, 0.5) if rng.random() < 0.6 else 0
    middle = outline.mean(1, keepdims=True) * 0.5 + outline * 0.5
    for one, inner, colour in zip(outline, middle, colours, strict=True):
        canvas.fill(one, colour)
        if shine:
            canvas.fill(inner, colour * (1 + shine) + 0.1 * shine)
    return canvas.over(ground, _shade(rng, size))


def _bodies(rng, size):
    """Bodies in soft light with textures on them, before a ground: what a renderer makes."""
    made = _ground(rng, size)
    light = rng.normal((0, 0, 1.5), 1, 3)
    light /= np.linalg.norm(light)
    if rng.random() < 0.5:  # a surface that is everywhere
        height = _fractal(rng, size, rng.uniform(1.8, 3), rng.choice([0, 4, 12])) * rng.uniform(5, 40)
        slopes = np.gradient(height)
        made = _lit(rng, np.stack([-slopes[0], -slopes[1], np.ones(size)], 2), light, made)
    for r in np.sort(_radii(rng, rng.integers(3, 60), rng.uniform(8, 30), 260)):
        cy, cx = rng.uniform(0, 1, 2) * size
        ry, rx = r * rng.uniform(0.6, 1.5, 2)
        rows, columns = (slice(max(0, int(c - n - 2)), max(0, int(c + n + 3))) for c, n in ((cy, ry), (cx, rx)))
        y, x = np.mgrid[rows, columns]
        y, x = (
            y[: size[0] - rows.start, : size[1] - columns.start],
            x[: size[0] - rows.start, : size[1] - columns.start],
        )
        v, u = (y - cy) / ry, (x - cx) / rx
        d = np.hypot(u, v)
        if not d.size:
            continue
        normal = np.stack([v, u, np.sqrt(np.clip(1 - d * d, 0.0025, 1))], 2)
        part = made[y[0, 0] : y[-1, 0] + 1, x[0, 0] : x[0, -1] + 1]
        skin = np.broadcast_to(_colour(rng), part.shape)
        if rng.random() < 0.6:
            skin = skin * np.exp(rng.uniform(0.05, 0.5) * _fractal(rng, d.shape, rng.uniform(0.8, 2))[..., None])
        cover = np.clip((1 - d) * min(rx, ry) / rng.choice([1, 1, 3]), 0, 1)[..., None]
        part += cover * (_lit(rng, normal, light, skin) - part)
    return made


def _lit(rng, normal, light, skin):
    """Lambert's law with some light from everywhere, and a shine (Blinn 1977)."""
    normal = normal / np.linalg.norm(normal, axis=2, keepdims=True)
    ambient, shine, gloss = rng.uniform(0.15, 0.6), rng.choice([0, 0.3, 0.8]), rng.uniform(4, 60)
    half = np.add(light, (0, 0, 1))
    lit = np.clip(normal @ light, 0, 1)[..., None] * (1.1 - ambient) + ambient
    return skin * lit + shine * np.clip(normal @ (half / np.linalg.norm(half)), 0, 1)[..., None] ** gloss


# --- pages and cels ---------------------------------------------------------------------------------------------------


def _page(rng, size):
    """Lettering, rules, hatching, checks, rings."""
    canvas, ground = _Canvas(size), _ground(rng, size)
    ink = _colour(rng) * rng.choice([0.2, 1])
    letters = np.array(list(string.ascii_letters + string.digits + "    .,-!?"))
    for _ in range(rng.integers(4, 40)):
        x, y = rng.uniform(-0.1, 1, 2) * size[::-1]
        height, turn = _radii(rng, 1, 6, 120)[0], rng.choice([0, 0, rng.normal(0, 0.5)])
        tone = ink if rng.random() < 0.6 else _colour(rng)
        move = Affine2D().rotate(turn).translate(x, y)
        kind = rng.integers(6)
        if kind < 3:
            words = "".join(rng.choice(letters, rng.integers(2, 30)))
            face = FontProperties(family=FONTS[rng.integers(4)], weight=rng.choice(["normal", "bold"]))
            canvas.path(TextPath((0, 0), words, size=height, prop=face).transformed(move), tone)
            continue
        count, step = rng.integers(4, 50), rng.uniform(2, 12)
        thick, long = step * rng.uniform(0.1, 0.6), rng.uniform(20, 300)
        for k in range(count):
            if kind == 3:  # hatching
                shape = box(0, k * step, long, thick)
            elif kind == 4:  # rays
                a = 2 * np.pi * k / count
                along, side = np.array([np.cos(a), np.sin(a)]), np.array([-np.sin(a), np.cos(a)])
                shape = np.stack([3 * along, long * along - thick * side, long * along + thick * side])
            else:  # rings
                a = np.linspace(0, 2 * np.pi, 60)
                ring = np.stack([np.cos(a), np.sin(a)], 1)
                r = 2 + k * step
                shape = np.concatenate([ring * r, ring[::-1] * (r + thick)])
            canvas.path(Outline(shape).transformed(move), tone)
    return canvas.over(ground)


def _cels(rng, size):
    """A scene of a drawn cartoon through a camera, near or far, with ink of any weight and colour."""
    Cel.pen = rng.choice([0, 0.4, 0.7, 1, 1, 1.5, 2.5])
    try:
        scene, sky = (_cartoon.street, _cartoon.meadow, _cartoon.room)[rng.integers(3)], rng.integers(4)
        behind, before = scene(rng, sky == 3)
        behind.insert(0, (0.25, clouds(rng, tuple(_colour(rng)))))
        cast = Cel()
        for _ in range(rng.integers(1, 5)):
            scale = rng.uniform(0.4, 1.6)
            cast.place(figure(person(rng), rng.integers(40), 0.012 + 0.018 / scale), rng.uniform(-5, 5),
                       rng.uniform(-4.5, 1) + 4 * scale, scale, rng.normal(0, 0.1), rng.random() < 0.5)  # fmt: skip
    finally:
        Cel.pen = 1.0
    zoom, (x, y) = np.exp(rng.uniform(np.log(0.8), np.log(4))), rng.uniform((-4, -2.5), (4, 2))
    made = _ground(rng, size)
    paint = rng.choice([0, 0.02, 0.08])  # how uneven
    inked = rng.random() < 0.3  # ink of the colour of what it is on
    for depth, cel in (*behind, (1.0, cast), *before):
        if rng.random() < 0.15:
            continue
        canvas, scale = _Canvas(size), size[0] / 9 * zoom**depth
        move = Affine2D(
            np.array(
                ((scale, 0, size[1] / 2 - scale * x * depth), (0, scale, size[0] / 2 - scale * y * depth), (0, 0, 1))
            )
        )
        for colour, path in cel.paths:
            if inked and colour == _cartoon.INK:
                colour = (0.35, 0.25, 0.22)
            canvas.path(path.transformed(move), colour)
        shade = 1 + paint * _fractal(rng, size, rng.uniform(1, 2))[..., None] if paint else np.float32(1)
        if rng.random() < 0.15:  # out of focus
            layer = np.asarray(canvas.renderer.buffer_rgba()).astype(np.float32) / 255
            layer[..., :3] *= layer[..., 3:]
            layer = _blurred(layer, rng.uniform(1, 6))
            made = made * (1 - layer[..., 3:]) + layer[..., :3] * shade
        else:
            made = canvas.over(made, shade)
    return made
