"""How much halo comes out of drawings, against dehalo_alpha; ``.venv/bin/python bench/bench_dehalo.py`` prints tables.

Six drawings of the demo's clip at 720x480 are peaked along the line, ``x + k (x - G_s * x)``, some with an echo, noise
is added, and codes are made of it. The kernel is estimated from those frames alone. A second table has the bias and
the spread of the peaking over ten draws of the tests' drawings and of noise.
"""

import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from fastup import demo
from fastup._resample import gaussian, resize
from fastup.footage import dehalo
from fastup.footage.halo import estimate

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import test_dehalo

CASES = [  # peaking, width, echo, delay, softness of the drawings, noise in 8-bit codes, white
    (0.8, 1.6, 0.0, 0.0, 0.0, 0.0, 255),
    (0.8, 1.6, 0.0, 0.0, 0.0, 0.0, 1023),
    (0.8, 1.6, 0.0, 0.0, 0.0, 2.0, 255),
    (0.8, 1.6, 0.0, 0.0, 0.0, 4.0, 255),
    (0.25, 1.0, 0.0, 0.0, 0.0, 2.0, 255),
    (0.5, 1.6, 0.0, 0.0, 0.0, 2.0, 255),
    (1.2, 2.2, 0.0, 0.0, 0.0, 2.0, 255),
    (0.5, 1.2, 0.15, 4.3, 0.0, 0.0, 255),
    (0.5, 1.2, 0.15, 4.3, 0.0, 2.0, 255),
    (0.0, 1.0, 0.2, 5.0, 0.0, 2.0, 255),
    (0.8, 1.6, 0.0, 0.0, 0.5, 0.0, 255),
    (0.8, 1.6, 0.0, 0.0, 0.5, 2.0, 255),
]


@cache
def drawings(filter="area"):
    """Six frames of the demo, (6, 480, 720, 3), made smaller by a filter."""
    large = [next(demo.clip(seed=seed, shots=1, frames=1)) for seed in range(6)]
    smaller = [resize(frame, (480, 720), filter) for frame in large]
    return np.clip(np.stack(smaller), 0, 1)


def peaked(clean, peaking, width, echo, delay, softness, noise, white):
    """The clean drawings with their softness, and what a transfer and its noise make of them, in codes / white."""
    clean = np.stack([gaussian(frame, softness) for frame in clean])
    picture = clean + np.float32(peaking) * (clean - np.stack([gaussian(frame, width) for frame in clean]))
    if echo:
        whole, part = int(delay), np.float32(delay % 1)
        before = np.pad(picture, ((0, 0), (0, 0), (whole + 1, 0), (0, 0)), mode="edge")
        late = (1 - part) * before[:, :, 1 : picture.shape[2] + 1] + part * before[:, :, : picture.shape[2]]
        picture = (picture + np.float32(echo) * late) / np.float32(1 + echo)
    picture = picture * white + noise * white / 255 * np.random.default_rng(0).standard_normal(picture.shape)
    return clean, (np.floor(np.clip(picture, 0, white) + 0.5) / white).astype(np.float32)


def psnr(a, b):
    return -10 * np.log10(np.mean((a.astype(np.float64) - b) ** 2))


def dehalo_alpha(picture, across=2.0, down=2.0, low=50.0, high=50.0, bright=1.0, dark=1.0):
    """What dehalo_alpha does, plane by plane, from its description, without supersampling.

    The picture is made smaller by the radii `across` and `down` and larger again, softly. The soft picture is taken,
    but for where it lowers the local contrast by much, as a mask from `low` and `high` has it. Each pixel is then held
    between the smallest and the largest of what that gives in 3x3, and moved there by `dark` or `bright` of the way.
    """
    height, width, _ = picture.shape
    codes = picture * np.float32(255)
    small = resize(codes, (round(height / down), round(width / across)), "bicubic")
    soft = _larger(_larger(small, height, 0), width, 1)
    own, other = _spread(codes), _spread(soft)
    mask = ((own - other) / (own + 0.001) * 255 - low) * ((own + 256) / 512 + high / 100)
    mixed = soft + (codes - soft) * np.clip(mask, 0, 255) / 255
    held = np.clip(codes, _extreme(mixed, np.minimum), _extreme(mixed, np.maximum))
    return np.where(codes < held, codes + (held - codes) * dark, codes + (held - codes) * bright) / 255


