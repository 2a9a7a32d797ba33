"""What is found of two masters, held against the truth of `tests/masters.py`, in figures."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

import fastup
from fastup.pairs.placement import Placement
from fastup.trim import Trim

ANOTHER, LEFT, PLACE, COLOUR = 0.002, 0.05, 0.95, 0.95  # what is allowed: at most, at most, at least, at least
NEAR, CLOSE = 0.1, 0.005  # SD pixels; of white
BLOCK = 8  # SD pixels: colours are compared by the means of flat blocks, which grain hardly moves
LOOKED_AT = 12  # pairs of a film whose colours are looked at


@dataclass
class Figures:
    """Counts, so that those of several films can be added."""

    pairs: int = 0
    another: int = 0  # pairs of another drawing
    drawings: int = 0  # of SD, that HD shows as well
    left: int = 0  # those without a pair
    places: list[float] = field(default_factory=list)  # SD pixels that each right pair is off, over the picture
    colours: list[float] = field(default_factory=list)  # of white, that the channel of each flat block is off most
    wrong: list[str] = field(default_factory=list)  # which pairs are another drawing's
    missed: list[int] = field(default_factory=list)  # SD frames of drawings that were left

    def __add__(self, other):
        return Figures(*(mine + theirs for mine, theirs in zip(vars(self).values(), vars(other).values(), strict=True)))

    @property
    def near(self):
        return float(np.mean(np.array(self.places) <= NEAR)) if self.places else 1.0

    @property
    def close(self):
        return float(np.mean(np.array(self.colours) <= CLOSE)) if self.colours else 1.0

    @property
    def misses(self):
        """Names of the figures that are worse than allowed."""
        held = {
            "another": self.another <= ANOTHER * self.pairs, "left": self.left <= LEFT * self.drawings,
            "place": self.near >= PLACE, "colour": self.close >= COLOUR,
        }  # fmt: skip
        return [name for name, good in held.items() if not good]

    def row(self):
        places, colours = (np.array(values or [np.nan]) for values in (self.places, self.colours))
        return (
            f"{self.pairs:5} {self.another:4} {100 * self.another / max(1, self.pairs):5.2f}%  "
            f"{self.drawings:5} {self.left:4} {100 * self.left / max(1, self.drawings):5.1f}%  "
            f"{100 * self.near:5.1f}% {np.quantile(places, 0.95):6.3f}  {100 * self.close:5.1f}% "
            f"{100 * np.quantile(colours, 0.95):5.2f}%  {', '.join(self.misses) or 'ok'}"
        )


HEAD = (
    f"{'pairs':>5} {'of another':>11}  {'drawings':>5} {'left':>7}  {'near':>6} {'95 %':>6}  {'close':>6} {'95 %':>6}"
)


def times(truth, partner, kept=None):
    """Figures of who is whose partner.

    Parameters
    ----------
    truth : Truth
    partner : sequence of int
        Of each SD frame, the HD frame; -1 where there is none.
    kept : sequence of bool, optional
        Which become pairs; without it all with a partner but what is black.
    """
    partner = np.asarray(partner)
    kept = partner >= 0 if kept is None else np.asarray(kept)
    figures = Figures()
    for n in np.flatnonzero(kept).tolist():
        if truth.kind[n] == "black" and partner[n] >= 0 and truth.hd[partner[n]].kind == "black":
            continue
        figures.pairs += 1
        if partner[n] not in truth.partners[n]:
            figures.another += 1
            right = min(truth.partners[n], key=lambda hd: abs(hd - partner[n]), default=None)
            figures.wrong.append(f"{n}->{partner[n]} (is {right}{truth.kind[n] and ', ' + truth.kind[n]})")
    usual = np.array([bool(truth.partners[n]) and not truth.kind[n] for n in range(len(truth.sd))])
    for number in np.unique(truth.drawing[usual]):
        shown = np.flatnonzero((truth.drawing == number) & usual)
        figures.drawings += 1
        if not kept[shown].any():
            figures.left += 1
            figures.missed.append(int(shown[0]))
    return figures


def place(truth, frame, affine):
    """SD pixels that a place, (2, 3) of whole frames, is off: the root of the mean square over the picture."""
    height, width = truth.case.sd
    points = np.stack(np.meshgrid(np.linspace(0, height, 9), np.linspace(0, width, 9), indexing="ij"), -1).reshape(
        -1, 2
    )
    true = truth.affine[frame]
    there = points @ affine[:, :2].T + affine[:, 2]
    back = (there - true[:, 2]) @ np.linalg.inv(true[:, :2]).T
    return float(np.sqrt(np.square(back - points).sum(1).mean()))


def whole(placement, sd_trim, hd_trim):
    """The (2, 3) of whole frames, of a `Placement` of pictures."""
    matrix = placement.matrix
    offset = matrix[:, 2] - matrix[:, :2] @ (sd_trim.top, sd_trim.left) + (hd_trim.top, hd_trim.left)
    return np.column_stack([matrix[:, :2], offset])


def match(truth, data):
    """Figures of what `fastup match` left in a folder, colours of HD made SD's."""
    data = Path(data)
    found = json.loads((data / "match.json").read_text())
    rows = {row["frame"]: row for row in found["frames"]}
    frames = [rows[n] for n in range(len(truth.sd))]
    figures = times(
        truth,
        [-1 if row["partner"] is None else row["partner"] for row in frames],
        [bool(row["set"]) for row in frames],
    )
    trims = [Trim(*found[name]["trim"]) for name in ("sd", "hd")]
    sizes = [trim.picture(tuple(found[name]["size"])) for trim, name in zip(trims, ("sd", "hd"), strict=True)]
    right = [row for row in frames if row["set"] and row["partner"] in truth.partners[row["frame"]]]
    for row in right:
        placement = Placement(*sizes, tuple(row["shift"]), tuple(row["scale"]), row["rotation"])
        figures.places.append(place(truth, row["frame"], whole(placement, *trims)))
    y, x, height, width = found["window"]
    y, x = y + trims[0].top, x + trims[0].left
    for row in right[:: max(1, len(right) // LOOKED_AT)]:
        beta = fastup.read(data / row["set"] / "Beta" / f"{row['name']}.dpx", "float32")
        size = tuple(round(n * m / k) for n, m, k in zip(truth.case.sd, beta.shape, (height, width), strict=False))
        top, left = (round(at * n / m) for at, n, m in zip((y, x), size, truth.case.sd, strict=True))
        window = slice(top, top + beta.shape[0]), slice(left, left + beta.shape[1])
        off = beta - truth.picture(row["frame"], size)[window]
        flat = truth.flat(row["frame"], size)[window]
        figures.colours += blocks(off, flat, [BLOCK * n // m for n, m in zip(size, truth.case.sd, strict=True)])
    return figures


def blocks(off, flat, side):
    """How far the worst channel of each flat block is off in the mean."""
    rows, columns = (n // s for n, s in zip(flat.shape, side, strict=True))
    height, width = rows * side[0], columns * side[1]
    whole = flat[:height, :width].reshape(rows, side[0], columns, side[1]).all((1, 3))
    means = off[:height, :width].reshape(rows, side[0], columns, side[1], 3).mean((1, 3))
    return np.abs(means).max(2)[whole].tolist()
