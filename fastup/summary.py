"""A DPX header in words, for a person who wants to know what a file holds."""

from fastup._header_fields import is_rate
from fastup.codes import in_words
from fastup.header import Header, flavour

_SHOWN = (
    "held_count", "field_number", "video_signal", "gamma", "file_name", "create_time", "creator", "project",
    "copyright", "description", "source_file_name", "source_create_time", "input_device", "input_serial_number",
    "film_format", "frame_id", "slate",
)  # fmt: skip


def summary(header: Header, file_bytes: int) -> list[tuple[str, str]]:
    """Pairs of a name and a text on a file of that header and size; what is undefined or usual is left out."""
    aspect, rates = header.pixel_aspect, set(filter(is_rate, (header.television_frame_rate, header.film_frame_rate)))
    size = header.x_original_size, header.y_original_size
    key = header.film_manufacturer_id, header.film_type, header.film_offset, header.film_prefix, header.film_count
    rows: dict[str, object] = {
        "file": f"{file_bytes:,} bytes"
        + ("" if header.file_size in (file_bytes, None) else f" (the header says {header.file_size:,})"),
        "byte order": "big-endian" if header.big_endian else "little-endian",
        "picture": f"{header.width}x{header.height}, {flavour(header)}, from byte {header.pixel_offset}",
    }
    for number, element in enumerate(header.elements[1:], 1):
        rows[f"element {number}"] = f"{flavour(element)}, from byte {element.data_offset}"
    rows |= {
        "line padding": header.line_padding and f"{header.line_padding} bytes",
        "orientation": header.orientation and in_words(header.orientation),
        "pixel aspect": aspect
        and f"{aspect.numerator}:{aspect.denominator}, so that the picture is "
        f"{float(aspect * (header.width or 0) / (header.height or 1)):.3f}:1",
        "transfer": header.transfer is not None and in_words(header.transfer),
        "colorimetric": header.colorimetric is not None and in_words(header.colorimetric),
        "low, high code": f"{in_words(header.low_code)}, {in_words(header.high_code)}",
        "black, white level": header.white_level and f"{header.black_level or 0:g}, {header.white_level:g}",
        "timecode": header.timecode,
        "user bits": header.user_bits and f"{header.user_bits:08x}",
        "frame rate": header.frame_rate
        and f"{header.frame_rate:.6g} frames/s" + (f" (film: {header.film_frame_rate:.6g})" if len(rates) > 1 else ""),
        "frame position": header.frame_position is not None
        and str(header.frame_position) + (f" of {header.sequence_length}" if header.sequence_length else ""),
        "interlace": header.interlace == 1 and "2:1",
        "shutter angle": header.shutter_angle and f"{header.shutter_angle:g} degrees",
        "encryption key": header.encryption_key and f"{header.encryption_key:08x}",
        "original size": all(size) and size != (header.width, header.height) and "{}x{}".format(*size),
        "key code": " ".join(filter(None, key)),
        **{name.replace("_", " "): getattr(header, name) for name in _SHOWN},
        "user data": header.user_data and f"{len(header.user_data):,} bytes",
    }
    return [(name, _printable(value)) for name, value in rows.items() if value]


def _printable(value):
    """Text that neither breaks a line nor speaks to a terminal, whatever a file holds."""
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
