"""What is when on two masters, and which SD frames may become pairs: one of each drawing that HD has."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fastup._types import Floats, Progress, StrPath
from fastup.errors import DataError
from fastup.pairs import selection, signatures
from fastup.pairs.measuring import Side, Wanted
from fastup.pairs.signatures import Signatures
from fastup.pairs.timeline import Timeline, align

AGAIN, NO_PARTNER = "the same drawing again", "no partner"  # why a frame is left out; the timeline has more words

_FADED = 0.002  # of white: the frames of a drawing that differ more in level are of a fade
_UNSURE, _MORE = 12.0, 5  # with a margin of less, in nats, so many drawings on each side of the partner's are looked at
_AS_ALIKE = 0.02  # a likeness that is less by no more is the same, but for grain
_FULL = 0.95  # of the contrast of a hold: frames with less are of a fade
_RIVALS, _INSTEAD = 2, 2  # drawings beside the likeliest that may be a hold's; frames that are tried where one fails
_WITHIN = 3  # frames of a hold on each side of its middle: grain may hide that it is two drawings
_LOOKED_AT = 12  # candidates of a shot that are held against those of other shots
_POOLED = 3, 3  # cells of a signature that are one where pictures are held against one another
_COARSE = 6, 6  # and where they are told apart
_LEVELS = 0.5  # what the brightness of such a cell counts against its detail


class NothingShared(DataError):
    """Two films that have no picture in common."""


@dataclass(frozen=True)
class Film:
    """Two masters, and what is when on them. Candidates, by number from 0, are SD frames that may become pairs: those
    that are tried `first`, and those that are tried `instead` where one fails."""

    sd: Side
    hd: Side
    seen: Signatures
    """Of SD."""
    hd_seen: Signatures
    line: Timeline
    why: list[str]
    """Why each row of SD's signatures is no candidate; nothing for those that are."""
    rows: NDArray[np.int64]
    """The row of SD's signatures that each candidate is, in order."""
    partners: NDArray[np.int64]
    """The row of HD's signatures that it has: the middle of a hold."""
    others: list[tuple[int, ...]]
    """Rows of HD's that it is to be held against: drawings before and after its partner's, and the ends of its hold."""
    first: list[int]
    """Candidates, one of each drawing; where it is in doubt whose an HD drawing is, one of each that may be."""
    instead: dict[int, int]
    """Of a candidate, the one that is tried where it fails: another frame of its drawing, or of its partner's."""

    @classmethod
    def of(cls, sd: Side, hd: Side, cache: StrPath, on_progress: Progress | None = None) -> "Film":
        """Find what is when: pass one.

        NothingShared if no drawing of SD is in HD; DataError if a source has fewer than two frames; what
        `signatures.read` raises.
        """
        seen, hd_seen = (signatures.read(side.source, side.trim, cache, on_progress) for side in (sd, hd))
        for side, found in ((sd, seen), (hd, hd_seen)):
            if len(found) < 2:
                raise DataError(f"{side.source.path}: {len(found)} frame{'s' * (len(found) != 1)}, expected a film")
        line = align(seen, hd_seen, on_progress)
        why = [
            text or ("" if partner >= 0 else NO_PARTNER) for text, partner in zip(line.why, line.partner, strict=True)
        ]
        usable = np.array([not text for text in why])
        chosen = selection.middles(line.drawing, usable)
        if not len(chosen):
            raise NothingShared(f"{sd.source.path} and {hd.source.path}: they share no drawing")
        middle = selection.middles(line.hd_drawing, np.ones(len(hd_seen), bool))
        hold = np.where(line.partner >= 0, line.hd_drawing[line.partner], -1)  # counts from 0: a place in `middle`
        chains = _chains(line, hold, np.flatnonzero(usable), chosen, hd_seen.contrast[line.partner])
        rows = np.array(sorted(row for chain in chains for row in chain))
        number = {row: k for k, row in enumerate(rows.tolist())}
        first = sorted(number[chain[0]] for chain in chains)
        instead = {number[one]: number[other] for chain in chains for one, other in pairwise(chain)}
        for row in np.flatnonzero(usable):
            why[row] = AGAIN
        for row in rows:
            why[row] = ""
        holds = hold[rows]
        partners = middle[holds]
        level = hd_seen.mean
        faded = np.abs(level[partners] - level[line.partner[rows]]) > _FADED
        partners = np.where(faded | line.hd_mixed[partners], line.partner[rows], partners)
        starts = np.searchsorted(line.hd_drawing, np.arange(len(middle) + 1))
        own = np.clip(partners[:, None] + (-_WITHIN, _WITHIN), starts[holds][:, None], starts[holds + 1][:, None] - 1)
        others = [
            (
                *(int(middle[k]) for k in range(max(0, at - n), min(len(middle), at + n + 1)) if k != at),
                *ends.tolist(),
            )
            for at, ends, n in zip(holds, own, np.where(line.margin[rows] < _UNSURE, _MORE, 1), strict=True)
        ]
        return cls(sd, hd, seen, hd_seen, line, why, rows, partners, others, first, instead)

    def __len__(self) -> int:
        return len(self.rows)

    def number(self, candidate: int) -> int:
        """The number of its SD frame."""
        return int(self.seen.numbers[self.rows[candidate]])

    def partner(self, candidate: int) -> int:
        """The number of its HD frame."""
        return int(self.hd_seen.numbers[self.partners[candidate]])

    def shot(self, candidate: int) -> int:
        """The number of its shot."""
        return int(self.line.shot[self.rows[candidate]])

    def hold(self, candidate: int) -> int:
        """The number of the HD drawing that its partner holds."""
        return int(self.line.hd_drawing[self.partners[candidate]])

    def margin(self, candidate: int) -> float:
        """By how much its partner is the likeliest, in nats."""
        return float(self.line.margin[self.rows[candidate]])

    def in_doubt(self, candidate: int) -> bool:
        """Whether other HD drawings are nearly as likely."""
        return self.margin(candidate) < _UNSURE

    def wanted(self, candidate: int) -> Wanted:
        """The number of its SD frame, and those of all HD frames that it is to be held against."""
        rows = {int(self.partners[candidate]), *self.others[candidate]}
        return self.number(candidate), tuple(sorted(int(self.hd_seen.numbers[row]) for row in rows))

    def features(self, candidates: list[int]) -> Floats:
        """What says how much candidates differ, (n, d) float32: detail and brightness in 6 x 8 parts of them."""
        levels = self._levels(candidates, (1, 1))
        down, along = (
            np.abs(np.diff(levels, axis=1, append=levels[:, -1:])),
            np.abs(np.diff(levels, axis=2, append=levels[:, :, -1:])),
        )
        parts = [_LEVELS * _pooled(levels, _COARSE), _pooled(down + along, _COARSE)]
        return np.concatenate([part.reshape(len(levels), -1) for part in parts], axis=1)

    def groups(self, candidates: list[int]) -> dict[int, int]:
        """The group of each shot that candidates are of: shots with one drawing, or nearly so, are of one group."""
        by_shot: dict[int, list[int]] = {}
        for candidate in candidates:
            by_shot.setdefault(self.shot(candidate), []).append(candidate)
        few = [k for each in by_shot.values() for k in evenly(each, _LOOKED_AT)]
        levels = self._levels(few, _POOLED)
        gradients = [np.diff(levels, axis=1)[:, :, :-1], np.diff(levels, axis=2)[:, :-1]]
        edges = np.stack(gradients, -1).reshape(len(few), -1)
        shots = [self.shot(k) for k in few]
        found = selection.groups(shots, edges, [int(self.partners[k]) for k in few])
        return dict(zip(shots, found.tolist(), strict=True))

    def _levels(self, candidates, pool):
        """The signatures of candidates, (n, rows, columns), 1 is white, with so many cells made one."""
        levels = self.seen.levels[self.rows[candidates]].astype(np.float32) / np.float32(65535)
        return _pooled(levels, pool)


