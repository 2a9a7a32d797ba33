"""A page as one HTML file: `page.html` is its template, `page.css` and the scripts lie beside it.

What a page shows is data: a list of sections, each a dictionary, which stands in the page as JSON for others to read.
The template writes what is text; the scripts draw the rest. Nothing is asked of a network: the page's own policy
forbids it, and names its one style and its one script by their digests, so that no text of a frame, a file or a setting
could ever run.
"""

import json
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from fastup._types import StrPath
from fastup._whole import whole
from fastup.errors import OptionError
from fastup.report.pictures import as_url

LIMIT = 20_000_000  # bytes of a page, at the most
SCRIPTS = "dom.js", "plot.js", "viewer.js", "page.js"

Section = dict[str, Any]


@dataclass
class Page:
    """What is in a page.

    Attributes
    ----------
    command : str
        Which of fastup's made it.
    title : str
        What it is about.
    lead : list of str
        Paragraphs of plain words.
    headline : list of (value, words)
        A few figures that stand out.
    sections : list
        In order; see the functions of this module.
    pictures : list
        Sets of pictures, WebP or PNG, by name: those of a frame, or of a crop. Sections have their numbers.
    version : str
        Of fastup.
    """

    command: str
    title: str
    lead: list[str] = field(default_factory=list)
    headline: list[tuple[str, str]] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)
    pictures: list[Mapping[str, bytes]] = field(default_factory=list)
    version: str = ""

    def keep(self, pictures: Mapping[str, bytes]) -> int:
        """Put a set of pictures into the page; gives its number."""
        self.pictures.append(pictures)
        return len(self.pictures) - 1


def check(path: Path) -> Path:
    """The file for a page; OptionError if its name does not say so."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise OptionError(f"html is {path}, expected a name that ends in .html")
    return path


def text(title: str, *paragraphs: str) -> Section:
    return {"kind": "text", "title": title, "paragraphs": list(paragraphs)}


def facts(
    title: str, rows: Iterable[Sequence[str]], words: str = "", heads: Sequence[str] = (),
    more: Iterable[Sequence[str]] = (),
) -> Section:  # fmt: skip
    """Names and values, and where each came from, if there is a third column; `more` are out of sight at first."""
    return {
        "kind": "facts", "title": title, "words": words, "heads": list(heads), "rows": [list(row) for row in rows],
        "more": [list(row) for row in more],
    }  # fmt: skip


def lines(title: str, plots: Sequence[Mapping[str, Any]], words: str = "") -> Section:
    """Plots of curves, `plot` each."""
    return {"kind": "lines", "title": title, "words": words, "plots": list(plots)}


def plot(
    title: str, x: str, y: str, curves: Mapping[str, Sequence[Sequence[float]]], digits: int = 2, log: bool = False,
    dots: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Curves of points (x, y), by name; the names of the axes; digits beside the vertical one."""
    named = [{"name": name, "points": [list(point) for point in points]} for name, points in curves.items()]
    return {"title": title, "x": x, "y": y, "curves": named, "digits": digits, "log": log, "dots": dots}


def series(
    title: str, names: Sequence[str], figures: Sequence[Mapping[str, Any]], words: str = "",
    shots: Sequence[Sequence[int]] = (), apart: Sequence[bool] = (), each: str = "frame", link: bool = False,
) -> Section:  # fmt: skip
    """Figures of many frames: a plot along them, a histogram, and a table that sorts.

    Parameters
    ----------
    names
        Of the frames, in order; or of what `each` says that a row is.
    figures
        Each a mapping: "label", "unit", "digits", and "columns", each with a "label" and "values", one a frame, which
        may be None; "signed" where they have a sign, "plot" where they are drawn, "mean" if there is one; "text" where
        values are words. "plotted" is what is drawn of gains, of which less than none is worse.
    shots
        (first, stop) of each, where they are known.
    apart
        Which frames count in no mean.
    link
        Whether a viewer has the frames.
    """
    return {
        "kind": "series", "title": title, "words": words, "names": list(names), "figures": list(figures),
        "shots": [list(shot) for shot in shots], "apart": list(apart), "each": each, "link": link,
    }  # fmt: skip


def viewer(
    title: str, versions: Mapping[str, str], frames: Sequence[Mapping[str, Any]], aspect: float, words: str = "",
    sides: Sequence[str] = (), worst: Sequence[Mapping[str, Any]] = (), places: str = "Where it gains",
) -> Section:  # fmt: skip
    """Frames in several versions, two of them side by side under a divider.

    Parameters
    ----------
    versions
        What each is called, by its key among the pictures.
    frames
        Each a mapping: "row", its place in the series; "name"; "pictures", the number of its set, or None; "words",
        what is to be said of it; "places", each a "label" and a "window" (left, top, width, height), shares of the
        picture.
    aspect
        Width over height of the picture as it is seen.
    sides
        The keys of the two that are seen first, left and right.
    worst
        Lists to begin with: a "title", and "frames", places in `frames` with "words".
    places
        What the button says that leads to the places.
    """
    return {
        "kind": "viewer", "title": title, "words": words, "frames": list(frames), "aspect": aspect,
        "versions": [{"key": key, "label": label} for key, label in versions.items()], "sides": list(sides),
        "worst": list(worst), "places": places,
    }  # fmt: skip


def gallery(title: str, groups: Sequence[Mapping[str, Any]], words: str = "") -> Section:
    """Small pictures.

    `groups` have a "title", and "items": each the number of a set of "pictures", "labels" for its keys, a "caption",
    "words" below it, "row" and "window" where a viewer shows more; "pixels" where they are to be seen as they are.
    """
    return {"kind": "gallery", "title": title, "words": words, "groups": list(groups)}


def write(path: StrPath, page: Page) -> int:
    """Write a page, whole or not at all; gives its size in bytes. Its folder is made."""
    data = render(page).encode("utf-8", "replace")  # a name may hold what is no character
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as part:
        part.write_bytes(data)
    return len(data)


def render(page: Page) -> str:
    """A page as HTML."""
    style, script = _parts()
    data = {"fastup": page.version, "command": page.command, "title": page.title, "lead": page.lead,
            "headline": page.headline, "sections": page.sections}  # fmt: skip
    pictures = [as_json({name: as_url(picture) for name, picture in each.items()}) for each in page.pictures]
    return _template().render(
        page=page, style=Markup(style), script=Markup(script), policy=_policy(style, script), data=as_json(data),
        pictures=pictures,
    )  # fmt: skip


def as_json(value: Any) -> Markup:
    """JSON that is safe between the tags of a script: no character of it means anything to HTML."""
    return Markup(
        json.dumps(value, separators=(",", ":"), allow_nan=False)
        .replace("<", "\\u003c")
        .replace(">", "\\u003e")
        .replace("&", "\\u0026")
    )


@cache
def _template():
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page.html")


@cache
def _parts():
    """The style and the script."""
    folder = Path(__file__).parent
    scripts = "".join((folder / name).read_text("utf-8") for name in SCRIPTS)
    return (folder / "page.css").read_text("utf-8"), f'"use strict";\n(() => {{\n{scripts}}})();\n'


def _policy(style, script):
    style, script = (b64encode(sha256(part.encode()).digest()).decode() for part in (style, script))
    return f"default-src 'none'; img-src data:; style-src 'sha256-{style}'; script-src 'sha256-{script}'"
