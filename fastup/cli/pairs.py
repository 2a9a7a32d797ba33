"""Look at pairs of frames: pairs, rank."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.markup import escape
from typer import Argument, Option

from fastup.cli import show
from fastup.cli.options import (
    Html,
    InputTrimOption,
    Json,
    TileOption,
    TrainingOption,
    TrimOption,
    ValidationOption,
    carries_on,
    given,
)  # fmt: skip
from fastup.errors import DataError, OptionError
from fastup.frames import refuse_other
from fastup.train.config import Config


def pairs(
    data: Annotated[
        Path, Argument(metavar="DATA", help="Holds train/, and validation/ and evaluation/ if there are any.")
    ],
    training: TrainingOption = None,
    validation: ValidationOption = None,
    trim: TrimOption = None,
    input_trim: InputTrimOption = None,
    clear_cache: Annotated[
        bool, Option("--clear-cache", help="Remove what fastup made in DATA/cache, and can make again, and end.")
    ] = False,
    html: Html = None,
    as_json: Json = False,
) -> None:
    """Check that frames pair up and that pairs fit. Exit code 1 if any is off.

    A pair is off where the input lies more than a quarter of an input pixel off its target, or a channel's gain is more
    than 1 % off, or its offset more than 0.01 of white.
    """
    if clear_cache:
        if not data.is_dir():
            raise DataError(f"{data}: no such folder, expected the one that holds train/")
        _clear_cache(data / "cache")
        return
    config = Config(**given(training=training, validation=validation, trim=trim, input_trim=input_trim))
    refuse_other(data)
    from fastup.frames import is_dpx
    from fastup.pairs.alignment import alike, fits, median
    from fastup.pairs.clips import clips
    from fastup.pairs.folder import find_sets, seen, seen_note

    folders = [Path(training or data / "train"), Path(validation or data / "validation"), data / "evaluation"]
    needed = [Path(folder) for folder in (training or data / "train", validation) if folder]
    chosen = [folder for folder in folders if folder.exists() or folder in needed]
    with show.progress("looking for borders", "folders") as advance:
        sets = find_sets(chosen, config.trim, config.input_trim, advance, _scale_without_inputs(folders[0]))
    with show.progress("fitting pairs", "pairs") as advance:
        found_in = [(each, fits(each, advance)) for each in sets]
    with show.progress("finding shots", "frames") as advance:
        cache = data / "cache" if os.access(data, os.W_OK) else None
        shots_of = {each.folder: clips(each, cache, advance) for each in sets}
    off = sum(bool(fit.off) for _, found in found_in for fit in found)
    if html is not None:
        from fastup.report.pairs import write_fits

        write_fits(html, data, found_in)
    train, *others = sets
    copies = {each.folder: seen(train, each, data / "cache") for each in others}
    if as_json:
        rows = []
        for each, found in found_in:
            if each.made:
                rows.append(
                    {"set": each.folder.name, "pairs": 0, "targets": len(each), "shots": _shots(shots_of[each.folder])}
                )
                continue
            rows.append(
                {
                    "set": each.folder.name,
                    "pairs": len(each),
                    **_sizes(each.geometry),
                    "scale": [str(scale) for scale in each.geometry.scale],
                    "kinds": [
                        {
                            "pairs": n,
                            **_sizes(kind.geometry),
                            "input_white": kind.input_white,
                            "target_white": kind.target_white,
                            "input_trim": kind.input_trim,
                            "trim": kind.trim,
                        }
                        for n, kind in zip(each.counts(), each.kinds, strict=True)
                    ],
                    "shots": _shots(shots_of[each.folder]),
                    "to_transcode": sum(not is_dpx(path) for path in each.inputs + each.targets),
                    "median": asdict(median(found)),
                    "in_train": [[str(path) for path in pair] for pair in copies.get(each.folder, ())],
                    "off_alike": alike(found),
                    "fits": [asdict(fit) | {"judged": fit.judged, "off": fit.off} for fit in found],
                }
            )
        show.data(rows)
    else:
        for each, found in found_in:
            if each.made:
                alone = f"{len(each)}, without Alpha: `fastup train --degrade` makes inputs of them"
                show.table({"targets": alone, "shots": _in_words(shots_of[each.folder])}, str(each.folder))
            else:
                _print_fits(each, found, shots_of[each.folder])
        for each in others:
            if note := seen_note(train, each, copies[each.folder]):
                show.note(note)
    if off:
        raise typer.Exit(1)


def _scale_without_inputs(training):
    """What lets `find_sets` find targets alone: of inputs that nobody makes here, any scale will do."""
    from fastup._scales import fractions

    return None if os.path.lexists(training / "Alpha") else fractions((1, 1))


def _sizes(geometry):
    return {"input": geometry.input_picture[::-1], "target": geometry.target_picture[::-1]}


def _shots(clips):
    return [
        {"first": start, "pairs": stop - start, "by": why}
        for (start, stop), why in zip(clips.shots, clips.why, strict=True)
    ]


def _in_words(clips):
    """How many shots there are, how long they are, and what says so."""
    lengths = sorted(clips.lengths)
    by = ", ".join(f"{count:,} by {why}" for why, count in clips.counts.items() if why != "first")
    span = f"{lengths[0]:,} to {lengths[-1]:,}" if lengths[0] < lengths[-1] else f"{lengths[0]:,}"
    span += f" frame{'s' * (lengths[-1] > 1)}"
    span += f", the median {lengths[len(lengths) // 2]:,}" * (lengths[0] < lengths[-1])
    return f"{len(lengths):,}, of {span}" + (f"; told {by}" if by else "")


def _print_fits(pairs, found, clips):
    from collections import Counter

    from fastup.frames import is_dpx
    from fastup.pairs.alignment import alike, median

    other = Counter(path.suffix.lower() for path in pairs.inputs + pairs.targets if not is_dpx(path))
    off = sorted((fit for fit in found if fit.off), key=lambda fit: -fit.badness)
    silent = [fit.frame for fit in found if not fit.judged]
    middle = median(found)
    rows = {
        "pairs": f"{len(found)}, {len(off)} off",
        "pictures": show.pictures(pairs),
        "shots": _in_words(clips),
        "to transcode": ", ".join(f"{count} {suffix}" for suffix, count in other.items()) or "nothing: all are DPX",
        "median": "no pair says anything"
        if middle.shift is None
        else f"shift {_signed(middle.shift, 2)} input pixels (down, right); gain {_unsigned(middle.gain, 3)}; "
        f"offset {_signed(middle.offset, 3)} (R, G, B)",
    }
    if silent:
        names = ", ".join(silent[:5]) + (", ..." if len(silent) > 5 else "")
        rows["not judged"] = f"{len(silent)}, too flat to tell: {names}"
    show.table(rows, str(pairs.folder))
    if len(pairs.kinds) > 1:
        _print_kinds(pairs, found)
    if off:
        table = show.figures("frame", "down, right", "gain R, G, B", "offset R, G, B", "likeness")
        table.add_column("off")
        for fit in off[: show.MOST_LISTED]:
            table.add_row(
                escape(fit.frame), _signed(fit.shift, 2), _unsigned(fit.gain, 3), _signed(fit.offset, 3),
                f"{fit.likeness:.2f}", ", ".join(fit.off),
            )  # fmt: skip
        show.out.print(table)
        if len(off) > show.MOST_LISTED:
            show.say(f"and {len(off) - show.MOST_LISTED} more, less far off")
    common = alike(found)
    if common:
        why = ["a missing or wrong trim"] if "shift" in common else []
        why += ["a difference of transfer"] if set(common) - {"shift"} else []
        text = f"most pairs are off alike ({', '.join(common)}): {' and '.join(why)}, rather than bad pairs"
        show.say(text, "yellow")


def _print_kinds(pairs, found):
    """What kinds of pairs there are, the most common first, and how those of each fit."""
    from fastup.pairs.alignment import median

    table = show.figures(
        "pictures", "whites", "trimmed (left, right, top, bottom)", "pairs", "off", "median down, right"
    )
    for place, kind in list(enumerate(pairs.kinds))[: show.MOST_LISTED]:
        fits = [fit for fit, each in zip(found, pairs.kind_of, strict=True) if each == place]
        (h, w), (height, width) = kind.geometry.input_picture, kind.geometry.target_picture
        whites = (str(white or "floats") for white in (kind.input_white, kind.target_white))
        trims = map(show.shown, (kind.input_trim, kind.trim))
        table.add_row(
            f"{w}x{h} to {width}x{height}", " to ".join(whites), "; ".join(trims),
            str(len(fits)), str(sum(bool(fit.off) for fit in fits)), _signed(median(fits).shift, 2),
        )  # fmt: skip
    show.out.print(table)
    if len(pairs.kinds) > show.MOST_LISTED:
        show.say(f"and {len(pairs.kinds) - show.MOST_LISTED} more kinds of pairs, of fewer each")


def _signed(values, digits):
    return ", ".join("-" if v is None else f"{round(v, digits) + 0:+.{digits}f}" for v in values or (None,))  # no -0


def _unsigned(values, digits):
    return ", ".join("-" if v is None else f"{v:.{digits}f}" for v in values)


def _clear_cache(cache):
    from fastup.pairs.cache import clear_cache

    if not os.path.lexists(cache):
        show.say(f"{cache}: nothing there")
        return
    target = os.readlink(cache) if cache.is_symlink() else None
    size, left = clear_cache(cache)
    if target is not None:
        show.say(f"{cache} was a link and is removed; what it pointed to stays: {target}")
    elif left:
        names = ", ".join(str(path.relative_to(cache)) for path in left[:5]) + (", ..." if len(left) > 5 else "")
        files, stay = ("file", "stays") if len(left) == 1 else ("files", "stay")
        show.say(f"{cache}: {size:,} bytes are removed; {len(left)} {files} that fastup did not make {stay}: {names}")
    else:
        show.say(f"{cache} is removed: {size:,} bytes")


@carries_on
def rank(
    data: Annotated[
        Path, Argument(metavar="DATA", help="Holds train/, with Beta/, and Alpha/ (input) if there is any.")
    ],
    quality: Annotated[float, Option(help="Share of each frame's tiles to keep, the most detailed.")] = 0.5,
    tile: TileOption = None,
    training: TrainingOption = None,
    trim: TrimOption = None,
    input_trim: InputTrimOption = None,
    jitter: Annotated[bool, Option(help="Also rank tiles that are half a tile off.")] = Config.jitter,
    output: Annotated[
        Path | None, Option(metavar="PNG", help="Where the picture goes.  [default: DATA/cache/rank.png]")
    ] = None,
    html: Html = None,
) -> None:
    """Show which tiles a --quality keeps: a histogram and a contact sheet of the kept and the dropped, as one PNG.

    Detail is the sum of absolute differences to the right and the lower neighbour, so that lines count in every
    direction.
    """
    chosen = given(tile=tile, training=training, trim=trim, input_trim=input_trim)
    config = Config(quality=quality, jitter=jitter, **chosen)
    output = output or data / "cache" / "rank.png"
    if output.suffix.lower() != ".png":
        raise OptionError(f"output is {output}, expected a name that ends in .png")
    refuse_other(data)
    from fastup.pairs.folder import find_pairs
    from fastup.pairs.geometry import along_text
    from fastup.pairs.ranking import picture, ranking
    from fastup.pairs.transcode import transcode

    with show.progress("looking for borders", "folders") as advance:
        folder = Path(training or data / "train")
        found = find_pairs(folder, config.trim, config.input_trim, advance, _scale_without_inputs(folder))
    size = found.holding(config.tile).tile(config.tile)
    with show.progress("transcoding") as advance:
        found = transcode(found, data / "cache", advance)
    with show.progress("ranking tiles") as advance:
        ranked = ranking(found, size, config.jitter, config.quality, data / "cache", advance)
    picture(output, ranked)
    line, kept = ranked.thresholds, ranked.kept
    tiles = [len(order) for order in ranked.order]
    digits, unit = (".4g", "1 is white") if ranked.of_floats else (",.0f", "in codes")
    rows = {
        "frames": f"{len(found)}",
        "tiles": f"{_each(tiles)}, of {along_text(size)} target pixels, "
        f"{'with' if config.jitter else 'without'} jitter",
        "kept": f"{_each(kept)}, {sum(kept):,} in all: quality {config.quality:g}",
        "the line": f"{line.min():{digits}}"
        + (f" to {line.max():{digits}}, by frame" if line.min() < line.max() else ""),
        "picture": str(output),
    }
    show.table(rows, "ranking")
    if html is not None:
        from fastup.report.pairs import write_ranking

        write_ranking(html, data, ranked, rows.items())
    shares = {"least": 0, "5 %": 0.05, "25 %": 0.25, "median": 0.5, "75 %": 0.75, "95 %": 0.95, "most": 1}
    caption = f"detail: the sum of absolute differences to the right and the lower neighbour, {unit}"
    table = show.figures("tiles", *shares, caption=caption)
    for name, scores in zip(("kept", "dropped"), ranked.parts, strict=True):
        if scores.size:
            table.add_row(name, *(f"{score:{digits}}" for score in np.quantile(scores, list(shares.values()))))
    show.out.print(table)


def _each(counts):
    """How many each frame has, in words."""
    low, high = min(counts), max(counts)
    return f"{low:,} a frame" if low == high else f"{low:,} to {high:,} a frame"
