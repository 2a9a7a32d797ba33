"""Scores are those of the frames that upscale writes, bicubic beside them."""

import dataclasses
import json
import shutil
from math import ceil
from types import SimpleNamespace

import naive
import numpy as np
import pytest
from OpenImageIO import ImageBuf

import fastup
from fastup.cli.upscale import print_scores
from fastup.errors import DataError, FastupError, OptionError
from fastup.pairs.alignment import Fit
from fastup.pairs.folder import find_pairs
from fastup.train import fit
from fastup.upscale import evaluate as module
from fastup.upscale.evaluate import Score, compare, evaluate, mean, prepare, score_all
from fastup.upscale.film import upscale
from fastup.upscale.metrics import Parts
from fastup.upscale.upscaler import Upscaler


def _psnr(a, b, peak):
    return 10 * np.log10(peak**2 / np.mean((np.float64(a) - np.float64(b)) ** 2))


def _rounded_bicubic(codes):
    enlarged = naive.bicubic(codes / 1023, 9 / 4, 2)
    return np.rint(np.clip(enlarged, 0, 1) * 1023)


@pytest.fixture(scope="module")
def model(trained):
    """Loaded once; nothing may change it."""
    return Upscaler(trained / "best.keras").model.network


def test_scores_are_those_of_the_frames_that_are_written(model, small, tmp_path):
    heard = []
    scores = evaluate(model, small, lambda *progress: heard.append(progress))
    assert heard == [(1, 3, "evaluating"), (2, 3, "evaluating"), (3, 3, "evaluating")]
    source = small / "evaluation"
    upscale(model, source / "Alpha", tmp_path / "out")
    paths = fastup.find(source / "Alpha")
    assert [score.frame for score in scores] == [path.stem for path in paths]
    rim = ceil(9 / 4)
    for score, path in zip(scores, paths, strict=True):
        target = fastup.read(source / "Beta" / path.name)
        ours = fastup.read(tmp_path / "out" / path.name)
        bicubic = _rounded_bicubic(fastup.read(path))
        for picture, suffix in ((ours, ""), (bicubic, "_bicubic")):
            assert getattr(score, f"psnr{suffix}") == pytest.approx(_psnr(picture, target, 1023), abs=2e-4)
            a, b = (naive.luma(p[rim:-rim, rim:-rim] / 1023) for p in (picture, target))
            assert getattr(score, f"psnr_y{suffix}") == pytest.approx(_psnr(a, b, 255), abs=2e-4)
    # Once is enough for the slow twin.
    a, b = (naive.luma(p[rim:-rim, rim:-rim] / 1023)[:60, :60] for p in (ours, target))
    assert naive.ssim(a, b) == pytest.approx(_ssim_of(ours, target, rim), abs=1e-9)


def _ssim_of(ours, target, rim):
    from fastup.upscale.metrics import ssim_y

    window = np.s_[: 60 + 2 * rim, : 60 + 2 * rim]
    return ssim_y(ours[window] / 1023, target[window] / 1023, rim)


def test_compare_gives_the_frames_that_are_written(model, small, tmp_path):
    pairs = find_pairs(small / "evaluation")
    upscale(model, pairs.inputs[0], tmp_path)
    path, ours, bicubic, target = next(compare(Upscaler(model), pairs))
    assert path == pairs.inputs[0]
    for picture in (ours, bicubic):
        assert picture.dtype == np.float32
        np.testing.assert_array_equal(np.rint(picture * 1023).astype(np.float32) / np.float32(1023), picture)
    np.testing.assert_array_equal(np.rint(ours * 1023), fastup.read(tmp_path / path.name))
    np.testing.assert_array_equal(target, fastup.read(pairs.targets[0], "float32"))
    assert np.abs(np.rint(bicubic * 1023) - _rounded_bicubic(fastup.read(path))).max() <= 1


