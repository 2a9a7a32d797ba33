"""One path over two films: who is whose partner, over seeds of small made-up films."""

import numpy as np
import pytest

from fastup.pairs.signatures import Signatures
from fastup.pairs.timeline import align


def scene(rng, frames, hold):
    """Grids of a still scene with something that moves in a tenth of it, each drawing held for `hold` frames."""
    grids = rng.uniform(5000, 60000, (1, 9, 12)).repeat(4, 1).repeat(4, 2).repeat(frames, 0)
    for frame in range(frames):
        if frame % hold == 0:
            y, x = rng.integers(0, (26, 36))
        grids[frame, y : y + 10, x : x + 12] = 30000
    return grids


def film(grids, rng, noise=40):
    grids = np.concatenate(grids)
    return Signatures(
        (grids + rng.normal(0, noise, grids.shape)).clip(0, 65535).astype(np.uint16), np.arange(len(grids))
    )


@pytest.mark.parametrize("seed", range(3))
def test_a_film_is_found_in_itself_behind_another_intro(seed):
    rng = np.random.default_rng(seed)
    scenes = [scene(rng, 30, 2) for _ in range(6)]
    found = align(film([scene(rng, 20, 2), *scenes], rng), film(scenes, rng))
    assert (found.partner[:20] == -1).mean() > 0.9
    assert all(found.why[:15])
    assert found.partner[20:].tolist() == list(range(180))
    assert (np.diff(found.shot)[[19, 49, 79, 109]] != 0).all()
    assert (found.margin[20:] > 0).all()


@pytest.mark.parametrize("seed", range(5))
def test_films_that_have_nothing_in_common_have_no_pairs(seed):
    rng = np.random.default_rng(seed)
    one, other = (film([scene(rng, 20, 2) for _ in range(4)], rng) for _ in range(2))
    found = align(one, other)
    assert (found.partner == -1).all()
    assert all(found.why)
    assert (found.shot == -1).all()
    seen = []
    assert align(one, one, lambda *progress: seen.append(progress)).partner.tolist() == list(range(80))
    assert seen == [(step, 8, "finding what is when") for step in range(1, 9)]


def scenes_of(seed, count=4, frames=24):
    """Scenes on ones, and their numbers for noise."""
    rng = np.random.default_rng(seed)
    return [scene(rng, frames, 1) for _ in range(count)], rng


@pytest.mark.parametrize("seed", range(3))
def test_frames_that_are_missing_in_either_film(seed):
    scenes, rng = scenes_of(seed)
    whole = np.concatenate(scenes)
    ours, theirs = np.delete(np.arange(96), [10, 50, 51]), np.delete(np.arange(96), [30, 70])
    found = align(film([whole[ours]], rng), film([whole[theirs]], rng))
    place = np.searchsorted(theirs, ours)
    there = np.isin(ours, theirs)
    assert found.partner[there].tolist() == place[there].tolist()
    assert (found.partner[~there] == -1).all()


@pytest.mark.parametrize("seed", range(3))
def test_scenes_in_another_order(seed):
    scenes, rng = scenes_of(seed)
    found = align(film(scenes, rng), film([scenes[n] for n in (0, 3, 1, 2)], rng))
    assert found.partner.tolist() == np.concatenate([np.arange(24) + 24 * n for n in (0, 2, 3, 1)]).tolist()
    assert len(np.unique(found.shot)) == 4


@pytest.mark.parametrize("seed", range(3))
def test_black_has_no_partner_and_what_is_around_it_does(seed):
    scenes, rng = scenes_of(seed)
    black = np.full((12, 36, 48), 4000.0)
    found = align(film([*scenes[:2], black, *scenes[2:]], rng), film([*scenes[:2], black[:5], *scenes[2:]], rng))
    assert found.partner[:48].tolist() == list(range(48))
    assert found.partner[60:].tolist() == list(range(53, 101))
    assert set(found.why[48:60]) - {""} == {"black, or of one colour"}


@pytest.mark.parametrize("seed", range(3))
def test_a_flash_is_no_cut_and_moves_nothing(seed):
    scenes, rng = scenes_of(seed)
    flashed = np.concatenate(scenes)
    flashed[[30, 31]] = 60000 + flashed[[30, 31]] / 20
    found = align(film([flashed], rng), film(scenes, rng))
    usual = np.delete(np.arange(96), [30, 31])
    assert found.partner[usual].tolist() == usual.tolist()
    assert found.shot[29] == found.shot[32]
