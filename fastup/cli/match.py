"""Two masters of a film to pairs: match."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer import Argument, Option

from fastup.cli import show
from fastup.cli.options import Html, Json, carries_on
from fastup.errors import OptionError


@carries_on
def match(
    sd: Annotated[Path, Argument(metavar="SD", help="The film on tape: a video, or a folder of frames.")],
    hd: Annotated[Path, Argument(metavar="HD", help="The film on an HD master: the same.")],
    data: Annotated[Path, Argument(metavar="DATA", help="Gets train/, validation/ and evaluation/, and match.json.")],
    to: Annotated[Literal["sd", "hd"], Option(help="Whose colours the pairs have: those of SD, or of HD.")] = "sd",
    most: Annotated[
        int | None, Option(metavar="N", help="So many pairs, of those that differ most.  [default: all drawings]")
    ] = None,
    review: Annotated[int, Option(metavar="N", help="Draw a checkerboard of each of the N pairs that fit worst.")] = 0,
    overwrite: Annotated[bool, Option("--overwrite", help="Remove what an earlier match left in DATA first.")] = False,
    html: Html = None,
    as_json: Json = False,
) -> None:
    """Make pairs of two masters of one film: what is the same drawing, put in the same place, in the same colours.

    DATA/match.json says what became of every SD frame, and DATA/match/path.png shows it. Exit code 1 if there is no
    pair.
    """
    if review < 0:
        raise OptionError(f"review is {review}, expected 0 or more")
    from fastup.pairs.match import match
    from fastup.pairs.match_pictures import path, worst
    from fastup.pairs.match_pictures import review as draw
    from fastup.pairs.matched import FOLDER, PATH, REVIEW, read_found, remove_review

    with show.progress("looking for borders") as advance:
        found = match(sd, hd, data, to=to, most=most, overwrite=overwrite, on_progress=advance)
        rows = read_found(data)["frames"]
        advance(0, None, "drawing the path")
        path(data / FOLDER / PATH, rows, found["shots"], f"{sd.name} and {hd.name}: {_pairs(found)}")
        if review:
            remove_review(data)
        drawn = draw(data, data / FOLDER / REVIEW, worst(rows, review), found["scale"], advance)
    table = _rows(found, data, len(drawn))
    if html is not None:
        from fastup.report.pairs import write_match

        write_match(html, data, found, rows, table.items())
    if as_json:
        show.data(found)
    else:
        show.table(table, str(data))
        for text in found["notes"]:
            show.note(text)
    if not found["summary"]["pairs"]:
        raise typer.Exit(1)


def _pairs(found: dict[str, Any]) -> str:
    count = found["summary"]["pairs"]
    return f"{count:,} pair{'s' * (count != 1)} of {found['summary']['frames']:,} frames"


def _rows(found: dict[str, Any], data: Path, drawn: int) -> dict[str, str]:
    """What was found, in words."""
    from fastup.pairs.matched import FOLDER, PATH, REVIEW

    about = found["summary"]
    left, top, width, height = (found["window"][k] for k in (1, 0, 3, 2))
    down, along = found["scale"]
    rows = {"frames": f"{about['frames']:,} of SD, {about['hd_frames']:,} of HD, {about['shots']:,} shots in both"}
    rows["pairs"] = f"{about['pairs']:,}"
    rows["left out"] = show.few([f"{count:,} {why}" for why, count in about["left_out"].items()], 12) or "none"
    for name, what in (("sd", "SD"), ("hd", "HD")):
        if any(found[name]["trim"]):
            rows[f"borders of {what}"] = ", ".join(map(str, found[name]["trim"])) + " (left, right, top, bottom)"
    if about["pairs"]:
        shift, scale, turn = (about[key] for key in ("shift", "scale", "rotation"))
        rows["place"] = (
            f"HD lies {_pair(shift['median'], '+z.2f')} SD pixels down, right (+- {_pair(shift['spread'], '.2f')}); "
            f"turned by {turn['median']:+z.2f} degrees (+- {turn['spread']:.2f})"
        )
        rows["HD per SD"] = f"{_pair(scale['median'], '.4f')} pixels down, right (+- {_pair(scale['spread'], '.4f')})"
    rows["scale"] = f"{down} x {along} (vertical, horizontal), exact"
    rows["window"] = f"{width}x{height} of SD, from {left},{top} of its picture, to {_target(found)}"
    if about["pairs"]:
        likeness, off = about["likeness"], about["residual"]
        rows["colour"] = f"{'HD to SD' if found['to'] == 'sd' else 'SD to HD'}, of the film: {about['colour']}"
        rows["pairs fit"] = (
            f"colours to {off['median']:.2%} of white, gradients to {likeness['median']:.3f} (1 is the same)"
        )
    for name, counts in about["sets"].items():
        shots = f"{counts['shots']:,} shot{'s' * (counts['shots'] != 1)}"
        rows[name] = f"{counts['pairs']:,} pairs of {shots}" if counts["pairs"] else "none"
    rows["pictures"] = str(data / FOLDER / PATH) + (f", {drawn} in {data / FOLDER / REVIEW}" if drawn else "")
    return rows


def _target(found):
    from fractions import Fraction

    height, width = (int(n * Fraction(one)) for n, one in zip(found["window"][2:], found["scale"], strict=True))
    return f"{width}x{height}"


def _pair(values, digits):
    return ", ".join(f"{value:{digits}}" for value in values)
