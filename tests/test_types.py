"""The types that a script sees."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import fastup

SCRIPT = Path(__file__).with_name("typed_script.py")


def strict(script, folder):
    """What ``mypy --strict`` says of a script, from a folder without settings."""
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--cache-dir=cache", script]
    environment = {**os.environ, "MYPYPATH": str(Path(fastup.__file__).parents[1])}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True).stdout


def test_a_script_finds_the_right_types(tmp_path):
    assert strict(SCRIPT, tmp_path) == "Success: no issues found in 1 source file\n"
    wrong = tmp_path / "wrong.py"
    wrong.write_text('import fastup\nfastup.read(1)\nfastup.raed("f")\nx: str = fastup.read_header("f").width\n')
    said = strict(wrong, tmp_path)
    for line, fault in ((2, "[call-overload]"), (3, "[attr-defined]"), (4, "[assignment]")):
        assert any(row.startswith(f"{wrong.name}:{line}: ") and fault in row for row in said.splitlines()), said


def test_the_script_uses_every_public_name():
    tree = ast.parse(SCRIPT.read_text())
    used = {
        node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "fastup"
    }
    assert used == set(fastup.__all__)
