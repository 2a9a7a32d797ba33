"""The geometry between the frames of a pair: pictures, the exact scale, tiles of whole cells."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm

from fastup._grid import TileGrid
from fastup._types import Size
from fastup.errors import DataError, OptionError
from fastup.trim import UNTRIMMED, Trim

SMALLEST_DEFAULT_TILE = 60  # target pixels
SMALLEST_DEFAULT_BORDER = 2  # target pixels


@dataclass(frozen=True)
class Geometry:
    """What lies where: the pictures of a pair, the exact scale between them, and tiles of whole cells.

    A cell is the smallest window that is whole pixels on both sides: `cell_input` and `cell_target` pixels. Every pair
    is (vertical, horizontal).
    """

    input_picture: Size
    target_picture: Size
    input_trim: Trim
    trim: Trim

    @classmethod
    def of(
        cls, input_size: Size, target_size: Size, trim: Sequence[int], input_trim: Sequence[int] | None = None
    ) -> "Geometry":
        """Geometry of frames of those sizes. `input_trim` defaults to `trim` where both are one size, else to none."""
        if input_trim is None:
            input_trim = trim if input_size == target_size else UNTRIMMED
        ours, theirs = Trim.parse(input_trim, "input-trim"), Trim.parse(trim)
        geometry = cls(ours.picture(input_size, "input-trim"), theirs.picture(target_size), ours, theirs)
        if min(geometry.scale) < 1:
            raise DataError(
                f"the target picture is {size_text(geometry.target_picture)} and smaller than the input picture of "
                f"{size_text(geometry.input_picture)}; are Alpha and Beta swapped?"
            )
        return geometry

    @property
    def scale(self) -> tuple[Fraction, Fraction]:
        """Target picture over input picture, exact."""
        (height, width), (input_height, input_width) = self.target_picture, self.input_picture
        return Fraction(height, input_height), Fraction(width, input_width)

    @property
    def words(self) -> str:
        """Both pictures and the scale, for people."""
        pictures = f"{size_text(self.input_picture)} to {size_text(self.target_picture)}"
        return f"{pictures}, scale {scale_text(self.scale)} (vertical, horizontal)"

    @property
    def cell_input(self) -> Size:
        """Input pixels of a cell."""
        return self.scale[0].denominator, self.scale[1].denominator

    @property
    def cell_target(self) -> Size:
        """Target pixels of a cell."""
        return self.scale[0].numerator, self.scale[1].numerator

    def tile(self, tile: int | None = None) -> int:
        """The tile in target pixels: the given one, checked, or the smallest that fits of 60 or more.

        Half a tile is a whole number of cells, so that jittered tiles are too. In a small picture the default is the
        largest that it holds.
        """
        unit, room = 2 * lcm(*self.cell_target), min(self.target_picture)
        if tile is not None and tile > room:
            raise OptionError(f"tile is {tile}, but the target picture is {size_text(self.target_picture)}")
        if unit > room:
            raise (OptionError if any(self.trim + self.input_trim) else DataError)(
                f"the scale from {size_text(self.input_picture)} to {size_text(self.target_picture)} is "
                f"{scale_text(self.scale)} (vertical x horizontal): its smallest tile, {unit}, is larger "
                f"than the picture; the nearest target picture with a simple scale: {size_text(self._simple_target())}"
            )
        if tile is None:
            return min(-(-SMALLEST_DEFAULT_TILE // unit) * unit, room // unit * unit)
        return self._fitting("tile", tile, unit, unit, room)

    def _simple_target(self):
        """The target picture nearest to this one whose cell has 20 target pixels a side or fewer."""
        return tuple(
            min(
                (size for size in range(i, 2 * t) if Fraction(size, i).numerator <= 20),
                key=lambda size, t=t: (abs(size - t), size),
            )
            for i, t in zip(self.input_picture, self.target_picture, strict=True)
        )

    def border(self, border: int | None = None) -> int:
        """The border in target pixels: the given one, checked, or the smallest that fits of 2 or more."""
        unit = lcm(*self.cell_target)
        if border is None:
            return -(-SMALLEST_DEFAULT_BORDER // unit) * unit
        return self._fitting("border", border, unit, 0, border + unit)

    def _fitting(self, name, value, unit, low, high):
        """Refuse a value that is not a multiple of `unit`. Names the nearest that are, of low to high."""
        if value % unit:
            below = value // unit * unit
            nearest = " or ".join(str(n) for n in (below, below + unit) if low <= n <= high)
            raise OptionError(
                f"{name} is {value} target pixels, which is not whole cells of {size_text(self.input_picture)} to "
                f"{size_text(self.target_picture)}; the nearest that are: {nearest}"
            )
        return value

    def grids(self, tile: int, border: int, jitter: bool) -> tuple[TileGrid, TileGrid]:
        """The grids of the input and of the target picture: the same tiles; the input's carry the border."""
        grid = TileGrid(self.target_picture, (tile, tile), 0, jitter)
        return TileGrid(self.input_picture, self.to_input(tile), self.to_input(border), jitter), grid

    def to_input(self, pixels: int) -> Size:
        """A length of whole cells in target pixels as (vertical, horizontal) input pixels."""
        return int(pixels / self.scale[0]), int(pixels / self.scale[1])


def size_text(size: Sequence[int]) -> str:
    """A size in words: WIDTHxHEIGHT."""
    return f"{size[1]}x{size[0]}"


def scale_text(scale: Sequence[Fraction]) -> str:
    """A scale in words: vertical x horizontal."""
    return " x ".join(map(str, scale))
