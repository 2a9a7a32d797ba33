"""The command line, in this process: what it prints, and how it ends."""

import json
import os
import re
import subprocess
import sys
import tomllib
from fractions import Fraction
from inspect import signature

import numpy as np
import pytest

import fastup
from fastup import cli
from fastup.cli import show, train, upscale
from fastup.header import Header
from fastup.train.config import ABSENT, OPTIONS, Config


@pytest.fixture
def frame(tmp_path):
    path = tmp_path / "f0001.dpx"
    header = Header.new(
        720, 480, big_endian=False, pixel_aspect=Fraction(8, 9), timecode="01:02:03:04",
        frame_rate=24000 / 1001, frame_position=86,
    )  # fmt: skip
    fastup.write(path, np.full((480, 720, 3), 512, np.uint16), header)
    return path


CHORES = ("extract", "detelecine", "degrade", "dehalo", "convert")


def fails(result, code, *words, lines=1):
    """So many lines on stderr, nothing on stdout, that exit code."""
    found, out, err = result
    assert found == code, err
    assert out == ""
    assert len(err.splitlines()) == lines, err
    assert err.startswith("fastup: ")
    assert "Traceback" not in err
    for word in words:
        assert str(word) in err, err


def test_help_names_every_command(run):
    code, out, _ = run("--help")
    assert code == 0
    _, _, listed = out.partition("\nCommands:\n")
    names = re.findall(r"^  (\S+) {2,}\S", listed, re.MULTILINE)
    assert names == [each.callback.__name__ for each in cli.app.registered_commands]
    assert {"demo", "info", "convert", *CHORES, "pairs", "rank", "train", "models", "upscale", "evaluate"} == set(names)


def test_completion_of_a_shell_that_is_named(run, monkeypatch):
    code, script, err = run("--show-completion", "bash")
    assert (code, err) == (0, "")
    assert "complete -o default -F" in script
    assert "_FASTUP_COMPLETE=complete_bash" in script
    fails(run("--show-completion", "nosuchshell"), 2, "nosuchshell", "'zsh'")
    for words, found in (
        ("fastup tra", "train"),
        ("fastup train --qual", "--quality"),
        ("fastup train --model v", "vdsr"),
    ):
        environment = {"COMP_WORDS": words, "COMP_CWORD": str(words.count(" ")), "_FASTUP_COMPLETE": "complete_bash"}
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        assert run() == (0, f"{found}\n", "")


def test_no_arguments_is_help_and_a_usage_error(run):
    code, out, err = run()
    assert code == 2
    assert "Commands:" in out.splitlines()
    assert err == ""


def test_version(run):
    assert run("--version") == (0, f"fastup {fastup.__version__}\n", "")


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


def shell(line, *arguments, **environment):
    """What a shell makes of a line in which "$@" is fastup and its arguments: exit code of fastup, stdout, stderr."""
    script = f'F() {{ "{sys.executable}" -c "from fastup.cli import main; main()" "$@"; }}; {line}'
    done = subprocess.run(["bash", "-c", script, "bash", *arguments], capture_output=True, env=os.environ | environment)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ('F info "$1" >&-', 0, ""),
        ('F info "$1" >&- 2>&- <&-', 0, ""),
        ('F info "$1.none" 2>&-', 1, ""),
        ('F info "$1.none" 2>/dev/full', 1, ""),
        ('F info "$1" > /dev/full', 1, "fastup: standard output: No space left on device\n"),
        ('F info --json "$1" > /dev/full', 1, "fastup: standard output: No space left on device\n"),
        ("F --help > /dev/full", 1, "fastup: standard output: No space left on device\n"),
        ('F info --json "$1" | true; exit ${PIPESTATUS[0]}', 1, ""),
        ('F info "$1" | true; exit ${PIPESTATUS[0]}', 1, ""),
    ],
)
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is full")
def test_a_standard_stream_that_is_closed_or_full(frame, line, code, said, unbuffered):
    assert shell(line, frame, PYTHONUNBUFFERED=unbuffered) == (code, "", said)


def test_a_closed_stream_is_no_place_for_a_file(frame, tmp_path):
    """The first file that is opened would take its number, and what a library prints would go into the picture."""
    copy = tmp_path / "out" / frame.name
    assert shell('F convert "$1" "$2" >&- <&-', frame, copy)[::2] == (0, "")
    assert copy.read_bytes() == frame.read_bytes()


