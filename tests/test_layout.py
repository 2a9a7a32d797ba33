"""The floors of the package: imports go down only, and starting up loads nothing that it doesn't need."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastup

PACKAGE = Path(fastup.__file__).parent

# From the ground up: a module imports from floors below its own, and the modules of its own floor that stand before it.
FLOORS = [
    ["errors", "_types", "_threads", "_free"],
    ["codes", "_header_fields", "header", "_dpx", "_loader", "_grid", "_tiles", "_planes", "_fields", "_ycbcr",
     "_colour", "_signatures", "_path",
     "_resample", "_warp", "_flow", "_scales", "trim", "oddities", "summary"],
    ["_whole", "_formats", "frames"],
    ["footage", "footage.sequences", "footage.source", "footage.sink", "footage.video", "footage.stills",
     "footage.codecs", "footage.aspect", "footage.remux", "footage.movie", "footage.raw", "footage.pipe",
     "footage.opening", "footage.stages", "footage.worker", "footage.parts", "footage.cluster", "footage.chore",
     "footage.extract", "footage.cadence", "footage.weave",
     "footage.telecine", "footage.recipe", "footage.degrade", "footage.convert", "footage.halo", "footage.dehalo"],
    ["pairs", "pairs.cache", "pairs.digests", "pairs.borders", "pairs.trims", "pairs.geometry", "pairs.folder",
     "pairs.copies", "pairs.made", "pairs.transcode", "pairs.stored", "pairs.index", "pairs.blocks", "pairs.alignment",
     "pairs.levels", "pairs.colour", "pairs.ranking", "pairs.signatures", "pairs.shots", "pairs.dissolves",
     "pairs.registration", "pairs.timeline", "pairs.fitting", "pairs.placement", "pairs.measuring", "pairs.selection",
     "pairs.candidates", "pairs.look", "pairs.matched", "pairs.clips", "pairs.match", "pairs.match_pictures"],
    ["networks", "networks.devices", "networks.layers", "networks.branches", "networks.reach", "networks.losses",
     "networks.muon", "networks.recurrent", "networks.models", "networks.graph", "networks.memory"],
    ["upscale", "upscale.metrics", "upscale.onnx_file", "upscale.shipped", "upscale.model", "upscale.ensemble",
     "upscale.fidelity", "upscale.export", "upscale.engines", "upscale.recurrence", "upscale.strips",
     "upscale.upscaler", "upscale.around", "upscale.warmup", "upscale.pillars", "upscale.difference", "upscale.film",
     "upscale.timing", "upscale.evaluate", "upscale.scoring"],
    ["train", "train.config", "train.degraded", "train.batches", "train.spans", "train.lock", "train.run",
     "train.outcome", "train.warm", "train.prepare", "train.board", "train.fit"],
    ["_cartoon", "demo"],
    ["report", "report.pictures", "report.page", "report.seen", "report.looking", "report.evaluate", "report.pairs",
     "report.footage"],
    ["cli.plot", "cli.graph", "cli.monitor", "cli.show", "cli.options", "cli.footage", "cli.match", "cli.pairs",
     "cli.train", "cli.models", "cli.upscale", "cli.demo", "cli"],
]  # fmt: skip
ORDER = {module: (floor, place) for floor, modules in enumerate(FLOORS) for place, module in enumerate(modules)}
SOURCES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
    if path != PACKAGE / "__init__.py"
}


def imports(path):
    """Modules of fastup that a source file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        found |= {name.removeprefix("fastup.") for name in names if name.startswith("fastup.")}
    return found & ORDER.keys()


def test_every_module_has_a_floor():
    assert SOURCES.keys() == ORDER.keys() - {"_dpx", "_loader"}


@pytest.mark.parametrize("module", sorted(SOURCES))
def test_imports_go_down(module):
    below = {other for other in ORDER if ORDER[other] < ORDER[module]}
    assert imports(SOURCES[module]) - {module.split(".")[0]} <= below


def test_the_demo_and_training_know_nothing_of_each_other():
    for module, path in SOURCES.items():
        if module.startswith("train"):
            assert not imports(path) & {"demo", "_cartoon"}
    assert not any(name.startswith("train") for name in imports(SOURCES["demo"]))


KERAS_ENGINE = {
    "upscale.model",
    "upscale.engines",
    "upscale.export",
    "upscale.fidelity",
}  # the first two, inside functions


