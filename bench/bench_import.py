"""What starting costs, in fresh processes: importing fastup, and the commands that only look at a file."""

import subprocess
import sys
from pathlib import Path

import pytest

import fastup

HEAVY = ("tensorflow", "keras", "numba", "OpenImageIO")
SCRIPTS = Path(sys.executable).parent

# Runs the command line in this process and names the heavy modules that it brought along.
RUN = f"""
import sys
from fastup.cli import main
try:
    main()
finally:
    print(*[name for name in {HEAVY} if name in sys.modules], file=sys.stderr)
"""


@pytest.fixture(scope="module")
def frame(tmp_path_factory, picture):
    path = tmp_path_factory.mktemp("import") / "frame.dpx"
    fastup.write(path, picture((480, 720)))
    return path


def process(*command):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done


def python(code):
    return process(sys.executable, "-c", code)


def test_import_against_numpy(against):
    against(
        lambda: python("import fastup"),
        lambda: python("import numpy"),
        rounds=21,
        at_most=1.5,
        label="import fastup: import numpy",
    )


def test_first_use_against_openimageio(against):
    """The names are found when they are first used, so the codec is loaded here."""
    against(
        lambda: python("import fastup; fastup.read"),
        lambda: python("import numpy, OpenImageIO"),
        rounds=15,
        label="import fastup; fastup.read: import numpy, OpenImageIO",
    )


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [(["--help"], "upscale"), (["info", "FILE"], "720x480"), (["info", "--json", "FILE"], '"width": 720')],
    ids=["help", "info", "json"],
)
def test_commands_import_nothing_heavy(frame, arguments, printed):
    arguments = [frame if argument == "FILE" else argument for argument in arguments]
    done = process(sys.executable, "-c", RUN, *arguments)
    assert printed in done.stdout
    assert done.stderr.split() == []


def test_help_against_oiiotool(against):
    against(
        lambda: process(SCRIPTS / "fastup", "--help"),
        lambda: process(SCRIPTS / "oiiotool", "--help"),
        rounds=11,
        label="fastup --help: oiiotool --help",
    )


def test_info_against_oiiotool(against, frame):
    assert "720x480" in process(SCRIPTS / "fastup", "info", frame).stdout
    assert "720 x  480" in process(SCRIPTS / "oiiotool", "--info", "-v", frame).stdout
    against(
        lambda: process(SCRIPTS / "fastup", "info", frame),
        lambda: process(SCRIPTS / "oiiotool", "--info", "-v", frame),
        rounds=11,
        label="fastup info FILE: oiiotool --info -v FILE",
    )
