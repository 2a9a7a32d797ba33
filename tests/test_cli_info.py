"""What `fastup info` says of frames and folders."""

import json
from fractions import Fraction

import numpy as np
from test_cli import fails

import fastup
from fastup.cli import show
from fastup.header import Header


def test_info_reads_like_a_sentence(run, frame):
    code, out, err = run("info", frame)
    assert (code, err) == (0, "")
    words = " ".join(out.split())
    for part in ("720x480, 10-bit RGB, method A, from byte 2048", "little-endian", "timecode 01:02:03:04", "8:9",
                 "1.333:1", "23.976 frames/s", "frame position 86"):  # fmt: skip
        assert part in words
    assert "undefined" not in words
    assert "transfer" not in words  # undefined, so not shown
    assert "odd: " not in out


def test_info_says_what_is_odd_under_each_table(run, frame, tmp_path):
    odd = tmp_path / "odd.dpx"
    odd.write_bytes(frame.read_bytes())
    header = fastup.read_header(frame).replace(
        pixel_aspect=Fraction(9, 8), packing=2, creator="[red]Zo\u00eb[/red]" * 5
    )
    odd.write_bytes(header.raw + odd.read_bytes()[2048:])
    code, out, err = run("info", odd, frame)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    end = lines.index(str(frame))
    assert [line.startswith("odd: ") for line in lines] == [end - 3 < i < end for i in range(len(lines))]
    assert lines[end - 2].startswith(
        "odd: pixel aspect is 9:8, so that the picture is 1.688:1; 8:9 would make it 4:3: "
    )
    assert lines[end - 1] == "odd: codes are packed by method B: ImageMagick reads wrong ones"
    assert "10-bit RGB, method B" in out
    assert "[red]Zo\u00eb[/red]" in out
    code, out, _ = run("info", "--json", odd, frame)
    first, second = json.loads(out)
    assert [f"odd: {text}" for text in first["oddities"]] == lines[end - 2 : end]
    assert second["oddities"] == []
    assert first["flavour"] == "10-bit RGB, method B, little-endian"
    assert (first["width"], first["height"], first["channels"], first["bits"]) == (720, 480, 3, 10)


def test_info_is_yellow_on_a_terminal(run, frame, monkeypatch):
    frame.write_bytes(frame.read_bytes()[:5000])
    monkeypatch.setattr(
        show, "out", show.Console(width=160, highlight=False, force_terminal=True, color_system="standard")
    )
    _, out, _ = run("info", frame)
    assert "\x1b[33modd: image data is cut short: the file has 5000 bytes, expected 1384448 or more: no program" in out


def test_info_of_what_fastup_cannot_decode(run, frame):
    header = fastup.read_header(frame).replace(orientation=5, transfer=77)
    frame.write_bytes(header.raw)
    code, out, err = run("info", frame)
    assert (code, err) == (0, "")
    assert "odd: fastup cannot read it: orientation (byte 768) is 5, expected 0 to 3" in out
    assert "transfer 77 " in " ".join(out.split())


def test_info_of_other_formats_is_the_size_and_what_is_not_read(run, frame, tmp_path):
    import OpenImageIO as oiio

    for name, kind, channels in (("p.png", "uint8", 3), ("q.tif", "uint16", 4), ("r.exr", "float", 1)):
        image = oiio.ImageOutput.create(str(tmp_path / name))
        image.open(str(tmp_path / name), oiio.ImageSpec(7, 5, channels, kind))
        image.write_image(np.zeros((5, 7, channels), np.float32))
        image.close()
    paths = tmp_path / "p.png", tmp_path / "q.tif", tmp_path / "r.exr"
    code, out, err = run("info", *paths, frame)
    assert (code, err) == (0, "")
    words = " ".join(out.split())
    for picture in ("7x5, 8-bit RGB", "7x5, 16-bit RGBA", "7x5, 32-bit float luma"):
        assert f"bytes, not a DPX: read through OpenImageIO picture {picture} " in words
    assert words.count("byte order") == 1  # the DPX's
    assert "odd: " not in out
    *others, last = json.loads(run("info", "--json", *paths, frame)[1])
    kinds = ("8-bit RGB", 3, 8), ("16-bit RGBA", 4, 16), ("32-bit float luma", 1, 32)
    for path, (kind, channels, bits), told in zip(paths, kinds, others, strict=True):
        size = {"width": 7, "height": 5, "channels": channels, "bits": bits}
        rest = {"premultiplied": True if channels == 4 else None, "left_out": []}
        assert told == {"path": str(path), "flavour": f"{kind}, not a DPX", "oddities": [], **size, **rest}
    assert last["file"]["magic"] == "XPDS"
    fails(run("info", tmp_path / "none.png"), 1, "none.png", "No such file")


