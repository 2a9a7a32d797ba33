"""Scores are those of the frames that upscale writes, bicubic beside them."""

import dataclasses
import shutil
from math import ceil

import naive
import numpy as np
import pytest

import fastup
from fastup.errors import DataError, FastupError
from fastup.train import evaluate as module
from fastup.train.evaluate import Score, compare, evaluate, geometry_of, mean
from fastup.train.pairs import find_pairs
from fastup.train.upscale import Upscaler, upscale


def _psnr(a, b, peak):
    return 10 * np.log10(peak**2 / np.mean((np.float64(a) - np.float64(b)) ** 2))


def _rounded_bicubic(codes):
    enlarged = naive.bicubic(codes / 1023, 9 / 4, 2)
    return np.rint(np.clip(enlarged, 0, 1) * 1023)


@pytest.fixture(scope="module")
def model(trained):
    """Loaded once; nothing may change it."""
    return Upscaler(trained / "best.keras").network


def test_scores_are_those_of_the_frames_that_are_written(model, small, tmp_path):
    heard = []
    scores = evaluate(model, small, lambda *progress: heard.append(progress))
    assert heard == [(1, 3), (2, 3), (3, 3)]
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
    from fastup.train.metrics import ssim_y

    window = np.s_[: 60 + 2 * rim, : 60 + 2 * rim]
    return ssim_y(ours[window] / 1023, target[window] / 1023, rim)


def test_compare_gives_the_frames_that_are_written(model, small, tmp_path):
    pairs = find_pairs(small / "evaluation")
    upscale(model, pairs.inputs[0], tmp_path)
    path, ours, bicubic, target = next(compare(Upscaler(model), pairs, geometry_of(Upscaler(model), pairs)))
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


def test_a_folder_of_pairs_will_do(model, small):
    assert evaluate(model, small / "evaluation") == evaluate(model, small)


def test_mean():
    rng = np.random.default_rng(0)
    scores = [Score(name, *rng.random(6)) for name in "abc"]
    result = mean(scores)
    assert result.frame == "mean"
    for field in dataclasses.fields(Score)[1:]:
        expected = sum(getattr(score, field.name) for score in scores) / 3
        assert getattr(result, field.name) == pytest.approx(expected)


def test_trims_are_the_models(model, small, tmp_path):
    # The same pairs with a frame around them, under a model that trims it, score the same.
    for path in fastup.find(small / "evaluation" / "Alpha")[:1]:
        for side, margin in (("Alpha", ((2, 1), (4, 3), (0, 0))), ("Beta", ((0, 6), (20, 10), (0, 0)))):
            (tmp_path / side).mkdir()
            frame = fastup.read(small / "evaluation" / side / path.name)
            fastup.write(tmp_path / side / path.name, np.pad(frame, margin, constant_values=700))
    network = Upscaler(model).network
    before = dict(network.settings)
    network.settings.update(trim=[20, 10, 0, 6], input_trim=[4, 3, 2, 1])
    try:
        (score,) = evaluate(network, tmp_path)
    finally:
        network.settings.update(before)
    assert score == evaluate(model, small)[0]


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

    def find_and_spoil(folder):
        pairs = find_pairs(folder)
        path.write_bytes(path.read_bytes()[:4000])
        return pairs

    monkeypatch.setattr(module, "find_pairs", find_and_spoil)
    with pytest.raises(FastupError, match="cut short") as caught:
        evaluate(model, tmp_path)
    assert str(path) in str(caught.value)


def test_equal_pictures_count_as_a_number(tmp_path, monkeypatch):
    """Films fade to black: bicubic of a black frame is its target, and a mean with infinity in it says nothing."""
    from fastup.train import evaluate as module

    black = np.zeros((18, 20, 3), np.float32)
    monkeypatch.setattr(module, "Upscaler", lambda model: model)
    monkeypatch.setattr(module, "find_pairs", lambda folder: [None])
    monkeypatch.setattr(module, "geometry_of", lambda *_: type("G", (), {"scale": (2, 2)}))
    monkeypatch.setattr(module, "compare", lambda *_: iter([(tmp_path / "f.dpx", black, black, black)]))
    (score,) = evaluate(None, tmp_path)
    assert (score.psnr, score.psnr_bicubic, score.psnr_y) == (100, 100, 100)
    assert mean([score]).psnr - mean([score]).psnr_bicubic == 0
