"""What is trimmed of pairs: as it is given, or what is found to be no picture of the frames of each source."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from fractions import Fraction
from math import ceil
from pathlib import Path

from fastup._scales import Scale
from fastup._threads import in_order
from fastup._types import Progress, Size
from fastup.footage.stills import Folder
from fastup.pairs.borders import find
from fastup.trim import AUTO, UNTRIMMED, AnyTrim, Trim, parse

SLACK = 4  # input pixels: more than what is found are trimmed, where that makes a scale of smaller numbers
SIMPLE = 20  # a scale of such numerators at the most has small tiles

Sides = tuple[Trim, Trim]  # of input and target


class Trims:
    """What is trimmed of pairs.

    Parameters
    ----------
    trim
        Of targets; "auto" looks for it in the frames of each source, which are those of one size in one folder.
    input_trim
        Of inputs. Without it `trim`, where that is "auto", or the most of the pairs that come first have inputs and
        targets of one size; else none.
    on_progress
        Called with how many sources were looked at, of how many.
    towards
        The scale that what is found is fitted to where it can be; if absent, that of the first pairs.
    """

    def __init__(
        self, trim: AnyTrim, input_trim: AnyTrim | None = None, on_progress: Progress | None = None,
        towards: Scale | None = None,
    ) -> None:  # fmt: skip
        self.trim = parse(trim)
        self.input_trim = parse(input_trim, "input-trim") if input_trim is not None else AUTO if trim == AUTO else None
        self.on_progress = on_progress or (lambda *_: None)
        self.towards = towards

    def of(self, paths: Sequence[tuple[Path, Path]], sizes: Sequence[tuple[Size, Size]]) -> list[Sides]:
        """What is trimmed of pairs of these paths and sizes, of input and target; called for each folder of pairs.

        Where it is looked for, at most `SLACK` pixels more are trimmed, half of them on either side, so that the scale
        is one of small numbers, and that of as many pairs as can be. FastupError, OSError if a frame cannot be read.
        """
        if self.input_trim is None and sizes:
            ((ours, theirs), _), *_ = Counter(sizes).most_common()
            self.input_trim = self.trim if ours == theirs else UNTRIMMED
        given = self.input_trim, self.trim
        if AUTO not in given or not sizes:
            return [given] * len(paths)  # type: ignore[list-item]  # neither is "auto"
        found = [
            _found([pair[side] for pair in paths], [size[side] for size in sizes], self.on_progress)
            if value == AUTO
            else [value] * len(paths)
            for side, value in enumerate(given)
        ]
        trims = list(zip(*found, strict=True))
        found, self.towards = _fitted(sizes, trims, [value == AUTO for value in given], self.towards)
        return found

    def of_targets(self, paths: Sequence[Path], sizes: Sequence[Size]) -> list[Trim]:
        """What is trimmed of targets of which inputs are made, which are whole; as `of`."""
        if self.input_trim is None:
            self.input_trim = UNTRIMMED
        return _found(paths, sizes, self.on_progress) if isinstance(self.trim, str) else [self.trim] * len(paths)


def _found(paths, sizes, on_progress):
    """What is no picture of each frame, by the frames of its source."""
    sources = defaultdict(list)
    for path, size in zip(paths, sizes, strict=True):
        sources[path.parent, size].append(path)

    found = {}
    looked_at = in_order(lambda source: find(Folder(source[0], paths=sources[source])).trim, sources, threads=2)
    for source, trim in zip(sources, looked_at, strict=True):
        found[source] = trim
        on_progress(len(found), len(sources), "looking for borders")
    return [found[path.parent, size] for path, size in zip(paths, sizes, strict=True)]


def _fitted(sizes, trims, free, wanted):
    """Trims with a little more at each side, those of a side that is free, so that as many as can have one scale.

    And that scale: the wanted one, if any of them can have it.
    """
    scales = []
    counts = Counter(zip(sizes, trims, strict=True))
    fitted = {each: [list(trim) for trim in each[1]] for each in counts}
    for axis in (0, 1):
        ways, votes, less = {}, Counter(), Counter()
        for each, count in counts.items():
            size, trim = each
            lengths = [trim[side].picture(size[side])[axis] for side in (0, 1)]
            ways[each] = _ways(*lengths, *free)
            for scale, pixels in ways[each].items():
                votes[scale] += count
                less[scale] += count * sum(pixels)

        def worth(scale, votes=votes, less=less):
            simple = scale.numerator <= SIMPLE
            return -votes[scale], not simple, less[scale] if simple else 0, scale.numerator, scale.denominator

        common = wanted[axis] if wanted is not None and wanted[axis] in votes else min(votes, key=worth)
        scales.append(common)
        for each, found in ways.items():
            for side, more in enumerate(found[common if common in found else min(found, key=worth)]):
                first = 2 - 2 * axis  # of a trim: left, right, top, bottom
                fitted[each][side][first] += more // 2
                fitted[each][side][first + 1] += more - more // 2
    made = {each: tuple(Trim(*trim) for trim in sides) for each, sides in fitted.items()}
    return [made[each] for each in zip(sizes, trims, strict=True)], wanted or tuple(scales)


def _ways(length, target, is_free, target_is_free):
    """The scales that a few pixels less give: for each how many, of input and target; the fewest."""
    found = {}
    slack = min(SLACK, length - 1) * is_free
    target_slack = min(ceil(SLACK * target / length), target - 1) * target_is_free
    for less in range(slack + 1):
        for target_less in range(target_slack + 1):
            scale = Fraction(target - target_less, length - less)
            found.setdefault(scale, (less, target_less))
    return found
