"""A look at a few frames of each shot of two masters: where HD lies on SD there, and in which colours."""

import contextlib
import hashlib
import json
from collections import defaultdict
from contextlib import closing
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from fastup._resample import resize
from fastup._threads import in_order
from fastup._types import Floats, Frame, Progress, StrPath, Window
from fastup._whole import whole
from fastup.pairs.candidates import Film, NothingShared, evenly
from fastup.pairs.colour import Colour, Gather
from fastup.pairs.measuring import luma, residual, together
from fastup.pairs.placement import Placement, common, common_window, place, warp

SAME = Fraction(1), Fraction(1)  # the scale of SD itself

_FIRST, _EACH = 9, 5  # frames of the film, and of each shot, that are looked at
_ONE_MAP, _BETTER = 0.002, 0.6  # of white: what one map may leave of a frame; how much less those of parts have to


@dataclass(frozen=True)
class Shot:
    """What a look at a shot found."""

    placement: Placement | None
    likeness: float
    """Of the frame that is most alike."""
    colours: tuple[Colour, ...]
    """HD's to SD's; the film's, where the shot shows too little; those of its parts, where a dissolve is in it."""

    def nearest(self, sd: Floats, hd: Floats) -> Colour:
        """The one of its colours that leaves least between a picture and its HD twin in that place."""
        if len(self.colours) == 1:
            return self.colours[0]
        hd = resize(hd, sd.shape[:2], "area")
        return min(self.colours, key=lambda one: residual(sd, one.apply(hd)).usual)


@dataclass(frozen=True)
class Look:
    """What a look at a few frames of each shot found."""

    shots: dict[int, Shot]
    placement: Placement
    """The film's: of the frames that were looked at first."""
    colour: Colour
    """Of the film, HD's to SD's."""

    @classmethod
    def of(cls, film: Film, cache: StrPath, on_progress: Progress | None = None) -> "Look":
        """Look at up to five candidates of each shot; what was found of the same frames is kept in `cache`.

        NothingShared if none of nine frames of the film lies on its partner; what reading a frame raises.
        """
        by_shot = defaultdict(list)
        for candidate in film.first:
            by_shot[film.shot(candidate)].append(candidate)
        picks = sorted(k for each in by_shot.values() for k in evenly(each, _EACH))
        first = evenly(picks, _FIRST)
        file = Path(cache) / f"look-{_digest(film, picks)}.json"
        if file.exists():
            with contextlib.suppress(ValueError, TypeError, KeyError):  # damaged, which costs another look
                return _read(file)
        done = 0

        def looked(candidates, work):
            nonlocal done
            wanted = [(film.number(k), (film.partner(k),)) for k in candidates]
            with (
                closing(together(film.sd.source, film.hd.source, wanted)) as items,
                closing(in_order(work, items)) as all,
            ):
                for found in all:
                    yield found
                    done += 1
                    if on_progress is not None:
                        on_progress(done, len(first) + len(picks), "looking at shots")

        start = common(list(looked(first, lambda item: _placed(film, item, None)[0])))
        if start is None:
            tried = f"{len(first)} frame{'s' * (len(first) != 1)}"
            raise NothingShared(
                f"{film.sd.source.path} and {film.hd.source.path}: they share no picture: none of {tried} of SD lies "
                "on the frame of HD that is most like it"
            )
        shot_of = {film.number(k): film.shot(k) for k in picks}
        places: dict[int, list[tuple[Placement | None, float]]] = defaultdict(list)
        gathered: dict[int, list[Gather]] = defaultdict(list)
        whole = Gather()
        for number, found, colours in looked(picks, lambda item: _measured(film, item, start)):
            places[shot_of[number]].append(found)
            if colours is not None:
                gathered[shot_of[number]].append(colours)
                whole.merge(colours)
        colour, shots = whole.fit(), {}
        for shot in by_shot:
            likeness = max(alike for _, alike in places[shot])
            shots[shot] = Shot(common(places[shot]), likeness, _colours(gathered[shot], colour))
        look = cls(shots, start, colour)
        _write(file, look)
        return look


def _colours(gathers, film):
    """The map of a shot, by what some frames of it show, in order; the film's, where they show too little.

    A dissolve is no cut to the signatures, and the scenes on both sides of it may be of other colours. So where the map
    leaves a frame off, those of the frames before a place and of those after it are taken, if they leave much less.
    """
    own, off = _map(gathers)
    if own.why:
        return (film,)
    best = off, (own,)
    if off > _ONE_MAP:
        for at in range(1, len(gathers)):
            (before, one), (after, other) = _map(gathers[:at]), _map(gathers[at:])
            if not before.why and not after.why:
                best = min(best, (max(one, other), (before, after)), key=lambda each: each[0])
    return best[1] if best[0] < _BETTER * off else (own,)


def _map(gathers):
    """The map that frames have in common, and how far it leaves the one off that it leaves off most."""
    both = Gather()
    for each in gathers:
        both.merge(each)
    found = both.fit()
    return found, max((each.off(found) for each in gathers), default=0.0)


def _digest(film, picks):
    """A name for what is looked at: the pictures by their signatures, and what is trimmed of them."""
    digest = hashlib.blake2b(digest_size=16)
    rows, partners = film.rows[picks], film.partners[picks]
    shots = [film.shot(k) for k in picks]
    digest.update(repr((film.sd.size, film.hd.size, film.sd.trim, film.hd.trim, shots)).encode())
    for each in (rows, partners, film.seen.levels[rows], film.hd_seen.levels[partners]):
        digest.update(np.ascontiguousarray(each))
    return digest.hexdigest()


def _write(file, look):
    rows = [
        [shot, found.placement and asdict(found.placement), found.likeness, [one.as_dict() for one in found.colours]]
        for shot, found in look.shots.items()
    ]
    text = json.dumps({"placement": asdict(look.placement), "colour": look.colour.as_dict(), "shots": rows})
    with whole(file) as part:
        part.write_text(text, encoding="utf-8")


def _read(file):
    def placement(given):
        return given and Placement(**{key: tuple(one) if isinstance(one, list) else one for key, one in given.items()})

    found = json.loads(file.read_text("utf-8"))
    shots = {
        shot: Shot(placement(place), alike, tuple(map(Colour.of, maps))) for shot, place, alike, maps in found["shots"]
    }
    return Look(shots, placement(found["placement"]), Colour.of(found["colour"]))


def _placed(film, item, start):
    """(placement, likeness) of an SD frame on its partner, and both pictures; nothing where one cannot be read."""
    number, raw, partners = item
    if not partners:
        return (None, 0.0), None, None
    sd = film.sd.picture(raw, number)
    ((partner, hd_raw),) = partners.items()
    hd = film.hd.picture(hd_raw, partner)
    return place(luma(sd), luma(hd), start), sd, hd


def _measured(film, item, start):
    """The number of an SD frame, its (placement, likeness), and what it shows of colours."""
    found, sd, hd = _placed(film, item, start)
    if found[0] is None:
        return item[0], found, None
    inner = covered(found[0])
    colours = Gather(item[0])
    colours.add(cut(sd, inner), warp(hd, found[0], inner, SAME))
    return item[0], found, colours


def covered(placement: Placement) -> tuple[int, int, int, int]:
    """What of SD's picture HD covers, as a window of whole pixels."""
    return common_window([placement], SAME)


def cut(picture: Frame, window: Window) -> Frame:
    """A window of a picture, an array of its own."""
    y, x, height, width = window
    return np.ascontiguousarray(picture[y : y + height, x : x + width])
