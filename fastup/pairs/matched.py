"""What a match leaves in DATA: a record of every pair that it makes, by which it carries on, and what it has found."""

import contextlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import ArrayLike

from fastup._types import Size, StrPath
from fastup._whole import whole
from fastup.codes import scaled
from fastup.errors import DataError, FastupError
from fastup.footage.source import Source
from fastup.footage.stills import Folder
from fastup.header import FULL_BYTES, Header
from fastup.pairs.folder import SIDES
from fastup.pairs.placement import Placement
from fastup.pairs.selection import SETS

FOLDER = "match"  # in DATA: the record, and pictures
RECORD = "pairs.jsonl"
PATH, REVIEW = "path.png", "review"  # pictures, beside the record
FOUND = "match.json"  # in DATA

Row = dict[str, Any]  # what was measured of a frame: "frame", its number; "set", where its pair goes; ...


class Record:
    """The record of a match: its settings, and a row of each frame that was measured.

    A row is written before its pair is, and a pair is whole or absent. So a pair without a row is not of this match, a
    row without a pair is made again, and both together are done. A last line that a kill has cut short counts nothing.
    """

    def __init__(self, data: StrPath) -> None:
        self.data = Path(data)
        self.path = self.data / FOLDER / RECORD
        self.settings, self.rows = self._read()
        self._file: TextIO | None = None

    def _read(self):
        settings: dict[str, Any] | None = None
        rows: dict[int, Row] = {}
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), open(self.path, encoding="utf-8") as lines:
            for line in lines:
                try:
                    row = json.loads(line)
                    if settings is None:
                        settings = dict(row["settings"])
                    else:
                        rows[int(row["frame"])] = row
                except (ValueError, TypeError, KeyError):
                    if settings is None:
                        raise DataError(f"{self.path}: not what `fastup match` wrote; expected another DATA") from None
        return settings, rows

    def check(self) -> None:
        """Raise DataError if DATA is no folder, or holds pairs that this record does not have."""
        if self.data.exists() and not self.data.is_dir():
            raise DataError(f"{self.data}: a file, expected a folder for the pairs")
        own = {path for row in self.rows.values() for path in self.files(row)}
        for name in SETS:
            for side in SIDES:
                folder = self.data / name / side
                for path in sorted(folder.iterdir()) if folder.is_dir() else ():
                    if path not in own and not path.name.startswith("."):
                        raise DataError(f"{path}: not made by this match; expected a DATA without other pairs")
        if self.settings is None and os.path.lexists(self.data / FOUND):
            raise DataError(f"{self.data / FOUND}: there, but its record {self.path} is not; expected another DATA")

    def begin(self, settings: Mapping[str, Any]) -> None:
        """Begin the record, or go on with it; DataError if it is of other settings. Part of a line goes."""
        settings = json.loads(json.dumps(settings))  # as it will be read
        if self.settings is not None:
            for name in {**self.settings, **settings}:
                found, asked = self.settings.get(name), settings.get(name)
                if found != asked:
                    differs = f"{name} {_text(found)}, and this is {name} {_text(asked)}"
                    if name == "plan":  # a digest says nothing
                        differs = "other pairs than would be made now: SD, HD or fastup have changed"
                    raise DataError(
                        f"{self.data}: was begun with {differs}; expected the same, another DATA, or --overwrite"
                    )
        self.settings = settings
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with whole(self.path) as part:
            _write_lines(part, [{"settings": settings}, *self.rows.values()])
        self._file = open(self.path, "a", encoding="utf-8")  # noqa: SIM115 -- until `close`

    def add(self, row: Row) -> None:
        """Note what was measured of a frame; a row that is there already is not noted twice."""
        if self._file is None:
            raise FastupError(f"{self.path}: the record has not begun")
        if self.rows.get(row["frame"]) == row:
            return
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()
        self.rows[row["frame"]] = row

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def files(self, row: Row) -> tuple[Path, ...]:
        """The files of a row's pair, (Alpha, Beta); none where it has no set."""
        if not row.get("set"):
            return ()
        return tuple(self.data / row["set"] / side / f"{row['name']}.dpx" for side in SIDES)

    def leave_out(self, row: Row, why: str) -> None:
        """Remove a pair that was made, and say why."""
        for path in self.files(row):  # before the row says so: a file without a row is not ours
            path.unlink(missing_ok=True)
        self.add({name: row[name] for name in row if name not in ("set", "name")} | {"why": why})

    def is_made(self, number: int) -> bool:
        """Whether all is done that is to be done of a frame."""
        row = self.rows.get(number)
        return row is not None and all(path.exists() for path in self.files(row))

    def remove(self) -> None:
        """Remove the pairs of the record, what was found, pictures, and the record itself: nothing else."""
        for row in self.rows.values():
            for path in self.files(row):
                path.unlink(missing_ok=True)
        (self.data / FOUND).unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)
        (self.path.parent / PATH).unlink(missing_ok=True)
        remove_review(self.data)
        for name in SETS:
            for folder in (*(self.data / name / side for side in SIDES), self.data / name):
                with contextlib.suppress(OSError):  # there may be other things in it
                    folder.rmdir()
        self.settings, self.rows = None, {}


