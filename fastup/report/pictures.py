"""Pictures of a page: WebP by Pillow, whole ones at a stated quality, small parts without loss."""

import io
from base64 import b64encode

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fastup import _planes
from fastup._types import Floats, Size

QUALITY = 90  # of WebP, 0 to 100, of what is not lossless
THUMB = 160  # pixels across, of the picture that stands for a frame
WORDS = f"WebP at quality {QUALITY}, whose colours have half the resolution"

Eight = NDArray[np.uint8]  # (height, width, 3), as a screen shows them


def eight(picture: Floats, table: Eight | None = None) -> Eight:
    """What a screen shows of a normalised picture, (height, width, 3); of one channel too, which is grey.

    `table` gives the code of 8 bits for each of 10, see `fastup.footage.convert.shown`; without it codes stay, white to
    white.
    """
    picture = picture[..., None] if picture.ndim == 2 else picture[..., :3]
    white = 255 if table is None else 1023
    codes, _ = _planes.codes_of(np.ascontiguousarray(picture, np.float32), white, planes=False)
    seen: Eight = codes.astype(np.uint8) if table is None else np.take(table, codes)
    return np.repeat(seen, 3, axis=2) if seen.shape[2] == 1 else seen


def lossy(picture: Eight, quality: int = QUALITY) -> bytes:
    """A picture as WebP; by the faster of Pillow's methods, which costs little in size."""
    return _webp(Image.fromarray(picture), quality=quality, method=2)


def lossless(picture: Eight) -> bytes:
    """A small picture as WebP without loss."""
    return _webp(Image.fromarray(np.ascontiguousarray(picture)), lossless=True, method=2)


def halved(picture: Eight) -> Eight:
    """Means of 2 x 2 pixels; what is left over at the right and below counts alone."""
    return np.asarray(Image.fromarray(picture).reduce(2))


def thumb(picture: Eight, across: int = THUMB) -> bytes:
    """A picture made so wide, at a lower quality."""
    height, width = picture.shape[:2]
    size = min(across, width), max(1, round(height * min(across, width) / width))
    return _webp(Image.fromarray(picture).resize(size, Image.Resampling.BOX), quality=75, method=2)


def size_of(data: bytes) -> Size:
    """(height, width) of what was made here."""
    with Image.open(io.BytesIO(data)) as picture:
        return picture.height, picture.width


def as_url(data: bytes) -> str:
    """What a page shows without asking anybody: a data URL of WebP, or of PNG."""
    kind = "png" if data.startswith(b"\x89PNG") else "webp"
    return f"data:image/{kind};base64,{b64encode(data).decode()}"


def cost(data: bytes) -> int:
    """Bytes that a picture takes in a page."""
    return -(-len(data) // 3) * 4 + 40  # its key and quotes, and the head of the URL


def _webp(image, **options):
    file = io.BytesIO()
    image.save(file, "webp", **options)
    return file.getvalue()