def test_the_model_is_what_is_scored(model, small):
    (score, *_) = evaluate(model, small)
    assert score.psnr != score.psnr_bicubic
    assert 0 < score.ssim_y < 1
    _, ours, bicubic, target = next(compare(Upscaler(model), find_pairs(small / "evaluation")))
    parts = Parts(target, 7)
    for picture, suffix in ((ours, ""), (bicubic, "_bicubic")):
        assert getattr(score, f"halo{suffix}") == parts.halo(picture)
        assert getattr(score, f"psnr_lines{suffix}") == parts.psnr(picture)[1] < getattr(score, f"psnr{suffix}")
        assert getattr(score, f"psnr_flats{suffix}") == parts.psnr(picture)[2] > getattr(score, f"psnr{suffix}")


def test_a_folder_of_pairs_will_do(model, small):
    assert evaluate(model, small / "evaluation") == evaluate(model, small)


def test_mean():
    """PSNR is that of the mean squared error, as of one long picture; frames of one colour are left out."""
    rng = np.random.default_rng(0)
    scores = [Score(name, *rng.uniform(20, 50, 4), *rng.random(2)) for name in "abc"]
    black = Score("black", 62, 100, 60, 100, 0.98, 1, flat=True)
    for result in (mean(scores), mean([black, *scores, black])):
        assert (result.frame, result.flat) == ("mean", False)
        for name in ("psnr", "psnr_bicubic", "psnr_y", "psnr_y_bicubic"):
            error = sum(10 ** (-getattr(score, name) / 10) for score in scores) / 3
            assert getattr(result, name) == pytest.approx(-10 * np.log10(error), abs=1e-12)
        for name in ("ssim_y", "ssim_y_bicubic"):
            assert getattr(result, name) == pytest.approx(sum(getattr(score, name) for score in scores) / 3)
    assert dataclasses.replace(mean([black, black]), frame="black", flat=True) == pytest.approx(black)
    assert mean([dataclasses.replace(scores[0], psnr=100), dataclasses.replace(scores[0], psnr=np.inf)]).psnr == 100
    lined = [dataclasses.replace(score, halo=halo) for score, halo in zip(scores, (1.0, 2.0, None), strict=True)]
    assert (mean(lined).halo, mean(lined).psnr_lines) == (1.5, None)


def test_a_black_frame_is_told_apart(model, small, tmp_path, run):
    """Its PSNR is bicubic's infinity against the rounding of a model: it would rule a mean of decibels."""
    for side, size in (("Alpha", (120, 180)), ("Beta", (270, 360))):
        shutil.copytree(small / "evaluation" / side, tmp_path / "evaluation" / side)
        fastup.write(tmp_path / "evaluation" / side / "a.dpx", np.full((*size, 3), (0, 64, 0), np.uint16))
    black, *others = scores = evaluate(model, tmp_path)
    assert [score.flat for score in scores] == [True, False, False, False]
    assert black.psnr_bicubic == 100
    assert mean(scores) == mean(others) == mean(evaluate(model, small))
    trained = SimpleNamespace(network=model, scenes=None)
    pairs = find_pairs(tmp_path / "evaluation")
    watch = SimpleNamespace(run=trained, validation=pairs, asked=0, board=None, on_progress=lambda *_: None)
    assert fit._Watch._scores(watch) == pytest.approx([mean(scores).psnr, mean(scores).psnr_bicubic], abs=1e-9)
    model.save(tmp_path / "m.keras")
    code, out, _ = run("evaluate", tmp_path / "m.keras", tmp_path)
    assert code == 0
    lines = [line.split()[0] for line in out.splitlines() if line.split() and "  " in line.strip()]
    assert lines[1:] == [*(score.frame for score in others), "mean", "a"]
    assert "Mean: PSNR of the mean squared error; frames of one colour, below, are left out." in out
    _, out, _ = run("evaluate", tmp_path / "m.keras", tmp_path, "--json")
    assert [(row["frame"], row["flat"]) for row in json.loads(out)] == [
        ("a", True), *((score.frame, False) for score in others), ("mean", False),
    ]  # fmt: skip


