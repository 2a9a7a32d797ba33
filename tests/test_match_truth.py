"""`fastup match` on two masters of a drawn film, held to the truth; ``bench/match_figures.py`` does it at length."""

from dataclasses import replace

import judged
import masters

from fastup.pairs.match import match

CASE = replace(
    masters.CASES["everything"], frames=70, scene=(14, 20), motion=("act",), holds=(2, 3), cuts=1, credits=0,
    preview=False, hd=(270, 360), sd=(120, 180), pillars=(60, 60, 0, 0), blanking=(2, 2, 1, 0),
)  # fmt: skip


def test_what_match_finds_of_two_masters_is_true(tmp_path):
    truth = masters.make(CASE, 2, tmp_path)
    match(tmp_path / "sd", tmp_path / "hd", tmp_path / "data")
    figures = judged.match(truth, tmp_path / "data")
    told = f"{judged.HEAD}\n{figures.row()}\nwrong: {figures.wrong}, left: {figures.missed}"
    assert figures.drawings >= 15, told
    assert figures.pairs >= figures.drawings - figures.left, told
    assert figures.another <= 2, told
    assert figures.left <= 0.2 * figures.drawings, told
    assert figures.near >= 0.9, told
    assert figures.close >= 0.9, told


def test_wrong_pairs_places_and_colours_are_told(tmp_path):
    truth = masters.make(replace(CASE, frames=30, cuts=0, intros=False, dissolves=0.0, fades=0.0), 5, tmp_path)
    usual = truth.usual
    right = [min(partners, default=-1) for partners in truth.partners]
    assert not judged.times(truth, right).misses
    wrong = [n + 4 if n >= 0 else n for n in right]
    assert judged.times(truth, wrong).another > 0.5 * len(usual)
    assert judged.times(truth, [-1] * len(right)).left == judged.times(truth, right).drawings > 5
    moved = truth.affine[usual[0]].copy()
    assert judged.place(truth, usual[0], moved) < 1e-9
    moved[:, 2] += moved[:, :2] @ (0.3, 0.4)
    assert abs(judged.place(truth, usual[0], moved) - 0.5) < 1e-6
    off = truth.picture(usual[0], coloured=False) - truth.picture(usual[0])
    blocks = judged.blocks(off, truth.flat(usual[0]), (8, 8))
    assert judged.Figures(colours=blocks).misses == ["colour"]
