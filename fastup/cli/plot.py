"""Curves in a terminal, by dots of braille: two by four in a character."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

# The bit of each dot of a character, by row and column: U+2800 and what is set of them.
_BITS = (0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80)


@dataclass(frozen=True)
class Curve:
    """Points (x, y) in order of x, joined by lines; their style, and what they are, for the heading."""

    words: str
    style: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Plot:
    """Curves over one axis from 0 on, as wide as there is room; later ones lie over earlier ones. Rich draws it.

    Attributes
    ----------
    title, unit : str
        What the vertical axis is, and the horizontal one.
    curves : sequence of Curve
    until : float
        Where the horizontal axis ends, above 0.
    rows : int
        Characters that the curves are high; a heading and two lines of the horizontal axis are more.
    number : str
        The format of what stands beside the vertical axis.
    log : bool
        Whether that is logarithmic; what is not above 0 is left out.
    least : float
        What is lower lies on the lower edge.
    """

    title: str
    unit: str
    curves: Sequence[Curve]
    until: float
    rows: int
    number: str
    log: bool = False
    least: float = -math.inf

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        heading = Text(self.title)
        for curve in self.curves:
            heading.append("   ").append(f"━ {curve.words}", curve.style)
        for line in (heading, *self._lines(options.max_width)):
            line.truncate(options.max_width)
            yield line

    def _lines(self, width: int) -> Iterator[Text]:
        points = [[(x, self._height(y)) for x, y in curve.points if y > 0 or not self.log] for curve in self.curves]
        heights = [height for each in points for _, height in each]
        if not heights:
            return
        low, high = min(heights), max(heights)
        if high - low < 1e-9:
            low, high = low - 0.5, high + 0.5
        labels = {row: self._label(high - (high - low) * row / (self.rows - 1))
                  for row in (0, self.rows // 2, self.rows - 1)}  # fmt: skip
        margin = max(map(len, labels.values()))
        columns = max(width - margin - 1, 1)
        canvas = Canvas(self.rows, columns)
        across, down = (2 * columns - 1) / self.until, (4 * self.rows - 1) / (high - low)
        for curve, each in zip(self.curves, points, strict=True):
            canvas.draw([(round(x * across), round((high - y) * down)) for x, y in each], curve.style)
        for row in range(self.rows):
            edge = f"{labels.get(row, ''):>{margin}}{'┤' if row in labels else '│'}"
            yield Text().append(edge, "dim").append_text(canvas.line(row))
        yield Text(f"{'':{margin}}└{'─' * columns}", "dim")
        yield Text(f"{'':{margin}} 0{f'{self.until:,.0f} {self.unit}':>{max(columns - 1, 0)}}", "dim")

    def _height(self, y):
        y = max(y, self.least)
        return math.log10(y) if self.log else y

    def _label(self, height):
        return format(10**height if self.log else height, self.number)


class Canvas:
    """Characters of dots, each of one style: that of the last line through it."""

    def __init__(self, rows: int, columns: int) -> None:
        self.bits = [[0] * columns for _ in range(rows)]
        self.styles = [[""] * columns for _ in range(rows)]

    def draw(self, dots: Sequence[tuple[int, int]], style: str) -> None:
        """Join dots, (across, down) from the upper left one, by lines."""
        for (x0, y0), (x1, y1) in zip([*dots[:1], *dots[:-1]], dots, strict=True):
            steps = max(abs(x1 - x0), abs(y1 - y0), 1)
            for step in range(steps + 1):
                x, y = round(x0 + (x1 - x0) * step / steps), round(y0 + (y1 - y0) * step / steps)
                self.bits[y // 4][x // 2] |= _BITS[y % 4][x % 2]
                self.styles[y // 4][x // 2] = style

    def line(self, row: int) -> Text:
        text = Text()
        for style, each in groupby(zip(self.styles[row], self.bits[row], strict=True), key=itemgetter(0)):
            text.append("".join(chr(0x2800 + bits) if bits else " " for _, bits in each), style)
        return text
