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
