"""Two masters of a film to pairs of frames that can be trained on: which become pairs, and their making."""

import hashlib
import shutil
from collections import Counter
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from math import hypot
from pathlib import Path
from typing import Any

import numpy as np

from fastup import frames
from fastup._resample import resize
from fastup._scales import Scale
from fastup._threads import in_order
from fastup._types import Progress, StrPath
from fastup.errors import DataError, OptionError
from fastup.footage import opening
from fastup.footage.source import Source
from fastup.footage.stills import Folder
from fastup.header import Header
from fastup.pairs import borders, selection
from fastup.pairs.alignment import OFFSET, SHIFT, Fit, fit
from fastup.pairs.cache import clear_cache
from fastup.pairs.candidates import AGAIN, Film, NothingShared
from fastup.pairs.colour import Colour
from fastup.pairs.geometry import size_text
from fastup.pairs.look import SAME, Look, covered, cut
from fastup.pairs.matched import FOUND, Record, Row, figures, header_for, spans, spreads, write_found
from fastup.pairs.measuring import (
    MORE_ALIKE,
    TOLD,
    Read,
    Side,
    climbed_to,
    for_ten_bits,
    luma,
    nearest,
    normalised,
    residual,
    together,
)
from fastup.pairs.placement import Placement, common_window, covers, exact_scale, refine, warp

TO = ("sd", "hd")

# Why a frame is left out, beside the words of `candidates` and of the timeline.
UNLIKE, UNTOLD, UNSURE, BADLY = "another picture", "drawing unsure", "place unsure", "fits badly"
BEYOND, ALIKE, UNREAD = "HD ends within the window", "others differ more", "cannot be read"

_LIKENESS = 0.3  # of gradients; below it two frames show no one picture
_RESIDUAL, _DIFFERS = 0.03, 0.05  # of white, and a share of the picture: what a pair may differ by
_UNUSUAL = 2.0, 0.004  # times what pairs of a shot usually differ by; of white, which is never too much
_NOMINAL = 0.08  # by how much a scale that follows from the sizes of the pictures may differ from what was measured
_MOST = 999.0  # standard errors, where there are more
_AS_MUCH = 1.2  # times what the most alike leaves unexplained is no more than chance
_SIMPLE = 20  # the largest numerator of such a scale
_BEYOND = 0.02  # of the shots, at each side, that need not fill the window
_WEAVE = 1.5  # SD pixels that frames of a shot may lie off its place, and fill the window