@pytest.mark.parametrize(
    "environment",
    [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}],
)
def test_an_ascii_terminal_gets_escapes(frame, tmp_path, environment):
    name = tmp_path / "Zo\u00eb.dpx"
    name.write_bytes(frame.read_bytes())
    code, out, err = shell('F info "$1"; F info "$1.none"; true', name, **environment)
    assert code == 0
    assert re.search(r"Zo(\\xeb|\\udcc3\\udcab)\.dpx", out.splitlines()[0])
    assert "No such file" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("name", ["p.dpx", "p.png", "p.mov", "p"])
def test_a_pipe_is_named_and_not_waited_for(run, tmp_path, name):
    os.mkfifo(tmp_path / name)
    for command, *out in (["info"], *([other, tmp_path / "out.dpx"] for other in CHORES)):
        fails(run(command, tmp_path / name, *out), 1, tmp_path / name, "a pipe or a device")
    fails(run("info", "/dev/null"), 1, "a pipe or a device")


def test_a_video_is_pointed_to_extract(run, tmp_path):
    film = tmp_path / "FILM.MOV"
    film.write_bytes(b"")
    folders = (["train"], ["pairs"], ["rank"], ["evaluate", "m.keras"])
    for arguments in (
        ["info", film], *([*command, film] for command in folders), ["upscale", "m.keras", film, "out"],
        *([command, film, "out.dpx"] for command in CHORES if "tele" not in command and command != "extract"),
    ):  # fmt: skip
        fails(run(*arguments), 1, film, "a video, expected", "fastup extract")
    fails(run("degrade", tmp_path, "out"), 1, tmp_path, "no frames here", "fastup extract", film.name)


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


def test_gaps_between_frames_are_noted_where_each_stays_itself(run, tmp_path):
    (tmp_path / "in").mkdir()
    for n in (1, 2, 3, 5, 6, 9):
        fastup.write(tmp_path / "in" / f"f{n}.dpx", np.full((480, 720, 3), n, np.uint16), fsync=False)
    note = "note: f1.dpx to f9.dpx: 3 numbers are missing (4, 7 to 8); the others keep their names\n"
    assert run("convert", tmp_path / "in", tmp_path / "png", "--format", "png")[1].endswith(note)
    assert run("degrade", tmp_path / "in", tmp_path / "sd", "--size", "32x32")[1].endswith(note)
    assert run("dehalo", tmp_path / "in", tmp_path / "out", "--kernel", "0.5:1")[1].endswith(note)
    for n in (5, 6):  # chosen frames: more is missing than there is
        (tmp_path / "in" / f"f{n}.dpx").unlink()
    assert "note" not in run("convert", tmp_path / "in", tmp_path / "png", "--format", "png")[1]
    assert "note" not in run("convert", tmp_path / "in" / "f1.dpx", tmp_path / "f.png")[1]


ODD = "[bold] odd\n[red] \\"


def misuses(folder):
    """Inputs that people give by mistake, by what they are."""
    (folder / ODD).mkdir()
    (folder / ODD / "empty [0]\n.dpx").write_bytes(b"")
    (folder / "folder.dpx").mkdir()
    (folder / "in").mkdir()
    (folder / "in" / "folder.dpx").mkdir()
    (folder / "loop").symlink_to("loop")
    (folder / "gone.dpx").symlink_to("nowhere.dpx")
    for name in ("text.dpx", "text.png", "text", "text.keras"):
        (folder / name).write_text("hello")
    for suffix in ("dpx", "png", "exr", "mov", "keras"):
        (folder / f"empty.{suffix}").write_bytes(b"")
    return [*folder.iterdir(), folder / "missing", folder / "missing.dpx", folder / "text" / "x", folder / ("x" * 300)]


@pytest.mark.parametrize("command", ["info", "pairs", "rank", *CHORES])
def test_misuse_is_one_line(run, tmp_path, command):
    output = [tmp_path / "out.dpx"] if command in CHORES else []
    for path in misuses(tmp_path):
        code, out, err = run(command, path, *output)
        assert code in (1, 2), (path, out, err)
        assert err.count("\n") == (command != "info" or path.name != ODD)  # whose table has what cannot be read
        assert not output[0].exists() if output else True


