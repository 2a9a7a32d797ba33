"""Pages of pairs: how they fit, what a ranking keeps, and what a match found."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import fastup
from fastup import frames
from fastup._grid import TileGrid
from fastup._types import StrPath
from fastup.footage.convert import shown
from fastup.pairs.alignment import Fit, median
from fastup.pairs.folder import SIDES, Pairs
from fastup.pairs.match_pictures import worst
from fastup.pairs.ranking import Ranking
from fastup.pairs.selection import SETS
from fastup.report import page, pictures
from fastup.report.page import Page, facts, gallery, lines, plot, series
from fastup.report.seen import MOST, Seen
from fastup.trim import UNTRIMMED

TILES = 24  # tiles of a ranking, of those that are kept and of the others
BINS = 60


def write_fits(path: StrPath, data: Path, found: Sequence[tuple[Pairs, Sequence[Fit]]]) -> None:
    """A page of `fastup pairs`: what is measured of every pair, and those that are farthest off to look at."""
    count = sum(len(fits) for _, fits in found)
    off = sum(bool(fit.off) for _, fits in found for fit in fits)
    made = Page("pairs", f"Pairs of {data.name or data}", [_off_words(count, off)], version=fastup.__version__)
    made.headline = [(f"{count:,}", "pairs"), (f"{off:,}", "off")]
    first, worst_, tables = 0, [], []
    for each, fits in found:
        worst_ += [(first + number, each, number, fits[number]) for number in range(len(fits))]
        tables += [_fit_series(each, fits, first)] if fits else []
        first += len(fits)
    worst_.sort(key=lambda one: (-one[3].badness, one[0]))
    seen = Seen({"input": "input", "target": "target"})
    for row, each, number, fit in worst_[:MOST]:
        kind = each.kind(number)
        sides = zip(("input", "target"), (each.inputs, each.targets), (kind.input_trim, kind.trim), strict=True)
        versions = {name: _read(paths[number], trim.crop) for name, paths, trim in sides}
        seen.add(row, f"{each.folder.name}: {fit.frame}", ", ".join(fit.off) or "fits", versions)
    seen.put(made, "Those that fit worst")
    made.sections += tables
    rows = [["", *(each.folder.name for each, _ in found)]]
    rows += [["folder", *(str(each.folder) for each, _ in found)]]
    rows += [["pairs", *(f"{len(fits):,}" for _, fits in found)]]
    rows += [["pictures", *(each.geometry.words for each, _ in found)]]
    for name in ("shift", "gain", "offset"):
        medians = (_numbers(getattr(median(fits), name)) if fits else "-" for _, fits in found)
        rows += [[f"{name}, the median", *medians]]
    made.sections.append(facts("Sets", rows[1:], heads=rows[0]))
    page.write(path, made)


def _off_words(count, off):
    if not off:
        return f"All {count:,} pairs fit, as far as they say anything."
    return f"{off:,} of {count:,} pairs {'is' if off == 1 else 'are'} off; the worst come first."


def _numbers(values):
    return ", ".join("-" if value is None else f"{value:+.3f}" for value in values or (None,))


def _fit_series(pairs, fits, first):
    def column(label, values, **more):
        return {"label": label, "values": [None if v is None else round(float(v), 4) for v in values], **more}

    figures = []
    for name, label, unit, parts in (
        ("shift", "Shift", "input pixels", ("down", "right")), ("gain", "Gain", "", ("red", "green", "blue")),
        ("offset", "Offset", "of white", ("red", "green", "blue")),
    ):  # fmt: skip
        columns = [
            column(part, [(getattr(fit, name) or (None,) * 3)[place] for fit in fits], plot=True, signed=name != "gain")
            for place, part in enumerate(parts)
        ]
        figures.append({"label": label, "unit": unit, "digits": 3, "columns": columns})
    figures.append({"label": "Likeness", "unit": "", "digits": 3,
                    "columns": [column("likeness", [fit.likeness for fit in fits], plot=True)]})  # fmt: skip
    for figure in figures:
        words = [", ".join(fit.off) or ("" if fit.judged else "says nothing") for fit in fits]
        figure["columns"].append({"label": "off", "values": words, "text": True})
    made = series(f"{pairs.folder.name}: all pairs", [fit.frame for fit in fits], figures, each="pair", link=True)
    return made | {"first": first}


def _read(path, crop):
    return crop(frames.read(path, "float32")), frames.read_header(path)


def write_ranking(path: StrPath, data: Path, ranking: Ranking, rows: Iterable[tuple[str, str]]) -> None:
    """A page of `fastup rank`: how detailed tiles are, and some of those that are kept and of the others."""
    kept, total = sum(ranking.kept), sum(map(len, ranking.order))
    said = f"A quality of {ranking.quality:g} keeps {kept:,} of {total:,} tiles, of each frame the most detailed."
    made = Page("rank", f"Tiles of {data.name or data}", [said], version=fastup.__version__)
    made.headline = [(f"{kept:,}", "tiles kept"), (f"{total - kept:,}", "dropped")]
    parts = [part[part > 0] for part in ranking.parts]
    positive = np.concatenate(parts)
    curves = {}
    if positive.size:
        edges = np.geomspace(np.quantile(positive, 0.005), positive.max() * 1.001, BINS + 1)
        middles = np.log10(np.sqrt(edges[1:] * edges[:-1])).tolist()
        for name, part in zip(("kept", "dropped"), parts, strict=True):
            counts = np.histogram(part.clip(edges[0]), edges)[0].tolist()
            curves[name] = list(zip(middles, counts, strict=True))
    unit = "1 is white" if ranking.of_floats else "codes"
    histogram = plot("Detail", f"log10 of detail, {unit}", "number of tiles", curves, digits=0)
    words = "Detail is the sum of absolute differences to the right and the lower neighbour."
    made.sections += [
        gallery("Kept and dropped", [_tiles(made, ranking, False), _tiles(made, ranking, True)],
                "In even steps through the ranks, the most detailed first, without loss."),
        lines("All tiles", [histogram], words), facts("Figures", rows),
    ]  # fmt: skip
    page.write(path, made)


def _tiles(made, ranking, dropped):
    """Tiles of the ranks that are kept, or of those that are not, in even steps, from frames all over the set."""
    items, counts = [], list(zip(ranking.kept, map(len, ranking.order), strict=True))
    spans = [(kept, total) if dropped else (0, kept) for kept, total in counts]
    chosen = [number for number, (first, end) in enumerate(spans) if end > first]
    cells = min(TILES, sum(end - first for first, end in spans))
    for cell in range(cells):
        number = chosen[cell * len(chosen) // cells]
        kind, (first, end) = ranking.pairs.kind(number), spans[number]
        place = round(first + (end - 1 - first) * cell / max(cells - 1, 1))
        grid = TileGrid(kind.geometry.target_picture, ranking.tile, 0, ranking.jitter)
        y, x = grid.origins[ranking.tiles[ranking.pairs.kind_of[number]][ranking.order[number][place]]]
        path = ranking.pairs.targets[number]
        tile = frames.read(path, "float32", (int(y) + kind.trim.top, int(x) + kind.trim.left, *grid.tile))
        table, _ = shown(path, frames.read_header(path))
        score = float(ranking.scores[number][ranking.order[number][place]])
        caption, words = ranking.pairs.name(number), f"#{place + 1:,}, detail {score:,.0f}"
        picture = pictures.lossless(pictures.eight(tile, table))
        items.append(
            {
                "pictures": made.keep({"tile": picture}),
                "labels": {"tile": ""},
                "caption": caption,
                "words": words,
                "pixels": True,
            }
        )
    return {"title": "Dropped" if dropped else "Kept", "items": items, "width": 104}


def write_match(path: StrPath, data: Path, found: Mapping[str, Any], rows: Sequence[Mapping[str, Any]],
                table: Iterable[tuple[str, str]]) -> None:  # fmt: skip
    """A page of `fastup match`: where each frame went and why others did not, how pairs fit, and the worst of them."""
    about, paired = found["summary"], [row for row in rows if row["set"]]
    count = about["pairs"]
    said = [f"{count:,} pair{'s' * (count != 1)} of {about['frames']:,} frames of SD and {about['hd_frames']:,} of HD.",
            *(f"{note[0].upper()}{note[1:]}." for note in found["notes"])]  # fmt: skip
    made = Page("match", f"{Path(found['sd']['path']).name} and {Path(found['hd']['path']).name}", said,
                version=fastup.__version__)  # fmt: skip
    made.headline = [(f"{count:,}", "pairs"), (f"{about['shots']:,}", "shots in both")]
    made.headline += [(f"{each['pairs']:,}", name) for name, each in about["sets"].items()]
    seen = Seen({"a": "SD", "b": "HD"})
    for row in worst(rows, MOST):
        sides = {
            key: _read(data / row["set"] / side / f"{row['name']}.dpx", UNTRIMMED.crop)
            for key, side in zip("ab", SIDES, strict=True)
        }
        words = f"{row['set']}, likeness {row['likeness']:.3f}, {row['residual']:.2%} of white off"
        seen.add(row["frame"], row["name"], words, sides, short=f"{row['set']}, {row['likeness']:.3f}")
    seen.put(made, "The pairs that fit worst")
    curves = {name: [(row["frame"], row["partner"]) for row in rows if row["set"] == name] for name in SETS}
    others = [(row["frame"], row["partner"]) for row in rows if not row["set"] and row["partner"] is not None]
    curves = {f"{name}, {len(points):,}": points for name, points in {**curves, "left out": others}.items() if points}
    made.sections.append(lines("The path through both films", [
        plot("Partners", "frame of SD", "frame of HD", curves, digits=0, dots=True) | {"only": True}]))  # fmt: skip
    if paired:
        made.sections.append(_pair_series(paired, found["shots"]))
    left = Counter(row["why"] for row in rows if row["why"])
    made.sections.append(facts("Left out", [(why, f"{n:,}") for why, n in left.most_common()]))
    made.sections.append(facts("Figures", table))
    page.write(path, made)


def _pair_series(paired, shots):
    def column(label, values, **more):
        return {"label": label, "values": [round(float(v), 5) for v in values], **more}

    figures: list[dict[str, Any]] = []
    for key, label, unit, digits in (
        ("likeness", "Likeness", "", 3), ("residual", "Colours off", "of white", 4),
        ("differs", "Something else", "share of the picture", 3),
    ):  # fmt: skip
        columns = [column(label.lower(), [row[key] for row in paired], plot=True)]
        figures.append({"label": label, "unit": unit, "digits": digits, "columns": columns})
    sides = enumerate(("down", "right"))
    columns = [column(name, [row["shift"][n] for row in paired], plot=True, signed=True) for n, name in sides]
    figures.append({"label": "Shift", "unit": "SD pixels", "digits": 2, "columns": columns})
    for figure in figures:
        figure["columns"].append({"label": "set", "values": [row["set"] for row in paired], "text": True})
    bounds = []
    for shot in shots:
        inside = [place for place, row in enumerate(paired) if shot["sd"][0] <= row["frame"] <= shot["sd"][1]]
        bounds += [[inside[0], inside[-1] + 1]] if inside else []
    made = series("All pairs", [row["name"] for row in paired], figures, shots=bounds, each="pair", link=True)
    return made | {"rows": [row["frame"] for row in paired]}
