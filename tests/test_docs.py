"""The documents: their scripts run, their commands and options exist, and their links lead somewhere."""

import itertools
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import telecined
import typer

import fastup
from fastup import cli
from fastup.footage import pipe
from fastup.train.config import SETTINGS

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMANDS = typer.main.get_command(cli.app).commands
COMMAND = re.compile(r"(?:\S*/)?fastup (?=[a-z])(.*)")

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def blocks(page, language):
    return [text for kind, text in BLOCK.findall(page.read_text()) if kind == language]


@pytest.fixture
def demo_folder(trained, tmp_path, monkeypatch):
    """Go to a folder with what the documents' scripts work on: demo/, of a small run, and tape/, interlaced frames."""
    demo = tmp_path / "demo"
    demo.mkdir()
    for name in ("train", "validation", "evaluation", "models"):
        (demo / name).symlink_to(trained.parents[1] / name)
    for number, planes in enumerate(telecined.make(telecined.Case(frames=80, chroma="none"), 0).frames):
        frame = np.repeat(planes[0][..., np.newaxis], 3, axis=2).astype(np.uint16)
        (tmp_path / "tape").mkdir(exist_ok=True)
        fastup.write(tmp_path / "tape" / f"{number:04d}.dpx", frame * 4)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", ["README.md", "docs/scripts.md"])
def test_scripts_run(name, demo_folder, run):
    """From top to bottom, each with the names of those before it."""
    names = {}
    for text in blocks(ROOT / name, "python"):
        exec(compile(text, name, "exec"), names)
    run("upscale", "demo/models/compact/best.keras", "demo/evaluation/Alpha", "upscaled")
    for path in fastup.find("upscaled"):  # as they say
        assert path.read_bytes() == Path("demo", "hd", path.name).read_bytes()


@pages
def test_commands_are_right(page, monkeypatch):
    """As the command line takes them: `fastup` and its options, in blocks of code."""
    monkeypatch.setattr(pipe, "take_stdout", lambda: None)  # the tests print, too
    for text in blocks(page, ""):
        for line in itertools.chain.from_iterable(line.split(" | ") for line in text.splitlines()):
            if found := COMMAND.fullmatch(line.removeprefix("$ ").split("  ")[0].strip()):
                words = shlex.split(found[1].replace("...", "").split(" >")[0], comments=True)
                names = words.pop(0).split("|")
                for name in names:
                    assert name in COMMANDS, line
                if len(names) == 1:
                    COMMANDS[names[0]].make_context(names[0], [word.strip("[]") for word in words])


@pages
def test_options_exist(page):
    """Those of a command that stands between backticks, as in `fastup pairs DATA --clear-cache`."""
    for line in re.findall(r"`([^`\n]+)`", BLOCK.sub("", page.read_text())):
        if found := COMMAND.fullmatch(line):
            name, *words = shlex.split(found[1])
            assert name in COMMANDS, line
            options = {option for each in COMMANDS[name].params for option in (*each.opts, *each.secondary_opts)}
            assert {word for word in words if word.startswith("--")} <= options, line


def as_written(name, setting):
    """A setting's default, as the table of options has it."""
    if setting.default is None:
        return setting.metadata["absent"]
    if isinstance(setting.default, bool):
        return name if setting.default else f"no-{name}"
    if isinstance(setting.default, tuple):
        return ",".join(map(str, setting.default))
    return f"{setting.default:g}" if isinstance(setting.default, float) else str(setting.default)


def test_each_option_of_training_has_a_row_with_its_default():
    rows = re.findall(r"^\| (`--.*?) \| (.*?) \|", (ROOT / "docs" / "training.md").read_text(), re.MULTILINE)
    given = [[*option.opts, *option.secondary_opts] for option in COMMANDS["train"].params if option.name != "data"]
    assert sorted(re.findall(r"`(.*?)`", options) for options, _ in rows) == sorted(given)
    defaults = {options.split("`")[1]: default.replace("`", "") for options, default in rows}
    for name, setting in SETTINGS.items():
        assert defaults[f"--{name}"] == as_written(name, setting)


def anchors(page):
    """What GitHub makes of headings."""
    headings = re.findall(r"^#+ (.*)$", BLOCK.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pages
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", BLOCK.sub("", page.read_text())):
        if not link.startswith("http"):
            path, _, anchor = link.partition("#")
            there = page.parent / path if path else page
            assert there.exists(), link
            assert not anchor or anchor in anchors(there), link


def test_info_prints_what_the_page_shows(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    header = fastup.Header.new(
        720, 480, big_endian=False, pixel_aspect=9 / 8, transfer=3, timecode="01:00:10;04", frame_rate=30000 / 1001,
        frame_position=302, creator="Compressor", low_code=None, high_code=None,
    )  # fmt: skip
    fastup.write("tape0001.dpx", np.zeros((480, 720, 3), np.uint16), header)
    (shown,) = (text for text in blocks(ROOT / "docs" / "formats.md", "") if text.startswith("$ fastup info "))
    code, printed, _ = run("info", "tape0001.dpx")
    assert code == 0
    assert [line.rstrip() for line in printed.splitlines()] == shown.splitlines()[1:]


def test_the_layout_has_a_line_for_each_file():
    """ARCHITECTURE's, of fastup/, folder by folder."""
    layout = re.search(r"^fastup/\n(.*?)^bench/", (ROOT / "ARCHITECTURE.md").read_text(), re.MULTILINE | re.DOTALL)[1]
    named, folder = set(), ""
    for line in layout.splitlines():
        indent, words = len(line) - len(line.lstrip()), line.split()
        if indent <= 4:
            names = list(itertools.takewhile(re.compile(r"[\w./]+\.\w+|\w+/").fullmatch, words))
            folder = names[0] if names[0].endswith("/") else folder if indent == 4 else ""
            named |= {folder + name for name in names if not name.endswith("/")}
    there = {str(path.relative_to(ROOT / "fastup")) for path in (ROOT / "fastup").rglob("*")}
    kept = {name for name in there if name.endswith((".py", ".pyi", ".pyx", ".h", ".cpp"))}
    assert kept - {f"{folder}/__init__.py" for folder in there} == named - {"cli/__init__.py"}