@pytest.mark.parametrize("command", CHORES)
def test_outputs_that_cannot_be_are_one_line(run, frame, tmp_path, command):
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "text").write_text("hello")
    more = {"detelecine": ["--force"], "convert": ["--format", "png"], "dehalo": ["--kernel", "0.5:1"]}.get(command, [])
    (tmp_path / "in").mkdir()
    for n in range(6 if command == "detelecine" else 1):
        (tmp_path / "in" / f"f{n}.dpx").write_bytes(frame.read_bytes())
    for place in (tmp_path / "loop", tmp_path / "text", tmp_path / "text" / "x", tmp_path / ("x" * 300), "/proc/x"):
        code, out, err = run(command, tmp_path / "in", place, *more)
        assert code in (1, 2), (place, out, err)
        assert (err.count("\n"), "Traceback" in err) == (1, False)
    assert (tmp_path / "text").read_text() == "hello"
    if command == "dehalo":
        fails(run("dehalo", tmp_path / "in", tmp_path / "out", "--pairs", tmp_path / "loop"), 1, "loop")


def test_one_bad_file_prints_none(run, frame, tmp_path):
    fails(run("info", frame, tmp_path / "none.dpx"), 1, "none.dpx")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--quality", "0"], ["quality is 0", "more than 0 and at most 1"]),
        (["--quality", "1.5"], ["quality is 1.5"]),
        (["--quality", "nan"], ["quality is nan"]),
        (["--quality", "much"], ["--quality", "number"]),
        (["--model", "edsr"], ["--model", "edsr", "compact"]),
        (["--trim", "1,2,3"], ["trim is '1,2,3'", "left,right,top,bottom"]),
        (["--trim=-1,0,0,0"], ["trim", "0 or more"]),
        (["--input-trim", "a,b,c,d"], ["input-trim is 'a,b,c,d'"]),
        (["--black-level", "dark"], ["black-level is 'dark'", "edge"]),
        (["--black-level=-3"], ["black-level"]),
        (["--skip", "4"], ["skip is 4", "0 to 3"]),
        (["--tile", "0"], ["tile is 0", "1 or more"]),
        (["--epochs", "0"], ["epochs is 0"]),
        (["--more-epochs", "0"], ["--more-epochs"]),
        (["--minutes", "0"], ["minutes is 0", "more than 0"]),
        (["--learning-rate", "0"], ["learning-rate is 0"]),
        (["--batch", "0"], ["batch is 0"]),
        (["--batch", "many"], ["batch is 'many'", "'auto' or a whole number"]),
        (["--patience", "0"], ["patience is 0", "1 or more"]),
        (["--schedule", "step"], ["--schedule", "step", "cosine"]),
        (["--ema", "1"], ["ema is 1.0", "less than 1"]),
        (["--precision", "float64"], ["--precision", "float64", "bfloat16"]),
        (["--threads", "0"], ["threads is 0", "1 to 64"]),
        (["--checkpoint-minutes", "0"], ["checkpoint-minutes is 0", "more than 0"]),
        (["--print-config", "--tile", "0"], ["tile is 0"]),
        (["--seed=-1"], ["seed is -1"]),
        (["--no-such-option"], ["no-such-option"]),
    ],
)
def test_usage_errors_end_with_2_and_one_line(run, tmp_path, monkeypatch, arguments, words):
    monkeypatch.setattr(train, "start", lambda: pytest.fail("Keras is loaded before options are checked"))
    fails(run("train", tmp_path, *arguments), 2, *words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        ("quality = 2", 2, ["quality is 2", "at most 1"]),
        ("quality =", 2, ["not TOML", "line 1"]),
        ("learning_rate = 0.1", 2, ["learning_rate", "did you mean 'learning-rate'"]),
        (None, 1, ["No such file"]),
    ],
)
def test_errors_in_a_config_file_are_one_line(run, tmp_path, monkeypatch, content, code, words):
    monkeypatch.setattr(train, "start", lambda: pytest.fail("Keras is loaded before options are checked"))
    path = tmp_path / "run.toml"
    if content is not None:
        path.write_text(content + "\n")
    # What is wrong in it is told even where the command line would beat it.
    fails(run("train", tmp_path, "--config", path, "--quality", "0.5"), code, path, *words)


