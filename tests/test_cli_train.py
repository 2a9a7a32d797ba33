"""The settings of `fastup train` on the command line; and the road from the demo to upscaled frames."""

import json
import re
import tomllib

import pytest
from test_cli import fails

import fastup
from fastup.cli import train
from fastup.train.config import ABSENT, OPTIONS, Config


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--quality", "0"], ["quality is 0", "more than 0 and at most 1"]),
        (["--quality", "1.5"], ["quality is 1.5"]),
        (["--quality", "nan"], ["quality is nan"]),
        (["--quality", "much"], ["--quality", "number"]),
        (["--model", "unet"], ["--model", "unet", "compact"]),
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
    "--border": ("18,4", [18, 4]),
    "--trim": ("240,240,1,0", [240, 240, 1, 0]),
    "--input-trim": ("0,0,3,3", [0, 0, 3, 3]),
    "--black-level": ("64", 64),
    "--degrade": ("vhs, noise = 0:0.02", "softness=0.6,peaking=0.25,noise=0:0.02,chroma=4.5"),
    "--scale": ("9/4, 2", "9/4,2"),
    "--match": (None, True),
    "--quality": ("0.25", 0.25),
    "--no-jitter": (None, False),
    "--training": ("a folder", "a folder"),
    "--validation": ("other", "other"),
    "--edges": ("8", 8),
    "--skip": ("1", 1),
    "--no-shuffle": (None, False),
    "--augment": (None, True),
    "--swap-channels": (None, True),
    "--span": ("8", 8),
    "--settle": ("6", 6),
    "--reverse": (None, True),
    "--stills": ("0.1", 0.1),
    "--lookahead": ("0", 0),
    "--no-state": (None, False),
    "--features": ("48", 48),
    "--depth": ("5", 5),
    "--no-residual": (None, False),
    "--loss": ("l1,mse", "l1,mse"),
    "--luma": ("0.5", 0.5),
    "--optimizer": ("muon", "muon"),
    "--learning-rate": ("1e-5", 1e-5),
    "--schedule": ("linear", "linear"),
    "--warmup": ("100", 100),
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
    assert places["border"] == ("0", "default")
    assert "# loss =                        # default: the model's\n" not in text
    assert "# features =                    # default: the model's\n" in text
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
        shown = re.escape(re.sub(r"\s", "", str(default)))
        assert re.search(rf"--{option}((?!\[default:).)*\[default:{shown}\]", words), option


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
        "model": "[run].toml", "epochs": "command line", "tile": "frames", "border": "default", "trim": "default",
        "input-trim": "frames", "black-level": "default", "quality": "[run].toml", "jitter": "default",
        "edges": "default", "skip": "default", "shuffle": "default", "augment": "command line",
        "residual": "command line", "loss": "model", "luma": "default", "optimizer": "default",
        "learning-rate": "model", "schedule": "default", "warmup": "default", "batch": "command line",
        "precision": "default", "seed": "[run].toml", "checkpoint-minutes": "default",
    }  # fmt: skip
    assert re.search(r"^epoch 0  validation \d+\.\d\d dB, bicubic (\d+\.\d\d) dB  \d:\d\d$", out, re.MULTILINE)
    # One epoch of a network that is not residual does not come near.
    assert "\nnote: a reason may be: 3 pairs, 9 tiles, are little\nnote: a reason may be: 2 steps are few\n" in out
    assert re.match(
        r"bicubic is better than what was trained, or as good: best\.keras is epoch [01], \d+\.\d\d dB, \d+\.\d\d dB "
        rf"below it: {re.escape(str(data / 'models' / 'espcn' / 'best.keras'))}$", out.splitlines()[-1]
    )  # fmt: skip
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
    code, out, err = run("train", data, *arguments, "--monitor")  # of which a pipe gets nothing
    assert (code, err, "━" in out) == (0, "", False)
    rows = table(out)
    changed = {"batch": "auto", "learning-rate": "command line", "skip": "command line", "epochs": "command line"}
    assert {name: cells[1] for name, cells in rows.items() if len(cells) == 2} == dict.fromkeys(
        ("model", "tile", "border", "trim", "input-trim", "black-level", "quality", "jitter", "edges", "shuffle",
         "residual", "loss", "luma", "optimizer", "schedule", "warmup", "precision", "seed",
             "checkpoint-minutes"), "run",
    ) | changed  # fmt: skip
    assert (rows["batch"][0], rows["learning-rate"][0], rows["skip"][0]) == ("4", "0.0001 (was 0.001)", "0")
    assert (rows["quality"][0], rows["residual"][0], rows["seed"][0]) == ("0.1", "no", "3")
    assert rows["epochs"][0].startswith("2 (was 1) in all, 1 done ")
    assert "augment" not in rows


def test_training_on_nothing(run, tmp_path):
    folders = tmp_path / "train", tmp_path / "validation"
    fails(run("train", tmp_path), 1, "2 problems", *folders, lines=3)
    for folder in folders:
        for side in ("Alpha", "Beta"):
            (folder / side).mkdir(parents=True)
    fails(run("train", tmp_path), 1, "4 problems", "no frames", *(folder / "Alpha" for folder in folders), lines=5)
    (folders[0] / "Alpha").rmdir()
    fails(run("train", tmp_path), 1, "4 problems", folders[0], "no folder Alpha", lines=5)


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
    assert re.search(r"^ *quality +0\.25 +demo *$", out, re.MULTILINE)
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
    assert (code, out.splitlines()[-1].split()[:2]) == (0, ["2", "frames"])
    code, out, _ = run("upscale", best, folder / "evaluation" / "Alpha", tmp_path / "out")
    assert (code, out.splitlines()[-1].split()[0]) == (0, "0")
    assert "2 were there already" in out

    empty = tmp_path / "empty"
    empty.mkdir()
    fails(run("upscale", best, empty, tmp_path / "nothing"), 1, empty, "no frames")
    assert not (tmp_path / "nothing").exists()
    code, _, err = run("upscale", best, folder / "evaluation" / "Alpha", best)
    assert (code, f"{best}: a file, expected a folder" in err) == (1, True)
    broken = tmp_path / "broken.keras"
    broken.write_text("hello")
    fails(run("evaluate", broken, folder), 1, broken, "not a model")
    fails(run("upscale", tmp_path / "none.keras", folder, tmp_path / "out"), 1, "none.keras", "No such file")