def test_where_all_frames_are_of_one_colour_none_is_left_out(run, capfd):
    blacks = [Score(name, 62, 100, 60, 100, 0.98, 1, flat=True) for name in "ab"]
    print_scores([*blacks, mean(blacks)])
    out = capfd.readouterr().out
    assert [line.split()[0] for line in out.splitlines() if " 62.00 " in line] == ["a", "b", "mean"]
    assert "left out" not in out


@pytest.mark.parametrize("side", ["Alpha", "Beta"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_the_frame_is_named_that_holds_what_is_no_number(model, tmp_path, side, value):
    for name, size in (("Alpha", (120, 180)), ("Beta", (270, 360))):
        (tmp_path / name).mkdir()
        frame = np.full((*size, 3), 0.5, np.float32)
        frame[7, 9, 2] = value if name == side else 0.25
        assert ImageBuf(frame).write(str(tmp_path / name / "f.exr"), "float")
    with pytest.raises(DataError, match=rf"^{tmp_path}/{side}/f\.exr: holds NaN or infinity"):
        evaluate(model, tmp_path)


@pytest.mark.parametrize("bits", [8, 16])
def test_targets_of_other_bits_are_compared_with_what_is_written(model, small, tmp_path, bits):
    """What is judged is a frame of 10 bits, as upscale writes it, whatever the targets were."""
    path = fastup.find(small / "evaluation" / "Alpha")[0]
    (tmp_path / "Alpha").mkdir()
    shutil.copy(path, tmp_path / "Alpha")
    target = fastup.read(small / "evaluation" / "Beta" / path.name, "float32")
    (tmp_path / "Beta").mkdir()
    fastup.write(tmp_path / "Beta" / path.name, target, fastup.Header.new(360, 270, bits=bits))
    pairs, upscaler = find_pairs(tmp_path), Upscaler(model)
    ((_, ours, _, _),) = compare(upscaler, pairs)
    upscale(model, path, tmp_path / "out")
    np.testing.assert_array_equal(ours, fastup.read(tmp_path / "out" / path.name, "float32"))


def test_trims_are_the_models(model, small, tmp_path):
    # The same pairs with a frame around them, under a model that trims it, score the same.
    for path in fastup.find(small / "evaluation" / "Alpha")[:1]:
        for side, margin in (("Alpha", ((2, 1), (4, 3), (0, 0))), ("Beta", ((0, 6), (20, 10), (0, 0)))):
            (tmp_path / side).mkdir()
            frame = fastup.read(small / "evaluation" / side / path.name)
            fastup.write(tmp_path / side / path.name, np.pad(frame, margin, constant_values=700))
    network = Upscaler(model).model.network
    before = dict(network.settings)
    network.settings.update(trim=[20, 10, 0, 6], input_trim=[4, 3, 2, 1])
    try:
        (score,) = evaluate(network, tmp_path)
    finally:
        network.settings.update(before)
    assert score == evaluate(model, small)[0]


# -- the papers' protocol ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def images(small, tmp_path_factory):
    """A folder of images of 8 bits, of several sizes, one of them not whole cells; read-only, as others' sets are."""
    folder = tmp_path_factory.mktemp("images")
    frame = fastup.read(fastup.find(small / "evaluation" / "Beta")[0], "float32")
    for name, part in (("a", np.s_[:46, 30:91]), ("b", np.s_[100:154, :50])):
        assert ImageBuf(np.ascontiguousarray(frame[part])).write(str(folder / f"{name}.png"), "uint8")
    folder.chmod(0o555)
    return folder


def test_papers(model, images):
    """Inputs by MATLAB's imresize, results of 8 bits, unrounded luma without the rim, the mean of decibels."""
    scores = evaluate(model, images, protocol="papers")
    assert [score.frame for score in scores] == ["a", "b"]
    assert sorted(path.name for path in images.iterdir()) == ["a.png", "b.png"]
    for score, (height, width) in zip(scores, ((45, 60), (54, 50)), strict=True):
        target = fastup.read(images / f"{score.frame}.png")[:height, :width]
        given = naive.matlab(target, (height * 4 // 9, width // 2))
        ours = np.floor(Upscaler(model)(given / np.float32(255)).astype(float) * 255 + 0.5)
        bicubic = naive.matlab(given, target.shape[:2])
        # An engine's halves may fall apart.
        for picture, suffix, off in ((ours, "", 2e-4), (bicubic, "_bicubic", 1e-6)):
            inside = [naive.luma(each[3:-3, 3:-3] / 255) for each in (picture, target)]
            assert getattr(score, f"psnr_y{suffix}") == pytest.approx(_psnr(*inside, 255), abs=off)
            assert getattr(score, f"ssim_y{suffix}") == pytest.approx(naive.ssim(*inside), abs=off)
            assert getattr(score, f"psnr{suffix}") == pytest.approx(_psnr(picture, target, 255), abs=off)
    result = mean(scores, "papers")
    assert result.psnr_y == pytest.approx((scores[0].psnr_y + scores[1].psnr_y) / 2, abs=1e-12)
    assert result.psnr_y != mean(scores).psnr_y


def test_grey_images_of_the_papers_are_of_three_equal_channels(model, images, tmp_path):
    """As the sets have some, such as Set14; the other protocol is of films, where a grey frame is a mistake."""
    grey = fastup.read(images / "a.png")[..., 1:2]
    for folder, pixels in (("one", grey), ("three", np.repeat(grey, 3, axis=2))):
        (tmp_path / folder).mkdir()
        assert ImageBuf(np.ascontiguousarray(pixels)).write(str(tmp_path / folder / "a.png"))
    assert fastup.read(tmp_path / "one" / "a.png").shape[2] == 1
    (expected,) = evaluate(model, tmp_path / "three", protocol="papers")
    assert evaluate(model, tmp_path / "one", protocol="papers") == [expected]
    (tmp_path / "films").mkdir()
    for side, name in (("Alpha", "three"), ("Beta", "one")):
        (tmp_path / "films" / side).symlink_to(tmp_path / name)
    with pytest.raises(DataError, match=r"a\.png: 1 channels, expected 3$"):
        evaluate(model, tmp_path / "films")


def test_papers_on_other_folders(model, small, images, tmp_path):
    """In Beta; whatever a model trims of its own frames, and what made the inputs that it was trained on."""
    expected = evaluate(model, images, protocol="papers")
    (tmp_path / "evaluation").mkdir()
    (tmp_path / "evaluation" / "Beta").symlink_to(images)
    assert evaluate(model, tmp_path, protocol="papers") == expected
    before = dict(model.settings)
    model.settings.update(trim=[20, 10, 0, 6], input_trim=[4, 3, 2, 1], degrade="vhs")
    try:
        assert evaluate(model, images, protocol="papers") == expected
    finally:
        model.settings.clear()
        model.settings.update(before)
    # Inputs that there are, are taken.
    assert [score.psnr for score in evaluate(model, small, protocol="papers")] == pytest.approx(
        [score.psnr for score in evaluate(model, small)], abs=0.1
    )


def test_the_command_by_the_papers(trained, images, run):
    code, out, _ = run("evaluate", trained / "best.keras", images, "--protocol", "papers")
    assert code == 0
    assert "Y PSNR" in out
    assert "lines" not in out
    code, text, _ = run("evaluate", trained / "best.keras", images, "--protocol", "papers", "--json")
    rows = json.loads(text)
    assert [row["frame"] for row in rows] == ["a", "b", "mean"]
    assert all(f"{row['psnr_y']:.2f}" in out for row in rows)
    assert {"psnr_lines", "psnr_flats", "halo", "halo_bicubic"} < rows[0].keys()
    code, _, err = run("evaluate", trained / "best.keras", images)
    assert (code, err.count("makes inputs, as does `fastup evaluate --protocol papers`")) == (1, 2)


def test_protocols_that_do_not_go(model, images):
    with pytest.raises(OptionError, match="protocol is 'paper', expected one of restoration, papers"):
        evaluate(model, images, protocol="paper")
    with pytest.raises(OptionError, match="match changes the targets, which the papers' protocol takes as they are"):
        evaluate(model, images, match=True, protocol="papers")


def test_what_match_cannot_tell_is_said(model, small, monkeypatch, trained, run):
    assert prepare([model], small, match=False).note is None
    monkeypatch.setattr(module, "fits", lambda pairs, _: [Fit("one")] * len(pairs))
    code, out, err = run("evaluate", trained / "best.keras", small, "--match")
    assert code == 0, err
    assert "do not show a gain and an offset of red, green, blue, so that targets stay" in " ".join((out + err).split())


def test_tables_have_room_in_a_hundred_columns(capfd, run):
    score = Score("a" * 20, *([33.333] * 4), 0.99, 0.99, 33.333, 33.333, None, None, 1023.0, 1023.0)
    for protocol in ("restoration", "papers"):
        print_scores([score, mean([score], protocol)], protocol)
        out = capfd.readouterr().out
        assert max(map(len, out.splitlines())) <= 100
        assert "33.33" in out


def test_another_scale(model, tmp_path):
    for side, size in (("Alpha", (60, 90)), ("Beta", (120, 180))):
        (tmp_path / side).mkdir()
        fastup.write(tmp_path / side / "f.dpx", np.zeros((*size, 3), np.uint16))
    with pytest.raises(DataError, match=r"is 2 x 2, but the model's is 9/4 x 2") as caught:
        evaluate(model, tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_no_data(model, tmp_path):
    with pytest.raises(DataError, match="Alpha"):
        evaluate(model, tmp_path)


def test_a_frame_that_goes_bad(model, small, tmp_path, monkeypatch):
    shutil.copytree(small / "evaluation", tmp_path / "evaluation")
    path = fastup.find(tmp_path / "evaluation" / "Beta")[1]

    def find_and_spoil(*given, **named):
        pairs = find_pairs(*given, **named)
        path.write_bytes(path.read_bytes()[:4000])
        return pairs

    monkeypatch.setattr(module, "find_pairs", find_and_spoil)
    with pytest.raises(FastupError, match="cut short") as caught:
        evaluate(model, tmp_path)
    assert str(path) in str(caught.value)


def test_equal_pictures_count_as_a_number(tmp_path, monkeypatch):
    """Films fade to black: bicubic of a black frame is its target, and a mean with infinity in it says nothing."""
    from fastup.upscale import evaluate as module

    black = np.zeros((18, 20, 3), np.float32)
    facts = {"settings": {"trim": None, "input_trim": None}, "model": SimpleNamespace(scale=(2, 2))}
    monkeypatch.setattr(module, "Upscaler", type("U", (), facts | {"__init__": lambda self, model: None}))
    found = SimpleNamespace(name=lambda number: "f", made=False, geometry=SimpleNamespace(target_picture=(18, 20)))
    monkeypatch.setattr(module, "find_pairs", lambda *_, **named: found)
    monkeypatch.setattr(module, "check_scale", lambda *_: None)
    monkeypatch.setattr(module, "shots_of", lambda *_: [(0, 1)])
    monkeypatch.setattr(module, "compare_all", lambda *_: iter([(tmp_path, black, [black], black, black)]))
    (score,) = evaluate(None, tmp_path)
    assert (score.psnr, score.psnr_bicubic, score.psnr_y) == (100, 100, 100)
    assert mean([score]).psnr - mean([score]).psnr_bicubic == 0


def test_several_models_are_scored_at_once_as_each_alone(model, small):
    """And whoever looks on sees the pictures that the scores are of."""
    seen = []
    ours, theirs = score_all(prepare([model, "cel-sd"], small), look=lambda *each: each, keep=seen.append)
    assert ours == evaluate(model, small)
    assert theirs == evaluate("cel-sd", small)
    pairs = find_pairs(small / "evaluation")
    expected = [list(compare(Upscaler(each), pairs)) for each in (model, "cel-sd")]
    assert [number for number, *_ in seen] == [0, 1, 2]
    for number, picture, made, bicubic, target in seen:
        np.testing.assert_array_equal(picture, fastup.read(pairs.inputs[number], "float32"))
        for found, (_, ours, same, true) in zip(made, (each[number] for each in expected), strict=True):
            for one, other in ((found, ours), (bicubic, same), (target, true)):
                np.testing.assert_array_equal(one, other)


def test_frames_are_judged_side_by_side_as_memory_holds(small, monkeypatch):
    """The same figures, exactly, in the same order, by one thread or by four."""
    from fastup.upscale import evaluate as module

    asked, in_order = [], module.in_order
    monkeypatch.setattr(module, "in_order", lambda *args: asked.append(args[2]) or in_order(*args))
    monkeypatch.setattr(module, "workers", lambda: 4)
    what = prepare(["cel-sd"], small)
    several = score_all(what)
    monkeypatch.setattr(module._free, "of_machine", lambda: 4 * 270 * 360 * (2 * 12 * 4 + 200))
    two = score_all(what)
    monkeypatch.setattr(module._free, "of_machine", lambda: 0)
    assert score_all(what) == several == two
    assert asked == [4, 2, 1]


def test_models_that_take_other_pictures_are_not_compared(model, small, trained, tmp_path):
    from runs import edit

    shutil.copy(trained / "best.keras", tmp_path / "trims.keras")
    edit(tmp_path / "trims.keras", trim=[2, 0, 0, 0])
    with pytest.raises(DataError, match=r"trims\.keras: its trim is \[2, 0, 0, 0\], expected \[0, 0, 0, 0\] as of"):
        prepare([model, tmp_path / "trims.keras"], small)


def flickers_of(score):
    return score.flicker, score.flicker_bicubic, score.flicker_input


def test_flicker_is_that_of_what_is_written_where_targets_hold_within_a_shot(model, tmp_path, run, trained):
    """Two shots: three frames of a drawing in part of which something moves, and two of another; noisy inputs."""
    rng = np.random.default_rng(4)
    scenes = [np.kron(rng.uniform(0.2, 0.8, (6, 6, 3)), np.ones((12, 10, 1))) for _ in range(2)]
    for number in range(5):
        target = scenes[number // 3].copy()
        if number == 2:
            target[:30, :20] = 0.9
        small = target[::9, ::10].repeat(4, 0).repeat(5, 1) + rng.normal(0, 0.02, (32, 30, 3))
        for side, frame in (("Alpha", small), ("Beta", target)):
            path = tmp_path / "film" / side / f"f{number}.dpx"
            path.parent.mkdir(parents=True, exist_ok=True)
            fastup.write(path, frame.clip(0, 1).astype(np.float32))
    (tmp_path / "cache").mkdir()
    scores = evaluate(model, tmp_path / "film")
    assert any((tmp_path / "cache").iterdir())  # what tells shots is kept, as `train` does
    paths = find_pairs(tmp_path / "film")
    upscale(model, tmp_path / "film" / "Alpha", tmp_path / "out")
    targets, inputs, ours = (
        [fastup.read(path) for path in files] for files in (paths.targets, paths.inputs, fastup.find(tmp_path / "out"))
    )
    bicubic = [_rounded_bicubic(codes) for codes in inputs]
    for number, score in enumerate(scores):
        found = flickers_of(score)
        if number in (0, 3):
            assert found == (None, None, None)
            continue
        still = naive.still(targets[number] / 1023, targets[number - 1] / 1023)
        assert still.all() == (number != 2)
        expected = [naive.flicker(each[number], each[number - 1], still) / 1023 for each in (ours, bicubic, inputs)]
        assert found == pytest.approx(expected, rel=2e-3)
    assert mean(scores).flicker == pytest.approx(np.mean([scores[n].flicker for n in (1, 2, 4)]))
    out = run("evaluate", trained / "best.keras", tmp_path / "film")[1]
    assert "flicker: the mean change" in out
    rows = [line.split() for line in out.splitlines() if line.strip().startswith(("f0", "f1"))]
    assert rows[0][-3:] == ["-", "-", "-"]
    assert rows[1][-3:] == [f"{value:.2f}" for value in flickers_of(scores[1])]