# Every setting as it may be given, and as a file has it; none is a default.
SETTINGS = {
    "--model": ("vdsr", "vdsr"),
    "--epochs": ("3", 3),
    "--minutes": ("1.5", 1.5),
    "--patience": ("2", 2),
    "--tile": ("72", 72),
    "--border": ("18", 18),
    "--trim": ("240,240,1,0", [240, 240, 1, 0]),
    "--input-trim": ("0,0,3,3", [0, 0, 3, 3]),
    "--black-level": ("64", 64),
    "--quality": ("0.25", 0.25),
    "--no-jitter": (None, False),
    "--skip": ("1", 1),
    "--no-shuffle": (None, False),
    "--augment": (None, True),
    "--no-residual": (None, False),
    "--learning-rate": ("1e-5", 1e-5),
    "--schedule": ("linear", "linear"),
    "--ema": ("0.99", 0.99),
    "--batch": ("auto", "auto"),
    "--precision": ("bfloat16", "bfloat16"),
    "--seed": ("7", 7),
    "--threads": ("3", 3),
    "--checkpoint-minutes": ("0.5", 0.5),
    "--tensorboard": (None, True),
}


def test_every_setting_goes_to_the_file_and_back(run, tmp_path):
    nowhere, path = tmp_path / "nowhere", tmp_path / "run.toml"
    arguments = [text for option, (value, _) in SETTINGS.items() for text in (option, value) if text is not None]
    code, text, err = run("train", nowhere, *arguments, "--print-config")
    assert (code, err) == (0, "")
    assert tomllib.loads(text) == {
        option.removeprefix("--").removeprefix("no-"): value for option, (_, value) in SETTINGS.items()
    }
    assert list(tomllib.loads(text)) == list(OPTIONS)
    assert text.count(" # command line\n") == len(SETTINGS)
    path.write_text(text)
    code, again, err = run("train", nowhere, "--config", path, "--print-config")
    assert (code, err) == (0, "")
    assert again == text.replace(" # command line", " # run.toml")
    assert list(tmp_path.iterdir()) == [path]


def test_settings_come_from_the_strongest_place(run, tmp_path):
    path = tmp_path / "run.toml"
    path.write_text("model = 'vdsr'\ntile = 72\njitter = false\n")
    code, text, _ = run("train", tmp_path, "--config", path, "--tile", "60", "--jitter", "--print-config")
    assert code == 0
    lines = [line.removeprefix("# ").split(" # ") for line in text.splitlines()[1:]]
    lines = [line for line in lines if " = " in line[0]]
    places = {line.split(" = ")[0]: (line.split(" = ")[1].strip(), place) for line, place in lines}
    assert places["model"] == ('"vdsr"', "run.toml")
    assert places["learning-rate"] == ("0.0001", "model")
    assert places["tile"] == ("60", "command line")
    assert places["jitter"] == ("true", "command line")
    assert places["batch"] == ("16", "default")
    assert "# border =                      # default: the smallest that fits of 2 or more\n" in text
    code, text, _ = run("train", tmp_path, "--config", path, "--model", "espcn", "--print-config")
    assert re.search("^# learning-rate = 0.001 +# model$", text, re.MULTILINE)
    assert tomllib.loads(text) == {"model": "espcn", "tile": 72, "jitter": False}  # what somebody chose
    code, text, _ = run("train", "--print-config")
    assert (code, tomllib.loads(text)) == (0, {})
    fails(run("train"), 2, "DATA is missing")


def test_help_shows_every_default(run):
    code, out, _ = run("train", "--help")
    assert code == 0
    words = re.sub(r"\s", "", out)
    for option, name in OPTIONS.items():
        default = getattr(Config(), name)
        if default is None:
            default = ABSENT[name]
        elif isinstance(default, bool):
            default = option if default else f"no-{option}"
        elif isinstance(default, tuple):
            default = "0,0,0,0"
        elif isinstance(default, float):
            default = str(int(default))
        _, _, after = words.partition(f"--{option}")
        assert re.match(r"[^\[\]]*\[default:" + re.escape(re.sub(r"\s", "", str(default))) + r"\]", after), option


def table(out):
    """The settings that `fastup train` prints, by name: value and place."""
    title, *lines = out.partition("\nepoch ")[0].splitlines()
    assert title.strip() == "settings"
    rows = [re.split(r" {2,}", line.strip()) for line in lines]
    return {name: tuple(cells) for name, *cells in rows}