def _larger(picture, count, axis):
    """Cubic B-spline enlargement along an axis, edges repeated."""
    size = picture.shape[axis]
    place = (np.arange(count) + 0.5) * size / count - 0.5
    total = 0.0
    for k in range(-1, 3):
        index = np.floor(place).astype(int) + k
        d = np.abs(place - index)
        weight = np.where(d < 1, 2 / 3 - d**2 + d**3 / 2, np.where(d < 2, (2 - d) ** 3 / 6, 0)).astype(np.float32)
        shape = [1] * picture.ndim
        shape[axis] = count
        total = total + weight.reshape(shape) * picture.take(np.clip(index, 0, size - 1), axis=axis)
    return total


def _extreme(picture, function):
    for axis in (0, 1):
        pad = [(0, 0)] * 3
        pad[axis] = (1, 1)
        padded = np.moveaxis(np.pad(picture, pad, mode="edge"), axis, 0)
        picture = np.moveaxis(function(function(padded[:-2], padded[1:-1]), padded[2:]), 0, axis)
    return picture


def _spread(picture):
    return _extreme(picture, np.maximum) - _extreme(picture, np.minimum)


def scores(clean, case):
    """PSNR to the clean drawings of the halo, of dehalo_alpha at its best of four settings, of fastup; the estimate."""
    clean, frames = peaked(clean, *case)
    found = estimate(frames)
    ours = np.stack([dehalo.dehalo(frame, found.taps, protect=2 * found.noise) for frame in frames])
    theirs = max(
        psnr(np.stack([dehalo_alpha(frame, *setting) for frame in frames]), clean)
        for setting in ((1.5, 1.5), (2, 2), (2, 1), (2, 1, 100))
    )
    white = case[-1]
    return psnr(frames, clean), theirs, psnr(np.floor(ours * white + 0.5) / white, clean), found


def lines(clean):
    yield f"{'k, s, echo, delay, softness, noise, white':42} {'halo':>6} {'alpha':>6} {'fastup':>6}  found"
    for case in CASES:
        halo, alpha, ours, found = scores(clean, case)
        parts = ", ".join(f"{value:.2f}" for value in vars(found.halo).values())
        yield f"{', '.join(f'{value:g}' for value in case):42} {halo:6.1f} {alpha:6.1f} {ours:6.1f}  {parts}"


@pytest.mark.parametrize("case", CASES, ids=str)
def test_halos_come_out(case, capsys):
    halo, alpha, ours, found = scores(drawings(), case)
    with capsys.disabled():
        print(f"\n{case}: halo {halo:.1f}, dehalo_alpha {alpha:.1f}, fastup {ours:.1f} dB; {found.halo}")
    assert ours >= halo + 3
    if case[-2] == 2:  # which stays in protected flats
        assert ours >= alpha + (5 if case[:5] == CASES[0][:5] else 4)


@pytest.mark.parametrize("noise", [0.0, 2.0])
def test_halos_come_out_of_what_rings_itself(noise):
    clean, frames = peaked(drawings("lanczos"), 0.8, 1.6, 0, 0, 0, noise, 255)
    found = estimate(frames)
    ours = np.stack([dehalo.dehalo(frame, found.taps, protect=2 * found.noise) for frame in frames])
    assert psnr(ours, clean) >= psnr(frames, clean) + 9, found


@pytest.mark.parametrize("noise", [0.0, 2.0])
@pytest.mark.parametrize("softness", [0.0, 1.2])
@pytest.mark.parametrize("filter", ["area", "bicubic", "lanczos"])
def test_clean_frames_stay(filter, softness, noise):
    _, frames = peaked(drawings(filter), 0, 1, 0, 0, softness, noise, 1023)
    found = estimate(frames)
    ours = np.stack([dehalo.dehalo(frame, found.taps, protect=2 * found.noise) for frame in frames])
    assert 1023 * np.sqrt(np.mean((ours - frames) ** 2)) <= 1, found


def bias_and_spread(halo, times, noise):
    """Of the peaking that is estimated, as shares of it, or as they are where there is none."""
    found = [test_dehalo.peaking(halo, times, noise / 255, seed) for seed in range(10)]
    return (np.mean(found) - halo.peaking) / (halo.peaking or 1), np.std(found, ddof=1) / (halo.peaking or 1)


if __name__ == "__main__":
    print("PSNR to the clean drawings, dB")
    print("\n".join(lines(drawings())))
    print("peaking: bias, spread")
    for halo in test_dehalo.HALOS:
        for times in (3, 4):
            for noise in (0, 2):
                bias, spread = bias_and_spread(halo, times, noise)
                print(f"{halo}, drawn {times} times as large, noise {noise}: {bias:+.1%}, {spread:.1%}", flush=True)
