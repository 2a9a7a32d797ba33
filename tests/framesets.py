"""Small sets of frames of noise, in DPX and in other formats."""

import numpy as np
from OpenImageIO import ImageBuf

import fastup
from fastup._resample import resize
from fastup.pairs.folder import find_pairs


def write_frame(path, size, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    fastup.write(path, np.random.default_rng(seed).integers(0, 1024, (*size, 3), np.uint16))
    return path


def write_png(path, size):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert ImageBuf(np.zeros((*size, 3), np.uint8)).write(str(path), "uint8", "png")
    return path


def three_pairs(folder):
    """Three pairs, 9/4 x 2."""
    for number, name in enumerate(("f9", "f10", "f11")):
        write_frame(folder / "Alpha" / f"{name}.dpx", (8, 6), number)
        write_frame(folder / "Beta" / f"{name}.dpx", (18, 12), 10 + number)
    return folder


def write_other(path, size, kind, seed=0):
    """A frame of noise in another format; of floats, some below 0 and above 1, minus nothing and an infinity too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    if kind in ("uint8", "uint16"):
        frame = rng.integers(0, np.iinfo(kind).max + 1, (*size, 3), kind)
    else:
        frame = rng.normal(0.5, 1, (*size, 3)).astype(np.float32)
        frame[0, 0] = -0.0, np.inf, 1e-30
    assert ImageBuf(frame).write(str(path), kind)
    return path


def write_set(folder, suffix, kind, count=3):
    for number in range(count):
        write_other(folder / "Alpha" / f"f{number}{suffix}", (8, 6), kind, number)
        write_other(folder / "Beta" / f"f{number}{suffix}", (18, 12), kind, 10 + number)
    return find_pairs(folder)


def _scene(size, seed):
    """A smooth picture, nowhere near black."""
    y, x = np.mgrid[: size[0], : size[1]] / np.array(size).reshape(2, 1, 1)
    rng = np.random.default_rng(seed)
    waves = [np.sin(x * a + y * b + c) for a, b, c in rng.uniform(-9, 9, (3, 3))]
    return (0.55 + 0.2 * np.stack(waves, axis=-1)).astype(np.float32)


def write_framed(folder, shots, frames=3):
    """Pairs at 9/4 x 2 in shots, each with borders of its own: {name: (trim of inputs, trim of targets)}."""
    for number, (shot, sides) in enumerate(shots.items()):
        for frame in range(frames):
            for side, size, (left, right, top, bottom) in zip(
                ("Alpha", "Beta"), ((120, 180), (270, 360)), sides, strict=True
            ):
                inner = _scene((size[0] - top - bottom, size[1] - left - right), 10 * number + frame)
                path = folder / side / shot / f"{frame}.dpx"
                path.parent.mkdir(parents=True, exist_ok=True)
                fastup.write(path, np.pad(inner, ((top, bottom), (left, right), (0, 0))))
    return folder


def write_several(folder, sizes, seed=0):
    """Pairs at 2 x 2, of 8 bits and of 10, as JPEG, PNG and DPX in turn; smooth, a little sharper in Beta."""
    for number, (height, width) in enumerate(sizes):
        rng = np.random.default_rng(seed + number)
        target = resize(rng.random((2 * height, 2 * width, 3), np.float32), (height, width))
        suffix, bits = [(".jpg", 8), (".png", 8), (".dpx", 8), (".dpx", 10)][number % 4]
        for side, frame in (("Alpha", resize(target, (height // 2, width // 2))), ("Beta", target)):
            path = folder / side / f"shot {number % 2}" / f"f{number}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            fastup.write(path, frame, fastup.Header.new(*frame.shape[1::-1], bits=bits))
    return folder