def test_the_table_says_where_settings_came_from(run, data, tmp_path):
    path = tmp_path / "[run].toml"
    path.write_text("model = 'espcn'\nquality = 0.1\nepochs = 5\nseed = 3\n")
    given = ["--epochs", "1", "--no-residual", "--batch", "4", "--no-augment"]
    code, out, err = run("train", data, "--config", path, *given)
    assert (code, err) == (0, "")
    rows = table(out)
    assert {name: cells[1] for name, cells in rows.items() if len(cells) == 2} == {
        "model": "[run].toml", "epochs": "command line", "tile": "frames", "border": "frames", "trim": "default",
        "input-trim": "frames", "black-level": "default", "quality": "[run].toml", "jitter": "default",
        "skip": "default", "shuffle": "default", "augment": "command line", "residual": "command line",
        "learning-rate": "model", "schedule": "default", "batch": "command line", "precision": "default",
        "seed": "[run].toml", "checkpoint-minutes": "default",
    }  # fmt: skip
    facts = {name for name, cells in rows.items() if len(cells) == 1}
    assert facts >= {"data", "pictures", "shapes", "tiles", "output"}
    assert rows["model"][0].startswith("espcn, ")
    assert rows["epochs"][0] == "1 in all, 0 done"
    assert rows["tile"][0] == "72 target pixels, 36x32 input pixels"
    assert (rows["quality"][0], rows["residual"][0], rows["learning-rate"][0]) == ("0.1", "no", "0.001")
    # It goes on with what it has, but for what is given; the batch stays, too.
    arguments = "--name", "espcn", "--more-epochs", "1", "--batch", "auto", "--learning-rate", "1e-4", "--skip", "0"
    code, text, err = run("train", data, *arguments, "--print-config")
    assert (code, err) == (0, "")
    given = tomllib.loads(text)
    assert (given["model"], given["quality"], given["residual"], given["epochs"]) == ("espcn", 0.1, False, 1)
    assert (given["batch"], given["learning-rate"]) == ("auto", 1e-4)
    code, out, err = run("train", data, *arguments)
    assert (code, err) == (0, "")
    rows = table(out)
    changed = {"batch": "auto", "learning-rate": "command line", "skip": "command line", "epochs": "command line"}
    assert {name: cells[1] for name, cells in rows.items() if len(cells) == 2} == dict.fromkeys(
        ("model", "tile", "border", "trim", "input-trim", "black-level", "quality", "jitter", "shuffle", "residual",
         "schedule", "precision", "seed", "checkpoint-minutes"), "run",
    ) | changed  # fmt: skip
    assert (rows["batch"][0], rows["learning-rate"][0], rows["skip"][0]) == ("4", "0.0001 (was 0.001)", "0")
    assert (rows["quality"][0], rows["residual"][0], rows["seed"][0]) == ("0.1", "no", "3")
    assert rows["epochs"][0].startswith("2 (was 1) in all, 1 done ")
    assert "augment" not in rows


@pytest.mark.parametrize("arguments", [["train"], ["upscale", "m.keras"], ["evaluate"], ["sharpen"], ["info"]])
def test_missing_arguments_end_with_2(run, arguments):
    fails(run(*arguments), 2)


def test_unexpected_errors_are_not_swallowed(run, monkeypatch, frame):
    monkeypatch.setattr("fastup.summary.summary", lambda *_: 1 / 0)
    monkeypatch.setattr(sys, "argv", ["fastup", "info", str(frame)])
    with pytest.raises(ZeroDivisionError):
        cli.main()


def test_a_missing_extra_is_named(run, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "keras", None)
    monkeypatch.delitem(sys.modules, "fastup.networks.models", raising=False)
    fails(run("models"), 1, "keras is not installed", "pip install 'fastup[train]'")


def test_models_lists_every_architecture(run):
    code, out, _ = run("models", "--json")
    rows = json.loads(out)
    assert code == 0
    assert [row["model"] for row in rows] == ["srcnn", "vdsr", "espcn", "compact"]
    assert all(row["parameters"] > 10_000 for row in rows)
    code, out, _ = run("models")
    assert code == 0
    assert all(f"{row['parameters']:,}" in out for row in rows)