def remove_review(data: StrPath) -> None:
    """Remove the checkerboards that an earlier match left in DATA."""
    folder = Path(data) / FOLDER / REVIEW
    for path in folder.glob("[0-9][0-9][0-9]_*.png"):
        path.unlink()
    with contextlib.suppress(OSError):  # it is not there, or there are other things in it
        folder.rmdir()


def write_found(path: StrPath, found: Mapping[str, Any], frames: Iterable[Mapping[str, Any]]) -> None:
    """Write what a match found: a JSON object, whose last value, "frames", has a line for each frame."""
    with whole(path) as part, open(part, "w", encoding="utf-8") as file:
        text = json.dumps(found, indent=1)
        file.write(text[:-2] + ',\n "frames": [')
        for number, row in enumerate(frames):
            file.write((",\n  " if number else "\n  ") + json.dumps(row))
        file.write("\n ]\n}\n")


def read_found(data: StrPath) -> dict[str, Any]:
    """What a match found, as match.json in DATA has it; DataError if that holds something else."""
    path = Path(data) / FOUND
    try:
        found = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise DataError(f"{path}: no JSON: {error}; expected what `fastup match` wrote") from None
    if not isinstance(found, dict) or "frames" not in found:
        raise DataError(f"{path}: no frames in it, expected what `fastup match` wrote")
    return found


def spans(shot: ArrayLike, values: ArrayLike) -> dict[int, list[int]]:
    """The least and the largest value of each shot."""
    shot, values = np.asarray(shot), np.asarray(values)
    order = np.argsort(shot, kind="stable")
    numbers, first = np.unique(shot[order], return_index=True)
    parts = np.split(values[order], first[1:])
    return {int(number): [int(part.min()), int(part.max())] for number, part in zip(numbers, parts, strict=True)}


def figures(placement: Placement | None) -> dict[str, Any]:
    """A placement as match.json has it; None for what was not found."""
    if placement is None:
        return {"shift": None, "scale": None, "rotation": None}
    return {
        "shift": [round(one, 4) for one in placement.shift], "scale": [round(one, 6) for one in placement.scale],
        "rotation": round(placement.rotation, 4),
    }  # fmt: skip


def spreads(rows: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Median and spread, half of what lies between the 5th and 95th percentile, of what was measured of the pairs."""
    found: dict[str, Any] = {}
    for name in ("shift", "scale", "rotation", "likeness", "residual"):
        values = np.array([row[name] for row in rows], float)
        if not len(rows):
            found[name] = None
            continue
        low, middle, high = np.quantile(values, (0.05, 0.5, 0.95), axis=0)
        found[name] = {"median": np.round(middle, 5).tolist(), "spread": np.round((high - low) / 2, 5).tolist()}
    return found


def _write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    with open(path, "w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row) + "\n")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "all" if value is None else json.dumps(value)


def header_for(source: Source, number: int, size: Size, bits: int, colours: Header) -> Header:
    """The header of a frame for a picture made of it, in colours of another's.

    It has the frame's own timecode; and its number and the name of its file where it doesn't say so itself.
    """
    header = source.header(number)
    values: dict[str, Any] = {
        "width": size[1], "height": size[0], "descriptor": "RGB", "bits": bits, "packing": int(bits == 10),
        "transfer": colours.transfer, "colorimetric": colours.colorimetric,
    }  # fmt: skip
    white = colours.white
    for name in ("low_code", "high_code"):
        code = getattr(colours, name)
        values[name] = scaled(code, white, 2**bits - 1) if white and code is not None and code <= white else None
    if not header.source_file_name:
        path = source.paths[number] if isinstance(source, Folder) else source.path
        values["source_file_name"] = path.name.encode("ascii", "replace")[:99].decode()
    if header.frame_position is None and len(header.raw) >= FULL_BYTES:
        values["frame_position"] = number
    return header.replace(**values)
