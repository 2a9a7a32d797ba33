"""What an exported file says of itself, and whether it is as it was written. No Keras, onnx or engine is needed.

An ONNX file is a message of protocol buffers: fields one after another, each a number, a kind and a value. Metadata are
some of its fields, the graph with all weights is another. The digest, in the metadata too, is over all other fields.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastup._types import StrPath
from fastup.errors import DataError

# What the settings of a model that `fastup train` wrote hold beside those of every Network.
NEEDED = {
    "trim", "input_trim", "black_level", "input_white", "target_white", "pixel_aspect", "transfer", "colorimetric",
}  # fmt: skip
VERSION = 2  # of the metadata
KEY, DIGEST = "fastup", "fastup.digest"  # of the metadata that are ours

# Numbers of the fields of a ModelProto, and of a StringStringEntryProto, in onnx.proto.
_IR_VERSION, _GRAPH, _METADATA = 1, 7, 14
_KEY, _VALUE = 1, 2
_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5  # kinds of fields


def read_metadata(model: StrPath | bytes, name: str | None = None) -> dict[str, Any]:
    """What an ONNX file that fastup wrote says of itself.

    Parameters
    ----------
    model : path or bytes
        The file, or what it holds.
    name
        What errors call it, if not by its path.

    Returns
    -------
    dict
        ``version``: of the metadata, 1; or 2 of a file with ``pitch`` or with a state, which is not to be read without.
        ``settings``: of the network, as of `Network.settings`. ``receptive``: how far it sees beyond a cell, in input
        pixels (vertical, horizontal). ``widest``: the most float32 values for each pixel of input that the output of
        one layer holds. ``pitch``: at multiples of how many cells strips begin, where that is more than 1.
        ``whole_scale``: None; or, of a file made for programs that know whole scales alone, that scale.

    Raises
    ------
    DataError
        If it is not an ONNX file or not one of fastup's, is cut short, of a newer fastup, changed by another program,
        or lacks what is needed. OSError if the file is missing.
    """
    data = model if isinstance(model, bytes) else Path(model).read_bytes()
    name = name or ("the model" if isinstance(model, bytes) else os.fspath(model))
    try:
        metadata, digest = _metadata(data)
    except ValueError as error:
        raise DataError(f"{name}: {error}") from None
    if KEY not in metadata:
        raise DataError(f"{name}: an ONNX file, but not one that `fastup export` wrote")
    if metadata.get(DIGEST) != digest:
        raise DataError(f"{name}: its metadata or weights were changed since `fastup export` wrote it; export it again")
    try:
        found = json.loads(metadata[KEY])
        version = found["version"]
        if type(version) is not int or version < 1:
            raise ValueError(f"version is {version!r}")
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"{name}: its metadata are not what `fastup export` writes: {_words(error)}") from None
    if version > VERSION:
        raise DataError(f"{name}: of version {version}, expected at most {VERSION}: a newer fastup wrote it")
    try:
        _check(found)
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"{name}: its metadata are not what `fastup export` writes: {_words(error)}") from None
    return found


def signed(data: bytes) -> bytes:
    """A serialized model whose metadata have `KEY`, with its digest at the end."""
    digest = _metadata(data)[1]
    return data + _field(_METADATA, _field(_KEY, DIGEST.encode()) + _field(_VALUE, digest.encode()))


def _check(found):
    """Raise ValueError, TypeError or KeyError unless metadata hold what is needed, of the right kinds."""
    settings = found["settings"]
    if missing := sorted({*NEEDED, "model", "scale", "border", "residual"} - set(settings)):
        raise ValueError(f"the settings lack {', '.join(missing)}")
    vertical, horizontal = settings["scale"]
    whole = found["whole_scale"]
    for name, numbers, count, least in (
        ("scale", [*vertical, *horizontal], 4, 1), ("border", settings["border"], 2, 0),
        ("receptive", found["receptive"], 2, 0), ("widest", [found["widest"]], 1, 1),
        ("pitch", [found.get("pitch", 1)], 1, 1),
        ("whole_scale", [1 if whole is None else whole], 1, 1),
    ):  # fmt: skip
        if len(numbers) != count or any(type(number) is not int or number < least for number in numbers):
            raise ValueError(f"{name} is {numbers}")


def _words(error):
    return f"they lack {error}" if isinstance(error, KeyError) else str(error)


def _metadata(data):
    """The metadata of a serialized model, and the digest of all its other fields. Raises ValueError if it is none."""
    metadata, digest, seen = {}, hashlib.sha256(), set()
    try:
        for number, kind, whole, value in _fields(data):
            if not seen and (number, kind) != (_IR_VERSION, _VARINT):
                raise ValueError("not an ONNX file")
            seen.add(number)
            if number == _METADATA and kind == _BYTES:
                entry = {n: bytes(text).decode() for n, k, _, text in _fields(value) if k == _BYTES}
                metadata[entry.get(_KEY, "")] = entry.get(_VALUE, "")
                if entry.get(_KEY) == DIGEST:
                    continue
            digest.update(whole)
    except EOFError:
        raise ValueError("an ONNX file that is cut short or damaged" if seen else "not an ONNX file") from None
    except UnicodeDecodeError:
        raise ValueError("an ONNX file whose metadata are damaged") from None
    if not seen:
        raise ValueError("empty, expected an ONNX file")
    if _GRAPH not in seen:
        raise ValueError("an ONNX file that is cut short or damaged: it has no graph")
    return metadata, digest.hexdigest()


def _fields(data: bytes | memoryview) -> Iterator[tuple[int, int, memoryview, memoryview]]:
    """The fields of a message: number, kind, all bytes, and those of the value; EOFError where they don't fit."""
    data = memoryview(data)
    at = 0
    while at < len(data):
        start = at
        tag, at = _varint(data, at)
        number, kind = tag >> 3, tag & 7
        if kind == _BYTES:
            size, at = _varint(data, at)
        elif kind == _VARINT:
            size = _varint(data, at)[1] - at
        elif kind in (_EIGHT_BYTES, _FOUR_BYTES):
            size = 8 if kind == _EIGHT_BYTES else 4
        else:
            raise EOFError
        if number == 0 or at + size > len(data):
            raise EOFError
        yield number, kind, data[start : at + size], data[at : at + size]
        at += size


def _varint(data, at):
    """A number of seven bits a byte, the lowest first, and where it ends."""
    number = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, at
    raise EOFError


def _field(number, value):
    """A field of bytes."""
    return _as_varint(number << 3 | _BYTES) + _as_varint(len(value)) + value


def _as_varint(number):
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    return bytes([*encoded, number])
