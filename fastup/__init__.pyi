"""What a type checker or an editor sees of the names that `__init__.py` finds when they are first used."""

from fastup._grid import TileGrid as TileGrid
from fastup._tiles import cut as cut
from fastup._tiles import detail as detail
from fastup._tiles import rank as rank
from fastup._tiles import stitch as stitch
from fastup.codes import Colorimetric as Colorimetric
from fastup.codes import Descriptor as Descriptor
from fastup.codes import Orientation as Orientation
from fastup.codes import Packing as Packing
from fastup.codes import Timecode as Timecode
from fastup.codes import Transfer as Transfer
from fastup.errors import DataError as DataError
from fastup.errors import DpxError as DpxError
from fastup.errors import FastupError as FastupError
from fastup.errors import OptionError as OptionError
from fastup.footage import telecine as telecine
from fastup.footage.opening import sink as sink
from fastup.footage.opening import source as source
from fastup.frames import find as find
from fastup.frames import read as read
from fastup.frames import read_header as read_header
from fastup.frames import stream as stream
from fastup.frames import write as write
from fastup.frames import write_stream as write_stream
from fastup.header import Header as Header
from fastup.upscale.upscaler import Upscaler as Upscaler

__version__: str
__all__: list[str]