def match(
    sd: StrPath, hd: StrPath, data: StrPath, *, to: str = "sd", most: int | None = None, overwrite: bool = False,
    on_progress: Progress | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Make pairs of two masters of one film, in DATA/train, validation and evaluation, and say what was found.

    Two passes: one over all frames of both finds what is when; a few frames of each shot tell its place and colours;
    one over the frames that were chosen finds where each lies, and writes the pairs. The same call carries on where one
    was stopped, and ends with the same bytes.

    Parameters
    ----------
    sd, hd
        Sources that can be read more than once.
    data
        A folder. Pairs that are there must be of this match: no others are ever touched.
    to
        "sd": HD gets SD's colours, shot by shot. "hd": SD gets HD's by one map for the film, and HD what its shot is
        off that map.
    most
        How many pairs, of those that differ most; all drawings without it.
    overwrite
        Whether what an earlier match left in DATA goes first.

    Returns
    -------
    What DATA/match.json says, but for its frames.

    Raises
    ------
    DataError
        If the films share nothing, HD is smaller than SD, a frame cannot be read or is of another size, or DATA holds
        other things, or a match of other settings.
    OptionError
        If an option is out of its range, or a source is a pipe.
    OSError
        If something is missing, or cannot be written.
    """
    if to not in TO:
        raise OptionError(f"to is {to!r}, expected one of {', '.join(TO)}")
    if most is not None and most < 1:
        raise OptionError(f"most is {most}, expected 1 or more")
    data, record = Path(data), Record(data)
    record.check()
    cache = data / "cache"
    was_there = data.exists(), cache.exists()
    with ExitStack() as stack:
        sources = [stack.enter_context(_opened(path, name)) for path, name in ((sd, "SD"), (hd, "HD"))]
        sides = _sides(*sources)
        try:
            film = Film.of(*sides, cache, on_progress)
            look = Look.of(film, cache, on_progress)
            plan = Plan.of(film, look, to, most)
        except NothingShared as error:
            _forget(data, cache, *was_there)
            raise NothingShared(f"{error}; nothing is written") from None
        if overwrite:
            record.remove()
        plan.check_room(record)
        settings = {"most": most} | plan.settings  # what was asked for first: it is said first
        record.begin(settings)
        with closing(record):
            plan.run(record, on_progress)
        found = settings | plan.found(record)
        write_found(data / FOUND, found, plan.rows(record))
    return found


def _opened(path: StrPath, name: str) -> Source:
    """A source that can be read more than once."""
    if opening.is_pipe(path):
        raise OptionError(f"{name} is -, a pipe, which can be read once; expected a video or a folder")
    return opening.source(path)


def _sides(sd: Source, hd: Source) -> tuple[Side, Side]:
    """Both masters, checked, without what is no picture."""
    if sd.path.samefile(hd.path):
        raise DataError(f"{sd.path}: SD and HD are the same; expected two masters")
    for source in (sd, hd):
        if isinstance(source, Folder) and len(source) < 2:
            raise DataError(f"{source.path}: 1 frame, expected a film")
        Side(source).check()
    ours, theirs = (Side(source, borders.find(source).trim) for source in (sd, hd))
    if min(have - need for have, need in zip(theirs.size, ours.size, strict=True)) < 0:
        raise DataError(
            f"{hd.path}: its picture is {size_text(theirs.size)}, smaller than that of {sd.path}, "
            f"{size_text(ours.size)}; are SD and HD swapped?"
        )
    return ours, theirs


def _forget(data: Path, cache: Path, had_data: bool, had_cache: bool) -> None:
    """Remove what pass one wrote where nothing was."""
    if not had_cache and cache.is_dir():
        clear_cache(cache)
    if not had_data and data.is_dir():
        data.rmdir()


@dataclass(frozen=True)
class Plan:
    """Which candidates of a film become pairs, in which order they are tried, and how they are made."""

    film: Film
    look: Look
    to: str
    most: int
    scale: Scale
    window: tuple[int, int, int, int]
    """y, x, height, width on SD's picture."""
    order: list[int]
    """Candidates: so many as `most` are made, and later ones where some of those turn out to fit badly."""
    why: dict[int, str]
    """Why candidates are not in it."""
    sets: dict[int, str]
    """The set of each shot."""

    @classmethod
    def of(cls, film: Film, look: Look, to: str, most: int | None) -> "Plan":
        scale = _scale(film, look.placement)
        weave = [
            replace(one.placement, shift=(one.placement.shift[0] + off, one.placement.shift[1] + off))
            for one in look.shots.values()
            for off in (-_WEAVE, _WEAVE)
            if one.placement is not None
        ]
        window = common_window(weave, scale, _BEYOND)
        why, placed = {}, []
        for candidate in film.first:
            shot = look.shots[film.shot(candidate)]
            if shot.placement is not None:
                placed.append(candidate)
            else:
                why[candidate] = _unplaced(shot.likeness)
        order = placed if most is None else [placed[k] for k in selection.spread(film.features(placed))]
        most = len(order) if most is None else min(most, len(order))
        groups = film.groups(order)
        sizes = Counter(dict.fromkeys(sorted(groups.values()), 0))
        sizes.update(groups[film.shot(k)] for k in order[:most])
        names = dict(zip(sizes, selection.sets(list(sizes.values())), strict=True))
        sets = {shot: names[group] for shot, group in groups.items()}
        return cls(film, look, to, most, scale, window, order, why, sets)

    @property
    def settings(self) -> dict[str, Any]:
        """What decides on the pairs: with another one they would be others."""
        film = self.film
        tried = [(*film.wanted(k), self.sets[film.shot(k)]) for k in self.order]
        return {
            **{name: _about(side) for name, side in (("sd", film.sd), ("hd", film.hd))},
            "to": self.to, "scale": list(map(str, self.scale)), "window": list(self.window),
            "plan": hashlib.blake2b(repr(tried).encode(), digest_size=8).hexdigest(),
        }  # fmt: skip

    def check_room(self, record: Record) -> None:
        """Raise DataError if the disk has no room for the pairs that are not there yet."""
        pair = self.window[2] * self.window[3] * (4 + 6 * float(self.scale[0] * self.scale[1]))
        count = sum(not record.is_made(self.film.number(k)) for k in self.order[: self.most])
        there = next(each for each in (record.data, *record.data.absolute().parents) if each.exists())
        free = shutil.disk_usage(there).free
        if count * pair > free:
            raise DataError(
                f"{record.data}: {count} pairs take {count * pair / 1e9:.3g} GB, and {free / 1e9:.3g} GB are free; "
                f"expected more room, or --most {max(1, int(0.9 * free / pair))}"
            )

    def run(self, record: Record, on_progress: Progress | None = None) -> None:
        """Make the pairs that are not there yet; for one that fails, another of its drawing, or else the next one."""
        film, queue, tried, good = self.film, list(self.order), list[int](), 0
        while queue and good < self.most:
            batch, queue = queue[: self.most - good], queue[self.most - good :]
            self._make(record, batch, len(tried), on_progress)
            tried += batch
            self._leave_out_unusual(record, tried)
            self._settle(record, tried)
            made = [k for k in tried if record.rows.get(film.number(k), {}).get("set")]
            good, there = len(made), {film.hold(k) for k in made}
            again = [film.instead[k] for k in batch if k in film.instead and film.hold(k) not in there]
            queue = again + queue

    def _make(self, record: Record, batch: list[int], done: int, on_progress: Progress | None) -> None:
        """Make the pairs of some candidates that are not there yet."""
        number = self.film.number
        candidate_of = {number(k): k for k in batch}
        todo = sorted((k for k in batch if not record.is_made(number(k))), key=number)
        done, total = done + len(batch) - len(todo), done + len(batch)
        with (
            frames.write_stream(2, 4) as write,
            closing(together(self.film.sd.source, self.film.hd.source, map(self.film.wanted, todo))) as items,
            closing(in_order(lambda item: self._pair(candidate_of[item[0]], item), items)) as results,
        ):
            for row, pair in results:
                record.add(row)
                for path, (frame, header) in zip(record.files(row), pair, strict=True):
                    path.parent.mkdir(parents=True, exist_ok=True)
                    write(path, frame, header)
                done += 1
                if on_progress is not None:
                    on_progress(done, total, "making pairs")

    def _settle(self, record: Record, tried: list[int]) -> None:
        """Of pairs that have one HD frame, leave the one most alike: another may be of a drawing that HD lacks.

        What is as alike, but for grain, is the same drawing again: of those, the one with the largest margin is left.
        """
        claims: dict[int, list[int]] = {}
        for k in tried:
            row = record.rows.get(self.film.number(k), {})
            if row.get("set") or row.get("why") == AGAIN:
                claims.setdefault(row["partner"], []).append(k)
        for several in claims.values():
            rows = {k: record.rows[self.film.number(k)] for k in several}
            least = min(1 - row["likeness"] for row in rows.values())
            alike = [k for k in several if 1 - rows[k]["likeness"] <= _AS_MUCH * least + MORE_ALIKE]
            best = max(alike, key=lambda k: (self.film.margin(k), -k))
            for k in set(several) - {best}:
                record.leave_out(rows[k], AGAIN)

    def _leave_out_unusual(self, record: Record, tried: list[int]) -> None:
        """Leave out pairs that fit much worse than others of their shot: a trace of another scene, or nearly black."""
        by_shot: dict[int, list[Row]] = {}
        for k in tried:
            row = record.rows.get(self.film.number(k), {})
            if "residual" in row:
                by_shot.setdefault(self.film.shot(k), []).append(row)
        for rows in by_shot.values():
            usual = float(np.median([row["residual"] for row in rows]))
            for row in rows:
                if row.get("set") and row["residual"] > max(_UNUSUAL[0] * usual, _UNUSUAL[1]):
                    record.leave_out(row, BADLY)

    def _pair(self, candidate: int, item: Read) -> tuple[Row, tuple[Any, ...]]:
        """The row of a candidate, and (frame, header) of SD and HD; none where it is left out."""
        film, (number, raw, partners) = self.film, item
        shot, partner = self.look.shots[film.shot(candidate)], film.partner(candidate)
        assert shot.placement is not None  # or it would not be in the order
        row: Row = {"frame": number, "partner": partner, "why": ""}
        if partner not in partners:
            return row | {"why": UNREAD}, ()
        codes, white = film.sd.codes(raw, number)
        sd, drawn = normalised(codes, white), {each: film.hd.picture(hd, each) for each, hd in partners.items()}
        lumas = {each: luma(hd) for each, hd in drawn.items()}
        ours = luma(sd)
        doubt = film.in_doubt(candidate)
        climbed, placement, likeness = climbed_to(ours, lumas, partner, shot.placement, doubt)
        there = placement or shot.placement
        inner = covered(there)
        small = {each: warp(hd[:, :, None], there, inner, SAME)[:, :, 0] for each, hd in lumas.items()}
        best, alike, lead = nearest(cut(ours, inner), small, climbed)
        if best != climbed:
            placement, likeness = refine(ours, lumas[best], shot.placement)
        row |= {
            "partner": best,
            "likeness": round(likeness, 4),
            "alike": round(alike, 4),
            "lead": round(min(lead, _MOST), 1),
        }
        if placement is None:
            return row | {"why": _unplaced(likeness)}, ()
        if lead < TOLD and doubt:
            return row | {"why": UNTOLD}, ()
        row |= figures(placement)
        if not covers(placement, self.window, self.scale):
            return row | {"why": BEYOND}, ()
        hd = warp(drawn[best], placement, self.window, self.scale)
        picture = cut(sd, self.window)
        hd = shot.nearest(picture, hd).apply(hd, out=hd)
        found = residual(picture, resize(hd, picture.shape[:2], "area"))
        row |= {"residual": round(found.usual, 5), "differs": round(found.differs, 5)}
        if found.usual > _RESIDUAL or found.differs > _DIFFERS or _is_off(fit(picture, np.clip(hd, 0, 1))):
            return row | {"why": BADLY}, ()
        alpha = for_ten_bits(cut(codes, self.window), white)
        if self.to == "hd":
            alpha, hd = self.recipe.apply(picture), self.recipe.apply(hd, out=hd)
        row |= {"set": self.sets[film.shot(candidate)], "name": film.sd.source.name(number)}
        return row, ((alpha, self._sd_header(number)), (hd, self._hd_header(number, best)))

    # -- what is said of pairs -----------------------------------------------------------------------------------------

    @cached_property
    def recipe(self) -> Colour:
        """SD's colours to HD's, for the film."""
        return self.look.colour.inverse()

    def _sd_header(self, number: int) -> Header:
        """The header of an SD frame for the window of it."""
        y, x, height, width = self.window
        side = self.film.sd
        header = header_for(side.source, number, (height, width), 10, self._colours(number))
        top, left = y + side.trim.top, x + side.trim.left
        rows, columns = side.source.size
        return header.replace(x_offset=left, y_offset=top, x_original_size=columns, y_original_size=rows)

    def _hd_header(self, number: int, partner: int) -> Header:
        """The header of an HD frame for where an SD frame lies, with the shape that its pixels have there."""
        down, along = self.scale
        size = int(self.window[2] * down), int(self.window[3] * along)
        header = header_for(self.film.hd.source, partner, size, 16, self._colours(number))
        aspect = self.film.sd.source.header(number).pixel_aspect
        return header if aspect is None else header.replace(pixel_aspect=aspect * down / along)

    def _colours(self, number: int) -> Header:
        """The header that says of what colours a pair is."""
        return self.film.sd.source.header(number) if self.to == "sd" else self.film.hd.source.header(0)

    def rows(self, record: Record) -> Any:
        """A row for every SD frame, in order, as match.json has them."""
        film, line = self.film, self.film.line
        candidate_of = {int(row): k for k, row in enumerate(film.rows)}
        for row, number in enumerate(film.seen.numbers.tolist()):
            partner = int(line.partner[row])
            about = {
                "frame": number, "partner": None if partner < 0 else int(film.hd_seen.numbers[partner]),
                "margin": round(float(line.margin[row]), 3), "shot": int(line.shot[row]),
                "drawing": int(line.drawing[row]), "set": None, "why": film.why[row],
            }  # fmt: skip
            if row in candidate_of:
                candidate = candidate_of[row]
                about |= record.rows.get(number) or {"why": self._untried(candidate)}
            yield about

    def _untried(self, candidate: int) -> str:
        """Why there is no row of a candidate."""
        return self.why.get(candidate, ALIKE) if candidate in self._first else AGAIN

    @cached_property
    def _first(self) -> set[int]:
        return set(self.film.first)

    def found(self, record: Record) -> dict[str, Any]:
        """What was found, in figures: all of match.json but settings and frames."""
        film, rows = self.film, [row for row in record.rows.values() if row.get("set")]
        why = Counter(film.why)
        del why[""]
        for candidate in range(len(film)):
            row = record.rows.get(film.number(candidate))
            text = self._untried(candidate) if row is None else row["why"]
            why.update([text] if text else [])
        shots = []
        ours, theirs = (spans(film.line.shot, each) for each in (film.seen.numbers, film.line.partner))
        for shot, found in self.look.shots.items():
            shots.append(
                {
                    "shot": shot, "sd": ours[shot], "hd": [int(film.hd_seen.numbers[row]) for row in theirs[shot]],
                    "set": self.sets.get(shot),
                    **figures(found.placement), "likeness": round(found.likeness, 4),
                    "colours": [one.as_dict() for one in found.colours],
                    "in_words": "; or ".join(one.words for one in found.colours),
                }
            )  # fmt: skip
        colour = self.recipe if self.to == "hd" else self.look.colour
        return {
            "colour": colour.as_dict(),
            "summary": {
                "frames": len(film.seen), "hd_frames": len(film.hd_seen), "pairs": len(rows),
                "left_out": dict(sorted(why.items(), key=lambda item: (-item[1], item[0]))),
                "shots": len(shots),
                "sets": {
                    name: {
                        "pairs": sum(row["set"] == name for row in rows),
                        "shots": sum(each == name for each in self.sets.values()),
                    }
                    for name in selection.SETS
                },
                **spreads(rows), "colour": colour.words,
            },
            "notes": self._notes(rows),
            "shots": shots,
        }  # fmt: skip

    def _notes(self, rows: list[Row]) -> list[str]:
        """What there is to say of the pairs, in sentences."""
        notes = []
        there = {row["set"] for row in rows}
        if rows and "validation" not in there:
            groups = len(set(self.film.groups(self.order).values()))
            why = (
                "all pairs are of one shot, or of shots that show the same; whole shots go to one set"
                if groups == 1
                else "all of its frames were left out"
            )
            notes.append(f"validation is missing: {why}")
        elif rows and "evaluation" not in there:
            notes.append("evaluation is missing: there are too few groups of shots, or all of its frames were left out")
        if not rows:
            notes.append("there is no pair: all frames were left out")
        return notes


def _about(side: Side) -> dict[str, Any]:
    return {"path": str(side.source.path.absolute()), "size": list(side.source.size), "trim": list(side.trim)}


def _is_off(found: Fit) -> bool:
    """Whether a pair that shows one picture fits badly: by its shift, or by what a channel does to black, or to white.

    A gain alone says little where few levels are: its offset makes up for it.
    """
    levels = [
        off for gain, offset in zip(found.gain, found.offset, strict=True) if gain is not None and offset is not None
        for off in (offset, gain + offset - 1)
    ]  # fmt: skip
    return hypot(*(found.shift or ())) > SHIFT or any(abs(off) > OFFSET for off in levels)


def _unplaced(likeness: float) -> str:
    return UNLIKE if likeness < _LIKENESS else UNSURE


def _scale(film: Film, placement: Placement) -> Scale:
    """The exact scale of targets: that by the sizes of the pictures where it is near to what was measured.

    With it a whole SD frame becomes one of HD's size: 1440x1080 of 720x480, also where a tape shows a few percent less
    than HD, or more. Else it is `exact_scale`'s.
    """
    sizes = zip(film.hd.size, film.sd.source.size, placement.scale, strict=True)
    by_size = [(Fraction(theirs, ours), own) for theirs, ours, own in sizes]
    if all(one.numerator <= _SIMPLE and one >= 1 and abs(float(one) / own - 1) <= _NOMINAL for one, own in by_size):
        return by_size[0][0], by_size[1][0]
    return exact_scale(placement)
