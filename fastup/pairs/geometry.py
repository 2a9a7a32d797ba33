"""The geometry between the frames of a pair: pictures, the exact scale, tiles of whole cells."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import inf, lcm
from numbers import Integral

from fastup._grid import TileGrid
from fastup._types import Size
from fastup.errors import DataError, OptionError
from fastup.trim import UNTRIMMED, Trim

SMALLEST_DEFAULT_TILE = 60  # target pixels


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

    def tile(self, tile: int | Size | None = None) -> Size:
        """The tile in target pixels: the given one, checked, or the smallest square that fits of 60 or more.

        Half a tile is a whole number of cells, so that jittered tiles are too. In a small picture the default is the
        largest that it holds. One number is that of both axes.
        """
        given, room = tile if tile is None else pair_of(tile), self.target_picture
        if given is not None and any(size > most for size, most in zip(given, room, strict=True)):
            raise OptionError(f"tile is {along_text(given)}, but the target picture is {size_text(room)}")
        units = self._units(given, 2)
        if any(unit > most for unit, most in zip(units, room, strict=True)):
            raise (OptionError if any(self.trim + self.input_trim) else DataError)(
                f"the scale from {size_text(self.input_picture)} to {size_text(room)} is "
                f"{scale_text(self.scale)} (vertical x horizontal): its smallest tile, {along_text(units)}, is larger "
                f"than the picture; the nearest target picture with a simple scale: {size_text(self._simple_target())}"
            )
        if given is None:
            side = min(-(-SMALLEST_DEFAULT_TILE // units[0]) * units[0], min(room) // units[0] * units[0])
            return side, side
        return self._fitting("tile", given, units, units, room if given[0] != given[1] else 2 * (min(room),))

    def _units(self, given, cells=1):
        """What sizes are multiples of, along each axis, so many cells; one number where they are one, or not given."""
        units = [cells * cell for cell in self.cell_target]
        return units if given is not None and given[0] != given[1] else [lcm(*units)] * 2

    def _simple_target(self):
        """The target picture nearest to this one whose cell has 20 target pixels a side or fewer."""
        return tuple(
            min(
                (size for size in range(i, 2 * t) if Fraction(size, i).numerator <= 20),
                key=lambda size, t=t: (abs(size - t), size),
            )
            for i, t in zip(self.input_picture, self.target_picture, strict=True)
        )

    def border(self, border: int | Size) -> Size:
        """A border in target pixels, checked. One number is that of both axes."""
        given = pair_of(border)
        return self._fitting("border", given, self._units(given), (0, 0), (inf, inf))

    def _fitting(self, name, given, units, low, high):
        """Refuse sizes that are not multiples of `units`. Names the nearest that are, of low to high."""
        if any(value % unit for value, unit in zip(given, units, strict=True)):
            each = [*zip(given, units, low, high, strict=True)]
            below = [max(value // unit * unit, least) for value, unit, least, _ in each]
            above = [min(-(-value // unit), most // unit) * unit for value, unit, _, most in each]
            nearest = " or ".join(dict.fromkeys(map(along_text, (below, above))))
            raise OptionError(
                f"{name} is {along_text(given)} target pixels, which is not whole cells of "
                f"{size_text(self.input_picture)} to {size_text(self.target_picture)}; the nearest that are: {nearest}"
            )
        return given

    def grids(self, tile: int | Size, border: int | Size, jitter: bool) -> tuple[TileGrid, TileGrid]:
        """The grids of the input and of the target picture: the same tiles; the input's carry the border."""
        grid = TileGrid(self.target_picture, tile, 0, jitter)
        return TileGrid(self.input_picture, self.to_input(tile), self.to_input(border), jitter), grid

    def to_input(self, pixels: int | Size) -> Size:
        """Lengths of whole cells in target pixels, of both axes or of each, as (vertical, horizontal) input pixels."""
        vertical, horizontal = pair_of(pixels)
        return int(vertical / self.scale[0]), int(horizontal / self.scale[1])


def pair_of(size: int | Sequence[int]) -> Size:
    """(vertical, horizontal) of that, or of one number for both."""
    vertical, horizontal = (size, size) if isinstance(size, Integral) else size  # type: ignore[misc]
    return vertical, horizontal  # type: ignore[return-value]


def along_text(size: int | Sequence[int]) -> str:
    """A size along each axis as options have it: V,H, or one number where both are equal."""
    vertical, horizontal = pair_of(size)
    return str(vertical) if vertical == horizontal else f"{vertical},{horizontal}"


def size_text(size: Sequence[int]) -> str:
    """A size in words: WIDTHxHEIGHT."""
    return f"{size[1]}x{size[0]}"


def scale_text(scale: Sequence[Fraction]) -> str:
    """A scale in words: vertical x horizontal."""
    return " x ".join(map(str, scale))