def test_the_whole_road(run, tmp_path, monkeypatch):
    """demo, then train on, evaluate and upscale what it left, at a small size."""
    from fastup import demo

    full = demo.write_data
    monkeypatch.setattr(
        demo,
        "write_data",
        lambda folder, **more: full(
            folder, size=(270, 360), sd_size=(120, 180), train=2, validation=1, evaluation=2, **more
        ),
    )
    folder = tmp_path / "demo"
    code, out, err = run("demo", folder, "--minutes", "0.1")
    assert code == 0, err
    assert err == ""
    assert re.search(r"^ *quality +0\.5 +demo *$", out, re.MULTILINE)
    assert re.fullmatch(r"gain over bicubic on unseen frames: [+-]\d+\.\d\d dB", out.splitlines()[-1])
    assert str(folder / "comparison.png") in out
    assert (folder / "comparison.png").read_bytes()[:4] == b"\x89PNG"
    best = folder / "models" / "compact" / "best.keras"
    originals = fastup.find(folder / "evaluation" / "Alpha")
    assert [p.name for p in fastup.find(folder / "upscaled")] == [p.name for p in originals]
    assert fastup.read(folder / "upscaled" / originals[0].name).shape == (270, 360, 3)

    done = json.loads((folder / "models" / "compact" / "state.json").read_text())["epoch"]
    fails(run("train", folder, "--epochs", "1"), 2, f"{done} epochs are done", "--more-epochs")
    code, out, err = run("train", folder, "--more-epochs", "1", "--skip", "3", "--learning-rate", "1e-4")
    assert (code, err) == (0, "")
    for word in ("settings", "learning-rate", "0.0001", "9/4 x 2", f"epoch {done + 1} ", f"{done} done", "tiles/s"):
        assert word in out

    code, out, err = run("evaluate", best, folder, "--json")
    scores = json.loads(out)
    assert (code, err) == (0, "")
    assert [score["frame"] for score in scores] == [*(p.stem for p in originals), "mean"]
    code, table, _ = run("evaluate", best, folder)
    assert code == 0
    for score in scores:
        assert f"{score['psnr']:.2f}" in table
        assert f"{score['psnr_bicubic']:.2f}" in table
        assert f"{score['ssim_y']:.4f}" in table

    code, out, _ = run("upscale", best, folder / "evaluation" / "Alpha", tmp_path / "out")
    assert (code, out.split()[:2]) == (0, ["2", "frames"])
    code, out, _ = run("upscale", best, folder / "evaluation" / "Alpha", tmp_path / "out")
    assert (code, out.split()[0]) == (0, "0")
    assert "2 were there already" in out

    empty = tmp_path / "empty"
    empty.mkdir()
    fails(run("upscale", best, empty, tmp_path / "nothing"), 1, empty, "no frames")
    assert not (tmp_path / "nothing").exists()
    fails(run("upscale", best, folder / "evaluation" / "Alpha", best), 1, best)
    broken = tmp_path / "broken.keras"
    broken.write_text("hello")
    fails(run("evaluate", broken, folder), 1, broken, "not a model")
    fails(run("upscale", tmp_path / "none.keras", folder, tmp_path / "out"), 1, "none.keras", "No such file")


def test_ctrl_c_says_how_to_go_on(run, monkeypatch, tmp_path):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(upscale, "_upscale", interrupted)
    fails(run("upscale", "m.keras", tmp_path, tmp_path / "out"), 1, "stopped", "the same command carries on")


def test_commands_that_skip_what_is_there_carry_on(run, monkeypatch, tmp_path):
    commands = [each.callback for each in cli.app.registered_commands]
    skipping = {each.__name__ for each in commands if "overwrite" in signature(each).parameters}
    assert {each.__name__ for each in commands if hasattr(each, "carries_on")} == skipping | {"train", "rank"}

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("fastup.footage.dehalo.prepare", interrupted)
    fails(run("dehalo", tmp_path, tmp_path / "out"), 1, "stopped", "the same command carries on")


def test_a_frame_that_cannot_be_written_is_one_line(run, monkeypatch, tmp_path):
    monkeypatch.setattr(
        upscale, "_upscale", lambda *_: fastup.write(tmp_path / "f.dpx", np.full((2, 2, 3), np.nan, np.float32))
    )
    fails(run("upscale", "m.keras", tmp_path, tmp_path / "out"), 1, "f.dpx", "NaN", "nothing was written")
    assert list(tmp_path.iterdir()) == []


def test_training_on_nothing(run, tmp_path):
    folders = tmp_path / "train", tmp_path / "validation"
    fails(run("train", tmp_path), 1, "2 problems", *folders, lines=3)
    for folder in folders:
        for side in ("Alpha", "Beta"):
            (folder / side).mkdir(parents=True)
    fails(run("train", tmp_path), 1, "4 problems", "no frames", *(folder / "Alpha" for folder in folders), lines=5)
    (folders[0] / "Alpha").rmdir()
    fails(run("train", tmp_path), 1, "4 problems", folders[0], "no folder Alpha", lines=5)
