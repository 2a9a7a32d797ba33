"""What fastup leaves in DATA/cache: its names, and how it is removed."""

import hashlib
import os
import re
from pathlib import Path

from fastup._types import StrPath
from fastup._whole import PART
from fastup.errors import DataError

_SET = r"(train|[^/]+-[0-9a-f]{16})"
_MADE_FOLDER = re.compile(
    rf"\.|{_SET}(/(Alpha|Beta)(/.*)?)?|(matched|inputs-[0-9a-f]{{32}})(/.*)?"
)  # in a cache; and the files, with those that `whole` begins:
_MADE = re.compile(
    r"\./((detail|levels)-[0-9a-f]{32}\.bin|signatures-[0-9a-f]{32}\.(bin|part)|look-[0-9a-f]{32}\.json|digests\.json"
    rf"|rank\.png|\.((detail|levels)-[0-9a-f]{{32}}{PART}\.bin|look-[0-9a-f]{{32}}{PART}\.json|digests{PART}\.json"
    rf"|rank{PART}\.png))"
    rf"|{_SET}/(Alpha|Beta)/.*\.dpx|(matched/[^/]+|inputs-[0-9a-f]{{32}})/.*\.dpx"
)


def set_name(folder: Path, cache: StrPath) -> str:
    """What the pairs of a folder are called in a cache: its name, if it is beside the cache; else a digest follows."""
    folder, beside = Path(os.path.abspath(folder)), Path(os.path.abspath(cache)).parent
    if folder.parent == beside:
        return folder.name
    return f"{folder.name}-{hashlib.blake2b(os.fsencode(folder), digest_size=8).hexdigest()}"


def clear_cache(cache: StrPath) -> tuple[int, list[Path]]:
    """Remove what fastup left in a folder, and the folders that are empty then.

    That is of `transcode`, `match_levels`, `detail_scores`, `clips`, `rank` and `match`. Goes by names, hidden
    part-files of killed runs among them. Whatever else is there stays, as do links; where the folder itself is a link,
    that alone is removed. Raises DataError where it is a file.

    Returns
    -------
    size : int
        Bytes that were removed.
    left : list of Path
        What is still there, links and files.
    """
    cache, size, left = Path(cache), 0, list[Path]()
    if cache.is_symlink():
        cache.unlink()
        return size, left
    if not cache.is_dir():
        raise DataError(f"{cache}: a file, expected the folder that fastup made")
    for top, folders, names in os.walk(cache, topdown=False):
        here = os.path.relpath(top, cache).replace(os.sep, "/")
        for name in names:
            path = Path(top, name)
            if _MADE.fullmatch(f"{here}/{name}") and not path.is_symlink():
                size += path.stat().st_size
                path.unlink()
            else:
                left.append(path)
        left += [Path(top, name) for name in folders if os.path.islink(os.path.join(top, name))]
        if _MADE_FOLDER.fullmatch(here) and not os.listdir(top):
            os.rmdir(top)
    return size, sorted(left)