def _pooled(levels, pool):
    count, rows, columns = levels.shape
    return levels.reshape(count, rows // pool[0], pool[0], columns // pool[1], pool[1]).mean((2, 4))


def _chains(line, hold, usable, chosen, contrast):
    """Lists of SD frames, of which each is tried where those before it failed. The first frames are candidates.

    Of frames that have one HD drawing, in `hold`, the candidate is one of those most alike to it: another one may be of
    a drawing that HD lacks. Of those, one that is of no fade, and then the one with the largest margin. Where margins
    are small, others are candidates as well. After it come frames of its own drawing, and of others that have its
    partner, of the same shot.
    """
    chains = []
    frames_of = _by(hold[usable], usable)
    for number, drawn in _by(hold[chosen], chosen).items():
        worse = line.likeness[drawn] < line.likeness[drawn].max() - _AS_ALIKE
        faded = contrast[drawn] < _FULL * contrast[drawn].max()
        order = np.lexsort((drawn, -line.margin[drawn], faded, worse))
        best, *others = drawn[order].tolist()
        doubtful = line.margin[drawn] < _UNSURE
        alike = drawn[doubtful & ~worse & ~faded & (drawn != best)]
        rivals = alike[np.argsort(-line.likeness[alike], kind="stable")][:_RIVALS].tolist()
        frames = frames_of[number]
        own = [row for row in frames.tolist() if line.drawing[row] == line.drawing[best] and row != best]
        spare = [row for row in others if row not in rivals and line.shot[row] == line.shot[best]]
        own = [row for row in own if line.shot[row] == line.shot[best]]
        chains.append([best, *[*evenly(own, _INSTEAD), *spare][:_INSTEAD]])
        chains += [[row] for row in rivals]
    return chains


def _by(keys, values):
    """A dictionary: the values of each key, in order."""
    order = np.argsort(keys, kind="stable")
    numbers, first = np.unique(keys[order], return_index=True)
    return dict(zip(numbers.tolist(), np.split(values[order], first[1:]), strict=True))


def evenly(items: list[int], count: int) -> list[int]:
    """So many of some items, spread evenly, and not at the ends."""
    if len(items) <= count:
        return list(items)
    return [items[int((k + 0.5) * len(items) / count)] for k in range(count)]