def test_keras_and_tensorflow_are_imported_where_they_belong():
    for module, path in SOURCES.items():
        roots = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                roots |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                roots.add(node.module.split(".")[0])
        # For tf.data; for what the precision of a card is called in each. Inside functions.
        allowed = {
            "train.batches": {"tensorflow"},
            "networks": {"tensorflow", "jax", "torch"},
            "networks.devices": {"jax", "tensorflow"},
        }.get(module, set())
        assert not roots & {"tensorflow", "jax", "torch"} - allowed, module
        assert "keras" not in roots or module.startswith(("networks", "train")) or module in KERAS_ENGINE, module


def test_naive_twins_are_independent():
    tree = ast.parse((Path(__file__).parent / "naive.py").read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            assert not any(alias.name.startswith("fastup") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.module.startswith("fastup")


def loaded(code, *arguments):
    """Top-level modules in a fresh process after running code."""
    code += "\nimport json, sys; print(json.dumps(sorted(m.split('.')[0] for m in sys.modules)), file=sys.__stdout__)"
    run = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    return set(json.loads(run.stdout.splitlines()[-1]))


HEAVY = {"numba", "llvmlite", "OpenImageIO", "keras", "tensorflow", "matplotlib", "skimage", "scipy", "typer", "rich"}


def test_importing_fastup_loads_nothing_heavy():
    assert not loaded("import fastup") & HEAVY
    assert "numpy" in loaded("import fastup")


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["info", "FILE"], ["info", "--json", "FILE"]])
def test_help_and_info_load_neither_keras_nor_numba(arguments, tmp_path):
    path = tmp_path / "f.dpx"
    fastup.write(path, np.zeros((4, 5, 3), np.uint16))
    arguments = [str(path) if a == "FILE" else a for a in arguments]
    code = """
import io, sys
sys.stdout = io.StringIO()
from fastup.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
"""
    assert not loaded(code, *arguments) & {"numba", "llvmlite", "keras", "tensorflow", "OpenImageIO", "matplotlib"}


def test_upscaling_and_what_writes_for_tensorboard_are_imported_without_keras():
    code = "import fastup.upscale.evaluate, fastup.upscale.metrics, fastup.train.board; fastup.Upscaler"
    assert not loaded(code) & {"keras", "tensorflow"}


def test_public_names_resolve():
    for name in fastup.__all__:
        assert getattr(fastup, name).__doc__
    assert set(fastup.__all__) <= set(dir(fastup))
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = fastup.no_such_name


def test_type_checkers_see_the_public_names():
    """`__init__.pyi` imports each from where `__init__.py` finds it."""
    tree = ast.parse((PACKAGE / "__init__.pyi").read_text())
    seen = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                assert alias.asname == alias.name
                seen[alias.name] = f"{node.module}.{alias.name}"
    modules = {name: f"fastup.{module}" for name, module in fastup._MODULES.items()}
    assert seen == {name: f"fastup.{module}.{name}" for name, module in fastup._HOME.items()} | modules


def missing_types(body, owner=""):
    """Public functions and methods in a body of code that lack a type: of a parameter, or of what they return."""
    overloaded = set()
    for node in body:
        name = getattr(node, "name", "_")
        if name.startswith("_") and not name.endswith("__"):
            continue
        if isinstance(node, ast.ClassDef):
            yield from missing_types(node.body, f"{name}.")
        elif isinstance(node, ast.FunctionDef):
            decorators = {ast.unparse(each) for each in node.decorator_list}
            if "overload" in decorators:
                overloaded.add(name)
            arguments = node.args
            every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
            own = every[1:] if owner and "staticmethod" not in decorators else every
            without = [each.arg for each in own if each is not None and each.annotation is None]
            if (without or node.returns is None) and ("overload" in decorators or name not in overloaded):
                yield f"line {node.lineno}: {owner}{name} has no type of {', '.join(without) or 'what it returns'}"


@pytest.mark.parametrize("module", sorted(SOURCES))
def test_public_names_have_types(module):
    assert list(missing_types(ast.parse(SOURCES[module].read_text()).body)) == []


def test_no_file_is_long():
    sources = [path for kind in ("py", "pyx", "h", "cpp") for path in PACKAGE.rglob(f"*.{kind}")]
    assert len(sources) > len(SOURCES)
    assert [path.name for path in sources if len(path.read_text().splitlines()) > 500] == []
