"""What a step takes, and the largest batch that fits."""

import os
import sys

import keras
import pytest

from fastup.errors import OptionError
from fastup.networks import memory
from fastup.networks.models import Network


@pytest.fixture(scope="module")
def network():
    network = Network({"model": "espcn", "scale": [[9, 4], [2, 1]], "border": [18, 18]})
    network.compile(keras.optimizers.Adam(1e-3, use_ema=True), "mean_squared_error")
    return network


def test_a_step_of_espcn_by_hand(network):
    # Per tile of 72: inputs 48 x 54 x 3, two convolutions of 64 and 32, and four pictures of 108 x 108 or 72 x 72.
    inside = sum(48 * 54 * channels for channels in (3, 64, 32))
    outside = sum(side * side * 3 for side in (108, 108, 108, 72))
    weights = network.count_params()
    for batch in (1, 16):
        assert memory.of_step(network, batch, 72) == 4 * (2 * batch * (inside + outside) + 4 * weights)


def test_the_largest_batch_is_what_fits(network, monkeypatch):
    tried = []
    monkeypatch.setattr(memory, "_fits", lambda network, batch, tile: tried.append(batch) or batch <= 8)
    monkeypatch.setattr(memory, "free", lambda: memory.of_step(network, 64, 72) / memory.ROOM + 1)
    assert memory.largest_batch(network, 72, 1000) == 8
    assert tried == [64, 32, 16, 8]
    assert memory.largest_batch(network, 72, 7) == 4  # no more than there are
    monkeypatch.setattr(memory, "free", lambda: 1)
    assert memory.largest_batch(network, 72, 1000) == 1
    monkeypatch.setattr(memory, "free", lambda: None)
    with pytest.raises(OptionError, match="batch is 'auto'"):
        memory.largest_batch(network, 72, 1000)


def test_a_step_that_has_no_room(network, monkeypatch):
    weights = network.get_weights()
    assert memory._fits(network, 2, 72)
    for message, fits in (("OOM when allocating tensor", False), ("RESOURCE_EXHAUSTED: Out of memory", False)):

        def fail(*_, message=message):
            raise RuntimeError(message)

        monkeypatch.setattr(Network, "train_on_batch", fail)
        assert memory._fits(network, 2, 72) is fits
    monkeypatch.setattr(Network, "train_on_batch", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        memory._fits(network, 2, 72)
    assert all((a == b).all() for a, b in zip(weights, network.get_weights(), strict=True))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system may not say")
def test_what_is_free():
    """Of this machine itself; test_free.py has what the files of others say."""
    free = memory.free()
    assert free is not None
    assert free > 1 << 24
    assert memory.on_gpu() or free < os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
