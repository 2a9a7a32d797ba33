"""A DPX header in words."""

from headers import header

from fastup.header import Header
from fastup.summary import summary


def test_a_text_is_one_line_on_a_terminal():
    """Whatever a file holds, the summary neither breaks the table nor speaks to the terminal."""
    one = header(at_160=("100s", b"a\nb\r\x1b[31mred\x07\x9b1m"), at_260=("200s", "\x9b2J\u2028x\u202e".encode()))
    for _, text in summary(one, 0):
        assert text.isprintable()


def test_summary_says_what_a_person_wants_to_know():
    one = header(
        "<", length=8192, at_16=("I", 8192 + 720 * 480 * 4), at_768=("HHII", 0, 1, 720, 480), at_784=("I", 95),
        at_792=("I", 685), at_800=("BBBBHHI", 50, 3, 255, 10, 1, 0, 8192), at_1628=("II", 9, 8),
        at_1920=("I", 0x01000000), at_1940=("f", 23.976),
    )  # fmt: skip
    rows = dict(summary(one, 8192 + 720 * 480 * 4))
    assert rows == {
        "file": "1,390,592 bytes",
        "byte order": "little-endian",
        "picture": "720x480, 10-bit RGB, method A, from byte 8192",
        "pixel aspect": "9:8, so that the picture is 1.688:1",
        "transfer": "3 (logarithmic)",
        "low, high code": "95, 685",
        "timecode": "01:00:00:00",
        "frame rate": "23.976 frames/s",
        "user data": "6,144 bytes",
    }
    assert dict(summary(one, 5))["file"] == "5 bytes (the header says 1,390,592)"
    assert repr(one) == "<Header 720x480, 10-bit RGB, method A, little-endian, timecode 01:00:00:00>"


def test_summary_of_everything():
    one = Header.new(
        720, 486, descriptor="CBYCRY", bits=8, orientation=1, transfer=99, colorimetric="rec_601_525", line_padding=4,
        low_code=16, high_code=None, black_level=16, white_level=235, user_bits=0x1234, film_frame_rate=24,
        television_frame_rate=25, frame_position=0, sequence_length=240, interlace=1, field_number=2, gamma=2.2,
        shutter_angle=172.8, encryption_key=7, x_original_size=1920, y_original_size=1080, film_manufacturer_id="EX",
        film_count="0012", held_count=2, file_name="a.dpx", create_time="2001:02:03:04:05:06", project="Film",
        copyright="Me", description="left eye", source_file_name="b.dpx", source_create_time="2000:01:01:00:00:00",
        input_device="Scanner", input_serial_number="7", film_format="Academy", frame_id="12", slate="1A",
        video_signal=50, file_size=9,
    )  # fmt: skip
    assert summary(one, 5) == [
        ("file", "5 bytes (the header says 9)"), ("byte order", "big-endian"),
        ("picture", "720x486, 8-bit CbYCrY 4:2:2, packed, from byte 2048"), ("line padding", "4 bytes"),
        ("orientation", "1 (right to left, top to bottom)"), ("transfer", "99"),
        ("colorimetric", "8 (Rec.601 525 lines)"),
        ("low, high code", "16, undefined"), ("black, white level", "16, 235"), ("user bits", "00001234"),
        ("frame rate", "25 frames/s (film: 24)"), ("frame position", "0 of 240"), ("interlace", "2:1"),
        ("shutter angle", "172.8 degrees"), ("encryption key", "00000007"), ("original size", "1920x1080"),
        ("key code", "EX 0012"), ("held count", "2"), ("field number", "2"), ("video signal", "50"), ("gamma", "2.2"),
        ("file name", "a.dpx"), ("create time", "2001:02:03:04:05:06"), ("creator", "fastup"), ("project", "Film"),
        ("copyright", "Me"), ("description", "left eye"), ("source file name", "b.dpx"),
        ("source create time", "2000:01:01:00:00:00"), ("input device", "Scanner"), ("input serial number", "7"),
        ("film format", "Academy"), ("frame id", "12"), ("slate", "1A"),
    ]  # fmt: skip
