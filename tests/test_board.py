"""What TensorBoard shows of a run: which crops, of what, and that starts of a run follow one another."""

import io
import math

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import fastup
from fastup.pairs.folder import find_pairs
from fastup.train.board import Board

GROUP = "input, bicubic, model, target"
KEYS = "loss", "learning_rate", "tiles_per_second", "waiting", "psnr", "psnr_bicubic"


def shown(folder, name):
    """What TensorBoard reads there: by the name of a chart its values by step, likewise pictures as PNG."""
    events = EventAccumulator(str(folder / name), size_guidance={"scalars": 0, "images": 0})
    events.Reload()
    curves = {tag: {event.step: event.value for event in events.Scalars(tag)} for tag in events.Tags()["scalars"]}
    return curves, {tag: {event.step: event for event in events.Images(tag)} for tag in events.Tags()["images"]}


def row(epoch, value):
    return {"epoch": epoch} | {key: None if not epoch and "psnr" not in key else value + i
                               for i, key in enumerate(KEYS)}  # fmt: skip


def looked(board, pairs, ours):
    """Show a board a validation in which a model made everything `ours`, and bicubic half of the target."""
    for number, path in enumerate(pairs.targets):
        target = fastup.read(path, dtype="float32")
        board.look(number, np.full_like(target, ours), target / 2, target)


def bytes_of(picture):
    return np.floor(picture.astype(np.float64).clip(0, 1) * 255 + 0.5)


def test_the_most_detailed_crop_of_each_frame(small, tmp_path):
    pairs = find_pairs(small / "evaluation")  # three frames: two crops of each
    board = Board(tmp_path, pairs, 0)
    looked(board, pairs, 2.0)
    board.write(row(0, 30.0))
    board.close()
    pictures = {tag: steps[0] for tag, steps in shown(tmp_path, "validation")[1].items()}
    expected = {}
    for number, (path, input_path) in enumerate(zip(pairs.targets, pairs.inputs, strict=True)):
        target, picture = fastup.read(path, dtype="float32"), fastup.read(input_path, dtype="float32")
        places = [(y, x) for y in range(0, 270 - 125, 126) for x in range(0, 360 - 127, 128)]  # cells of 9 x 2
        crops = {(y, x): target[y : y + 126, x : x + 128].astype(np.float64) for y, x in places}
        busy = {at: abs(np.diff(crop, axis=0)).sum() + abs(np.diff(crop, axis=1)).sum() for at, crop in crops.items()}
        for y, x in sorted(places, key=busy.get, reverse=True)[:2]:
            small_crop = [[picture[(y + i) * 4 // 9, (x + j) // 2] for j in range(128)] for i in range(126)]
            name = f"{GROUP}/{pairs.name(number)}, {x} from the left, {y} from the top"
            expected[name] = [np.array(small_crop), crops[y, x] / 2, np.ones((126, 128, 3)), crops[y, x]]
    assert pictures.keys() == expected.keys()
    for name, event in pictures.items():
        found = np.asarray(Image.open(io.BytesIO(event.encoded_image_string)).convert("RGB"))
        assert (event.width, event.height) == found.shape[1::-1] == (4 * 128 + 3 * 4, 126)
        for place, picture in enumerate(expected[name]):
            part = found[:, place * 132 : place * 132 + 128]
            assert abs(part - bytes_of(picture)).max() <= (place == 1)  # halves of codes may round either way


def test_a_start_goes_on_where_the_last_one_was_saved(small, tmp_path):
    pairs = find_pairs(small / "validation")
    for done, epochs, value in ((0, 4, 1.0), (2, 3, 2.0)):  # the epochs 2 and 3 of the first were not saved
        board = Board(tmp_path, pairs, done)
        for epoch in range(done, epochs):
            looked(board, pairs, value / 4)
            board.write(row(epoch, value))
        board.close()
    train, validation, bicubic = (shown(tmp_path, name)[0] for name in ("train", "validation", "bicubic"))
    assert train["epoch_loss"] == {1: 1, 2: 2}
    assert train["epoch_learning_rate"] == {1: 2, 2: 3}
    assert validation == {"epoch_psnr": {0: 5, 1: 5, 2: 6}}
    assert bicubic == {"epoch_psnr": {0: 6, 1: 6, 2: 7}}
    pictures = shown(tmp_path, "validation")[1]
    assert len(pictures) == 4  # of the only frame
    for steps in pictures.values():
        assert list(steps) == [0, 1, 2]
        first, second, third = (event.encoded_image_string for event in steps.values())
        assert first == second != third


@pytest.mark.parametrize(("count", "numbers"), [(1, {0}), (2, {0, 1}), (4, {0, 1, 2, 3}), (9, {0, 2, 5, 8})])
def test_frames_are_spread_over_those_of_validation(small, tmp_path, count, numbers):
    pairs = find_pairs(small / "validation").only([0] * count)
    board = Board(tmp_path, pairs, 0)
    assert board.numbers == numbers
    assert math.ceil(4 / len(numbers)) == board.each
    board.close()
