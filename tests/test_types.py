"""The types that a script sees."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import fastup

SCRIPT = Path(__file__).with_name("typed_script.py")


ROOT = Path(fastup.__file__).parents[1]


@pytest.fixture(scope="session")
def cache(shared):
    """What mypy finds of NumPy takes longest, and is the same for all."""
    return shared("mypy", lambda folder: None)


def strict(script, folder, cache):
    """What ``mypy --strict`` says of a script, from a folder without settings."""
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", f"--cache-dir={cache}", script]
    environment = {**os.environ, "MYPYPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True).stdout


def test_a_script_finds_the_right_types(cache, tmp_path):
    assert strict(SCRIPT, tmp_path, cache) == "Success: no issues found in 1 source file\n"
    wrong = tmp_path / "wrong.py"
    wrong.write_text('import fastup\nfastup.read(1)\nfastup.raed("f")\nx: str = fastup.read_header("f").width\n')
    said = strict(wrong, tmp_path, cache)
    for line, fault in ((2, "[call-overload]"), (3, "[attr-defined]"), (4, "[assignment]")):
        assert any(row.startswith(f"{wrong.name}:{line}: ") and fault in row for row in said.splitlines()), said


@pytest.mark.skipif(not (ROOT / "pyproject.toml").exists(), reason="not a checkout")
def test_a_script_in_the_checkout_finds_them_too(cache):
    command = [sys.executable, "-m", "mypy", "--strict", f"--cache-dir={cache}", SCRIPT]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.stdout == "Success: no issues found in 1 source file\n"


def test_the_script_uses_every_public_name():
    tree = ast.parse(SCRIPT.read_text())
    used = {
        node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "fastup"
    }
    assert used == set(fastup.__all__)
