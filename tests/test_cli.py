"""The command line, in this process: how it helps, fails and ends."""

import os
import re
import subprocess
import sys
from inspect import signature

import numpy as np
import pytest

import fastup
from fastup import cli

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
    assert set(names) == {
        "demo", "info", "convert", *CHORES, "match", "pairs", "rank", "train", "models", "export", "upscale",
        "evaluate",
    }  # fmt: skip


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
        ["info", film], *([*command, film] for command in folders),
    ):  # fmt: skip
        fails(run(*arguments), 1, film, "a video, expected", "fastup extract")
    fails(run("degrade", tmp_path, "out"), 1, tmp_path, "no frames here", "fastup extract", film.name)


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


def test_the_extra_of_pairs_is_named():
    script = "import sys; sys.modules['xxhash'] = None; import fastup.cli; fastup.cli.main()"
    done = subprocess.run([sys.executable, "-c", script, "pairs", "."], capture_output=True, text=True)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert "xxhash is not installed; this command needs: pip install 'fastup[train]'" in " ".join(done.stderr.split())


def test_ctrl_c_says_how_to_go_on(run, monkeypatch, tmp_path):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("fastup.upscale.film.opened", interrupted)
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
    def opened(*_, **__):
        fastup.write(tmp_path / "f.dpx", np.full((2, 2, 3), np.nan, np.float32))

    monkeypatch.setattr("fastup.upscale.film.opened", opened)
    fails(run("upscale", "m.keras", tmp_path, tmp_path / "out"), 1, "f.dpx", "NaN", "nothing was written")
    assert list(tmp_path.iterdir()) == []