def test_info_of_several_files_and_json(run, frame, tmp_path):
    other = tmp_path / "g.dpx"
    fastup.write(other, np.zeros((2, 3, 3), np.uint16))
    code, out, _ = run("info", "--json", frame, other)
    first, second = json.loads(out)
    assert code == 0
    assert (first["path"], second["path"]) == (str(frame), str(other))
    assert first["television"]["timecode"] == "01:02:03:04"
    assert first["image"]["element"][0]["descriptor"] == 50
    assert first["source"]["pixel_aspect"] == [8, 9]
    assert second["film"]["frame_position"] is None
    assert second["image"]["width"] == 3
    assert len(second["image"]["element"]) == 1
    code, out, _ = run("info", frame, other)
    assert out.index(frame.name) < out.index(other.name)


def test_info_of_what_is_no_dpx(run, tmp_path):
    fails(run("info", tmp_path / "none.dpx"), 1, "none.dpx", "No such file")
    picture = tmp_path / "p.dpx"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(3000))
    fails(run("info", picture), 1, picture, "not a DPX", "a PNG's")
    picture.write_bytes(b"SDPX" + bytes(100))
    fails(run("info", picture), 1, picture, "cut short", "104 bytes")


def test_info_of_a_folder_says_what_sequences_it_holds(run, tmp_path):
    for n in [n for n in range(-2, 9) if n not in (0, 4, 5)]:
        header = Header.new(4, 3, timecode=f"01:00:00:{n + 2:02d}", frame_rate=24)
        fastup.write(tmp_path / f"tape.{n:05d}.dpx", np.zeros((3, 4, 3), np.uint16), header, fsync=False)
    for n in (1, 3, 5):
        fastup.write(tmp_path / f"x{n}.png", np.zeros((3, 4 + n // 5, 3), np.uint16), fsync=False)
    fastup.write(tmp_path / "alone.dpx", np.zeros((3, 4, 3), np.uint16))
    code, out, err = run("info", tmp_path)
    assert (code, err) == (0, "")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines[:9] == [
        str(tmp_path),
        "frames 8, tape.-0002.dpx to tape.00008.dpx, 16,768 bytes",
        "pictures 4x3, 10-bit RGB, method A, big-endian",
        "frame rate 24 frames/s",
        "timecode 01:00:00:00 to 01:00:00:10",
        "numbers -2 to 8",
        "missing 3: 0, 4 to 5",
        "time missing 1 between tape.-0001.dpx (01:00:00:01) and tape.00001.dpx (01:00:00:03)",
        "2 between tape.00003.dpx (01:00:00:05) and tape.00006.dpx (01:00:00:08)",
    ]
    lines = lines[1:]
    assert lines[8:13] == [
        str(tmp_path),
        f"frames 3, x1.png to x5.png, {sum((tmp_path / f'x{n}.png').stat().st_size for n in (1, 3, 5)):,} bytes",
        "pictures 4x3, 16-bit RGB, png (2)",
        "5x3, 16-bit RGB, png (1)",
        "numbers 1 to 5 by 2",
    ]
    assert lines[13].startswith("odd: x1.png to x5.png are numbered by 2")
    assert lines[14:16] == [str(tmp_path), "frames 1, alone.dpx, 2,096 bytes"]
    (told,) = json.loads(run("info", "--json", tmp_path)[1])
    assert told["path"] == str(tmp_path)
    assert [each["frames"] for each in told["sequences"]] == [8, 3, 1]
    first = told["sequences"][0]
    assert (first["numbers"], first["missing"], first["gaps"]) == ([-2, 8], 3, [[0, 0], [4, 5]])
    assert first["pictures"] == {"4x3, 10-bit RGB, method A, big-endian": 8}


def test_info_of_a_folder_names_what_cannot_be_read_and_what_is_doubled(run, tmp_path):
    for name in ("f1", "f01", "f2", "f3", "f4"):
        fastup.write(tmp_path / f"{name}.dpx", np.zeros((3, 4, 3), np.uint16), fsync=False)
    (tmp_path / "f3.dpx").write_bytes(b"SDPX")
    code, out, err = run("info", tmp_path)
    assert (code, err) == (1, "")
    words = " ".join(out.split())
    assert "doubled f01.dpx and f1.dpx have the same number" in words
    assert "odd: cannot be read: f3.dpx: header is cut short: 4 bytes" in words
    (told,) = json.loads(run("info", "--json", tmp_path)[1])
    assert len(told["sequences"][0]["unreadable"]) == 1
    (tmp_path / "empty").mkdir()
    fails(run("info", tmp_path / "empty"), 1, "no frames here")


def test_one_bad_file_prints_none(run, frame, tmp_path):
    fails(run("info", frame, tmp_path / "none.dpx"), 1, "none.dpx")
