"""The truth of drawn masters, held to the pictures."""

from dataclasses import replace

import masters
import numpy as np
import pytest

import fastup

TINY = {"frames": 32, "scene": (9, 13), "hd": (270, 360), "sd": (120, 180), "tape": False, "grain": 0.0}


def warped(hd, affine, size, steps=3):
    """HD as SD sees it: the mean of some points in each SD pixel, each between its four neighbours in HD."""
    steps = (np.arange(steps) + 0.5) / steps
    total = np.zeros((*size, 3))
    for dy in steps:
        for dx in steps:
            y, x = np.mgrid[: size[0], : size[1]] + np.array([dy, dx])[:, None, None]
            v, u = (row[0] * y + row[1] * x + row[2] - 0.5 for row in affine)
            v, u = np.clip(v, 0, hd.shape[0] - 1.001), np.clip(u, 0, hd.shape[1] - 1.001)
            i, j = v.astype(int), u.astype(int)
            a, b = (v - i)[..., None], (u - j)[..., None]
            total += (1 - a) * ((1 - b) * hd[i, j] + b * hd[i, j + 1]) + a * (
                (1 - b) * hd[i + 1, j] + b * hd[i + 1, j + 1]
            )
    return total / len(steps) ** 2


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("everything", {"pillars": (60, 60, 0, 0), "subtitles": 0.0, "rotation": 1.0, "cuts": 0}),
        ("missing, doubled", {"colour": "curves", "weave": 0.3}),
    ],
)
def test_the_truth_is_what_the_pictures_show(tmp_path, name, changes):
    case = replace(masters.CASES[name], **TINY, **changes)
    truth = masters.make(case, 3, tmp_path)
    sd, hd = (fastup.find(tmp_path / name) for name in ("sd", "hd"))
    assert (len(sd), len(hd)) == (len(truth.sd), len(truth.hd))
    with_partner = [n for n, partners in enumerate(truth.partners) if partners and truth.kind[n] != "black"]
    assert len(with_partner) >= 12
    for n in with_partner[::12]:
        frame, other = fastup.read(sd[n], "float32"), fastup.read(hd[max(truth.partners[n])], "float32")
        expected = truth.colour(n)(warped(other, truth.affine[n], case.sd))
        shown = np.abs(expected - truth.picture(n))[8:-8, 8:-8]
        off = np.abs(expected - frame)[8:-8, 8:-8]
        flat = truth.flat(n)
        assert shown.mean() < 0.008  # bilinear blurs
        assert off.mean() < 0.008
        assert flat.mean() > 0.02
        assert np.quantile(np.abs(expected - frame)[flat], 0.95) < 0.003
        assert np.quantile(np.abs(truth.picture(n) - frame)[flat], 0.95) < 0.003
    n = next(n for n in with_partner if truth.kind[n] == "")
    other = fastup.read(hd[min(truth.partners[n])], "float32")
    shown = truth.picture(n)
    for axis in (0, 1):  # the place, to a twentieth of an SD pixel: the least of three points
        errors = []
        for step in (-0.3, 0.0, 0.3):
            affine = truth.affine[n].copy()
            affine[:, 2] += step * affine[:, axis]
            difference = truth.colour(n)(warped(other, affine, case.sd)) - shown
            errors.append(np.square(difference[8:-8, 8:-8]).mean())
        least = 0.3 * (errors[0] - errors[2]) / (2 * (errors[0] + errors[2] - 2 * errors[1]))
        assert abs(least) < 0.05
    others = sorted(set(range(len(hd))) - truth.partners[with_partner[0]])
    first = truth.hd[min(truth.partners[with_partner[0]])]
    for n in others[:3]:  # what is no partner shows something else
        assert truth.hd[n] != first


def test_a_seed_gives_the_same_masters(tmp_path):
    case = replace(masters.CASES["everything"], **TINY | {"frames": 12, "tape": True, "grain": 0.01})
    one, two = (masters.make(case, 7, tmp_path / name, threads) for name, threads in (("a", 1), ("b", 2)))
    np.testing.assert_array_equal(one.affine, two.affine)
    assert (one.sd, one.hd, one.partners) == (two.sd, two.hd, two.partners)
    for part in ("sd", "hd"):
        paths = [fastup.find(tmp_path / name / part) for name in ("a", "b")]
        for a, b in list(zip(*paths, strict=True))[::9]:
            assert a.name == b.name
            assert a.read_bytes() == b.read_bytes()


def test_films_with_nothing_in_common_share_no_drawing(tmp_path):
    truth = masters.make(replace(masters.CASES["nothing in common"], **TINY | {"frames": 12}), 1, tmp_path)
    assert not any(truth.partners)
