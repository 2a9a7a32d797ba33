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
    """Of this machine itself; what the files of others say is below."""
    free = memory.free()
    assert free is not None
    assert free > 1 << 24
    assert memory._on_gpu() or free < os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


# -- in containers -----------------------------------------------------------------------------------------------------

GIB = 1 << 30
V1 = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n34 31 0:31 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"


def _machine(root, available, own, mounts, groups):
    """A machine with 64 GiB of which so many bytes are available, and the files of control groups by their paths."""
    files = {
        "proc/meminfo": f"MemTotal: {64 << 20} kB\nMemAvailable: {available // 1024} kB\n",
        "proc/self/cgroup": own,
        "proc/self/mountinfo": "21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n" + mounts,
        **groups,
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def _group(folder, limit, used, active=0, inactive=0, version=2):
    """The files of a control group."""
    names = ("memory.max", "memory.current") if version == 2 else ("memory.limit_in_bytes", "memory.usage_in_bytes")
    stat = {"anon": used - active - inactive, "active_file": active, "inactive_file": inactive}
    if version == 1:  # its own figures, which leave out those of groups in it
        stat = dict.fromkeys(stat, 7) | {f"total_{name}": value for name, value in stat.items()}
    text = "".join(f"{name} {value}\n" for name, value in stat.items())
    return {f"{folder}/{names[0]}": f"{limit}\n", f"{folder}/{names[1]}": f"{used}\n", f"{folder}/memory.stat": text}


V2_MOUNT = "30 23 0:26 {} /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
V1_MOUNT = V1 + "35 31 0:32 {} /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
NO_LIMIT = 9223372036854771712
TOP, V1_TOP = "sys/fs/cgroup", "sys/fs/cgroup/memory"


@pytest.mark.parametrize(
    ("own", "mounts", "files", "expected"),
    [
        # In a container of version 2, whose group looks like the topmost one.
        ("0::/\n", V2_MOUNT.format("/"), _group(TOP, 3 * GIB, GIB), 2 * GIB),
        ("0::/\n", V2_MOUNT.format("/"), _group(TOP, "max", GIB), 20 * GIB),
        ("0::/\n", V2_MOUNT.format("/"), _group(TOP, 40 * GIB, GIB), 20 * GIB),  # the machine has less
        ("0::/\n", V2_MOUNT.format("/"), _group(TOP, GIB, 2 * GIB), 0),  # its limit was lowered
        ("0::/\n", V2_MOUNT.format("/"), _group(TOP, 3 * GIB, 3 * GIB, GIB // 2, 2 * GIB), 5 * GIB // 2),
        # Nested: the tightest counts, wherever it is; a group beside is nothing to us.
        (
            "0::/a.slice/b/c\n",
            V2_MOUNT.format("/"),
            _group(TOP + "/a.slice", 9 * GIB, 8 * GIB)
            | _group(TOP + "/a.slice/b", 4 * GIB, GIB)
            | _group(TOP + "/a.slice/b/c", "max", GIB)
            | _group(TOP + "/a.slice/b/d", 4096, 4096)
            | _group(TOP + "/b", 4096, 4096),
            GIB,
        ),
        (
            "0::/a.slice/b/c\n",
            V2_MOUNT.format("/"),
            _group(TOP + "/a.slice", 9 * GIB, 5 * GIB)
            | _group(TOP + "/a.slice/b", "max", GIB)
            | _group(TOP + "/a.slice/b/c", 5 * GIB, 2 * GIB),
            3 * GIB,
        ),
        # A part of the tree is mounted; and our group may lie outside of what we see.
        ("0::/docker/ab/sub\n", V2_MOUNT.format("/docker/ab"), _group(TOP + "/sub", 2 * GIB, GIB), GIB),
        ("0::/../cd\n", V2_MOUNT.format("/"), _group(TOP, 2 * GIB, GIB), GIB),
        (
            "0::/s.slice/x\\x2dy.scope\n",
            V2_MOUNT.format("/s.slice/x\\134x2dy.scope").replace("/sys/fs/cgroup", "/my\\040groups"),
            _group("my groups", 2 * GIB, GIB),
            GIB,
        ),
        # Version 1 says a huge number for none.
        ("4:memory:/\n1:cpu:/\n0::/\n", V1_MOUNT.format("/"), _group(V1_TOP, NO_LIMIT, GIB, version=1), 20 * GIB),
        (
            "4:memory:/docker/ab\n1:cpu:/docker/ab\n",
            V1_MOUNT.format("/docker/ab"),
            _group(V1_TOP, 3 * GIB, 2 * GIB, GIB // 4, GIB // 2, version=1),
            7 * GIB // 4,
        ),
        (
            "4:name=a:b,memory\n12:cpu,memory:/k/p\n",
            V1_MOUNT.format("/").replace("rw,memory", "rw,cpu,memory"),
            _group(V1_TOP + "/k/p", NO_LIMIT, GIB, version=1) | _group(V1_TOP + "/k", 4 * GIB, 3 * GIB, version=1),
            GIB,
        ),
        # Both, as systemd once had them: memory is version 1's.
        (
            "4:memory:/u\n0::/u\n",
            V1_MOUNT.format("/") + V2_MOUNT.format("/").replace("/sys/fs/cgroup", "/sys/fs/cgroup/unified"),
            _group(V1_TOP + "/u", 2 * GIB, GIB, version=1) | {TOP + "/unified/u/cgroup.procs": "1\n"},
            GIB,
        ),
        # What is damaged or missing counts for nothing.
        ("0::/\n", V2_MOUNT.format("/"), {TOP + "/memory.max": f"{2 * GIB}\n"}, 20 * GIB),
        ("0::/\n", V2_MOUNT.format("/"), _group(TOP, 2 * GIB, GIB) | {TOP + "/memory.stat": "x\n"}, GIB),
        ("0::/\n", "", {}, 20 * GIB),
        ("", V2_MOUNT.format("/"), _group(TOP, 2 * GIB, GIB), 20 * GIB),
        ("nonsense\n", V2_MOUNT.format("/"), _group(TOP, 2 * GIB, GIB), 20 * GIB),
    ],
)
def test_a_container_has_what_its_limit_leaves(tmp_path, monkeypatch, own, mounts, files, expected):
    monkeypatch.setattr(memory, "_on_gpu", lambda: False)
    assert memory.free(_machine(tmp_path, 20 * GIB, own, mounts, files)) == expected


def test_a_machine_without_control_groups(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "_on_gpu", lambda: False)
    assert memory.free(tmp_path) is None
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "meminfo").write_text("MemTotal: 10 kB\nMemAvailable: 3 kB\n")
    assert memory.free(tmp_path) == 3 << 10
