"""fastup.footage.stills: frames of files at their places in time, and what is refused."""

from fractions import Fraction

import naive
import numpy as np
import pytest
from videos import extract, noise

import fastup
from fastup.codes import Transfer
from fastup.errors import DataError, OptionError
from fastup.footage.opening import open_clip
from fastup.footage.sequences import timecode_at
from fastup.header import Header


def test_dpx_stills_keep_their_headers(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    frames = [noise(n, 12, (6, 9, 3))[0] for n in range(3)]
    for n, frame in enumerate(frames):
        header = Header.new(
            9, 6, big_endian=False, bits=12, transfer="logarithmic", timecode=f"01:00:00:{n + 9:02d}", frame_rate=24,
            low_code=95, high_code=2700, project="A film",
        )  # fmt: skip
        fastup.write(folder / f"s{n + 9}.dpx", frame, header)
    with open_clip(folder) as source:
        assert (source.bits, source.rate, source.timecode, source.frame_count) == (12, 24, "01:00:00:09", 3)
        extract(source, tmp_path / "out", start=1)
        film = source.header(2, Fraction(24000, 1001))
        assert (film.timecode, film.frame_position, film.project) == ("01:00:00:11", 2, "A film")
    for n in (1, 2):
        path = tmp_path / "out" / f"s{n + 9}.dpx"
        np.testing.assert_array_equal(fastup.read(path), (frames[n].astype(np.int64) * 2046 + 4095) // 8190)
        header, own = Header.read(path), Header.read(folder / path.name)
        assert header == own.replace(bits=10)
        assert not header.big_endian
    assert len(list((tmp_path / "out").iterdir())) == 2


@pytest.mark.parametrize(
    ("suffix", "channels", "white"), [("png", 3, 65535), ("tif", 1, 65535), ("bmp", 3, 255), ("png", 4, 65535)]
)
def test_other_stills_are_scaled_and_alpha_is_dropped(tmp_path, suffix, channels, white):
    path = tmp_path / f"a.{suffix}"
    fastup.write(path, noise(4, 16 if white == 65535 else 8, (5, 7, channels))[0].astype(np.uint16))
    with open_clip(path) as source:
        assert source.bits == (16 if white == 65535 else 8)
        assert extract(source, tmp_path / "out") == (1, 0)
    own = fastup.read(path).astype(np.int64)
    expected = (own[:, :, : 3 if channels > 1 else 1] * 2046 + white) // (2 * white)
    np.testing.assert_array_equal(fastup.read(tmp_path / "out" / "a.dpx"), np.broadcast_to(expected, (5, 7, 3)))


def test_stills_of_chroma_are_converted(tmp_path):
    header = Header.new(6, 4, descriptor="CBYCRY", bits=8, colorimetric="REC_709")
    cb, y1, cr, y2 = noise(5, 8, *[(4, 3)] * 4)
    (tmp_path / "a.dpx").write_bytes(header.raw + np.stack([cb, y1, cr, y2], axis=2).tobytes())
    with open_clip(tmp_path / "a.dpx") as source:
        ((_, planes),) = source.frames()
        assert [plane.shape for plane in planes] == [(4, 6), (4, 3), (4, 3)]
        assert any("Rec.709" in note for note in source.notes)
        extract(source, tmp_path / "out")
    y = np.stack([y1, y2], axis=2).reshape(4, 6)
    found = tmp_path / "out" / "a.dpx"
    np.testing.assert_array_equal(
        fastup.read(found), naive.nearest_codes(naive.rgb_of_planes([y, cb, cr], 8, "709", number=Fraction))
    )
    assert Header.read(found).flavour == "10-bit RGB, method A, big-endian"
    assert (Header.read(found).low_code, Header.read(found).high_code) == (0, 1023)


def test_a_short_header_gets_room_for_a_rate(tmp_path):
    whole = Header.new(9, 6, transfer="REC_709", pixel_aspect=Fraction(8, 9))
    short = bytearray(whole.raw[:1664])
    short[4:8] = short[808:812] = (1664).to_bytes(4, "big")
    (tmp_path / "a.dpx").write_bytes(bytes(short) + bytes(6 * 9 * 4))
    with open_clip(tmp_path / "a.dpx") as source:
        assert len(source.header(0).raw) == 1664
        header = source.header(0, Fraction(24000, 1001))
        assert (header.frame_position, header.transfer, header.pixel_aspect) == (0, Transfer.REC_709, Fraction(8, 9))


def test_stills_that_are_not_of_one_kind_are_refused(tmp_path):
    fastup.write(tmp_path / "a.dpx", np.zeros((4, 4, 3), np.uint16))
    for name, header, words in (
        ("b.dpx", Header.new(6, 4), "6x4, 10 bits, RGB, expected 4x4, 10 bits, RGB as in a.dpx"),
        ("b.dpx", Header.new(4, 4, bits=12), "4x4, 12 bits"),
    ):
        fastup.write(tmp_path / name, np.zeros((header.height, header.width, 3), np.uint16), header)
        with pytest.raises(DataError, match=words):
            extract(tmp_path, tmp_path / "out")
        assert extract(tmp_path, tmp_path / "out2", end=1)[0] in (0, 1)
    with pytest.raises(DataError, match="this is where the input frames are"):
        extract(tmp_path, tmp_path)
    fastup.write(tmp_path / "a.png", np.zeros((4, 4, 3), np.uint16))
    with pytest.raises(DataError, match="differ in their suffix alone"):
        extract(tmp_path, tmp_path / "out")
    fastup.write(tmp_path / "x.exr", np.zeros((4, 4, 3), np.float32))
    with pytest.raises(DataError, match=r"x\.exr: .*expected codes of 8 to 16 bits"):
        open_clip(tmp_path / "x.exr")
    with pytest.raises(OptionError, match="start is frame 7, expected one of the 1"):
        extract(tmp_path / "b.dpx", tmp_path / "out", start=7)


@pytest.fixture
def gapped(tmp_path):
    """Stills 10 to 29 at 24 frames/s, without 13 and 20 to 23; the picture is the number."""
    folder = tmp_path / "in"
    folder.mkdir()
    for n in [n for n in range(10, 30) if n != 13 and n not in range(20, 24)]:
        header = Header.new(4, 4, timecode=timecode_at("01:00:00:00", n, 24), frame_rate=24)
        fastup.write(folder / f"s{n:03d}.dpx", np.full((4, 4, 3), n, np.uint16), header, fsync=False)
    return folder


@pytest.mark.parametrize(
    ("options", "expected", "words"),
    [
        ({}, [n for n in range(10, 30) if n != 13 and n not in range(20, 24)], "5 stills are missing: 1 between s012"),
        ({"start": 4, "end": 10}, range(14, 20), None),
        ({"start": "01:00:01:00"}, range(24, 30), None),
        ({"start": "0:00:00.5", "end": 15}, [24], "2 stills are missing between s019.dpx .01:00:00:19. and s024.dpx"),
        ({"start": 3, "end": 5}, [14], "1 still is missing between s012.dpx .01:00:00:12. and s014.dpx"),
        ({"every": 5}, [10, 15, 25], "5 stills are missing"),
    ],
)
def test_missing_stills_are_missing_time(tmp_path, gapped, options, expected, words):
    out = tmp_path / "out"
    for _ in range(2):
        if words is None:
            extract(gapped, out, **options)
        else:
            with pytest.raises(DataError, match=f"{words}.*; {len(expected)} frames are in"):
                extract(gapped, out, **options)
        assert [int(path.stem[1:]) for path in fastup.find(out)] == list(expected)
        for path in out.iterdir():
            assert fastup.read(path)[0, 0, 0] == int(path.stem[1:])
            assert fastup.read_header(path) == fastup.read_header(gapped / path.name)
        next(out.iterdir()).unlink()  # the second run makes it again


def test_a_place_in_a_gap_has_no_frame(tmp_path, gapped):
    with open_clip(gapped) as source:
        assert source.frame_count == 20
        assert [index for index, _ in source.frames()] == [n - 10 for n in range(10, 30) if source.there(n - 10)]
        assert [n for n in range(20) if not source.there(n)] == [3, 10, 11, 12, 13]
        assert [index for index, _ in source.frames(10, 15, 2)] == [14]
        assert source.damage.startswith("4 stills are missing between s019.dpx")
        assert [index for index, _ in source.frames(9, 15)] == [9, 14]
        assert list(source.frames(4, 9)) != []
        assert source.damage is None
        assert source.header(15, Fraction(24)).timecode == "01:00:01:01"


def test_stills_that_are_there_twice(tmp_path, gapped):
    (gapped / "s0015.dpx").write_bytes((gapped / "s015.dpx").read_bytes())
    with pytest.raises(DataError, match=r"s0015\.dpx and s015\.dpx have the same number; expected one of them"):
        extract(gapped, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    folder = tmp_path / "twice"
    folder.mkdir()
    for n in range(12):
        header = Header.new(4, 4, timecode=f"01:00:00:{n - (n > 6):02d}", frame_rate=24)
        fastup.write(folder / f"s{n:02d}.dpx", np.full((4, 4, 3), n, np.uint16), header, fsync=False)
    with pytest.raises(DataError, match=r"s07\.dpx has the timecode of s06\.dpx, 01:00:00:06; 12 frames are in"):
        extract(folder, tmp_path / "out")
    header = fastup.read_header(folder / "s07.dpx").replace(timecode="01:00:00:20")  # one that is wrong, and no other
    for n in range(12):
        path = folder / f"s{n:02d}.dpx"
        fastup.write(path, fastup.read(path), header if n == 7 else header.replace(timecode=f"01:00:00:{n:02d}"))
    with open_clip(folder) as source:
        assert extract(source, tmp_path / "out") == (0, 12)
        assert [note.startswith("the timecode does not run on from s06.dpx") for note in source.notes] == [True]


def test_every_second_still_is_half_the_rate(tmp_path):
    for n in range(0, 20, 2):
        header = Header.new(4, 4, timecode=timecode_at("01:00:00:00", n, 24), frame_rate=24)
        fastup.write(tmp_path / f"s{n:03d}.dpx", np.full((4, 4, 3), n, np.uint16), header, fsync=False)
    with open_clip(tmp_path) as source:
        assert (source.rate, source.frame_count) == (12, 10)
        assert "every frame is 2 frames of timecode long: 12 frames/s" in source.notes
        assert [source.frame_number(text) for text in ("01:00:00:06", "01:00:00:07", "0:00:00.5")] == [3, 4, 6]
    (tmp_path / "s010.dpx").unlink()
    with pytest.raises(DataError, match="1 still is missing between s008"):
        extract(tmp_path, tmp_path / "out")


def test_a_timecode_that_begins_anew(tmp_path):
    for n in range(20):
        timecode = f"01:00:00:{n:02d}" if n < 12 else f"00:30:00:{n - 12:02d}"
        fastup.write(
            tmp_path / f"s{n}.dpx", np.zeros((4, 4, 3), np.uint16), Header.new(4, 4, timecode=timecode, frame_rate=24)
        )
    with open_clip(tmp_path) as source:
        assert extract(source, tmp_path / "out") == (20, 0)
        assert source.notes == [
            "the timecode does not run on from s11.dpx (01:00:00:11) to s12.dpx (00:30:00:00): there it is counted "
            "anew, and no gap is taken for it"
        ]
        assert [source.frame_number(text) for text in ("01:00:00:11", "00:30:00:02")] == [11, 14]
        with pytest.raises(OptionError, match="expected one that counts on from 01:00:00:00, 00:30:00:00"):
            source.frame_number("00:29:59:23")
        assert source.header(14, Fraction(24)).timecode == "00:30:00:02"
