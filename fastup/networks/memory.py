"""What a training step takes of the device's memory, and the largest batch that it has room for."""

import contextlib
import re
import subprocess
from math import inf, prod
from pathlib import Path

import keras
import numpy as np

from fastup._types import StrPath
from fastup.errors import OptionError
from fastup.networks.models import Network

ROOM = 0.8  # share of what is free that a batch may take: the estimate is one
# How a control group says its limit and its usage, and what names in its memory.stat begin with: versions 1 and 2.
GROUPS = {
    "cgroup": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_"),
    "cgroup2": ("memory.max", "memory.current", ""),
}


def of_step(network: Network, batch: int, tile: int) -> int:
    """About how many bytes a step takes on the device.

    Every layer's output is kept for the way back, where it gets a gradient of its own size; and the weights have their
    gradients and the two moments of Adam beside them. What libraries use inside a convolution is not known. `tile` is
    in target pixels, wide and high, without the border.
    """
    shape = tuple(int((tile + 2 * b) / s) for b, s in zip(network.border, network.scale, strict=True))
    every = keras.Model(network.inputs, [layer.output for layer in network.layers])
    outputs = sum(
        prod(output) * _bytes(layer)
        for layer, output in zip(network.layers, every.compute_output_shape((batch, *shape, 3)), strict=True)
    )
    return 2 * outputs + 4 * sum(prod(weight.shape) * 4 for weight in network.weights)


def free(root: StrPath = "/") -> int | None:
    """Bytes that the device has for training: all of the smallest NVIDIA card, else what the machine has free.

    Where control groups limit memory, as in a container, that is no more than the tightest of them leaves. None if the
    system doesn't say. `root` is where /proc and /sys are.
    """
    try:
        if _on_gpu():
            command = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
            listed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout
            # The backend may hold all of it already, for this very purpose; so all counts as free.
            return min(int(line) for line in listed.split()) << 20
        with open(Path(root, "proc/meminfo")) as file:
            sizes = dict(line.split(":") for line in file)
        available = int(sizes["MemAvailable"].split()[0]) << 10
        return max(min([available, *(_left(folder, *names) for folder, names in _groups(Path(root)))]), 0)
    except (OSError, subprocess.SubprocessError, ValueError, KeyError):
        return None


def _groups(root):
    """The folders of the control groups that this process is in, own and above, each with its row of `GROUPS`."""
    try:
        rows = re.findall("^[0-9]+:(.*?):(/.*)$", (root / "proc/self/cgroup").read_text(), re.MULTILINE)
        mounts = (root / "proc/self/mountinfo").read_text()
    except (OSError, ValueError):  # a system without
        return
    # The one hierarchy of version 2 names no controllers; of version 1 there is one for memory.
    own = {
        "cgroup" if names else "cgroup2": Path(path)
        for names, path in rows
        if not names or "memory" in names.split(",")
    }
    for line in mounts.splitlines():
        fields, _, rest = line.partition(" - ")
        kind, _, options = rest.split(" ", 2)
        if kind not in own or (kind == "cgroup" and "memory" not in options.split(",")):
            continue
        top, point = (re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), text) for text in fields.split()[3:5])
        point = root / point.lstrip("/")
        # A container may see its own group alone, mounted as if it were the topmost one.
        folder = point / own[kind].relative_to(top) if own[kind].is_relative_to(top) else point
        yield from ((each, GROUPS[kind]) for each in (folder, *folder.parents) if each.is_relative_to(point))


def _left(folder, limit, usage, prefix):
    """Bytes that a control group leaves; infinity where it has no limit.

    Pages of files count as free, as in MemAvailable: the kernel takes them back before it kills.
    """
    try:
        left = int((folder / limit).read_text()) - int((folder / usage).read_text())
    except (OSError, ValueError):  # "max", or the topmost group, which has no such files
        return inf
    with contextlib.suppress(OSError, ValueError, KeyError):
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        left += sum(int(stat[f"{prefix}{name}_file"]) for name in ("active", "inactive"))
    return left


def largest_batch(network: Network, tile: int, tiles: int) -> int:
    """The largest power of two that fits: by the estimate, and then by a step on zeros.

    1 if not even that fits: then the first step says so. The network is compiled; its weights are left as they are.
    `tile` is as in `of_step`; no batch is larger than `tiles`.

    Raises
    ------
    OptionError
        If the system doesn't say how much memory there is.
    """
    available = free()
    if available is None:
        raise OptionError("batch is 'auto', but the system does not say how much memory is free; give a number")
    room = ROOM * available
    batch = 1
    while 2 * batch <= tiles and of_step(network, 2 * batch, tile) <= room:
        batch *= 2
    while batch > 1 and not _fits(network, batch, tile):
        batch //= 2
    return batch


def _fits(network, batch, tile):
    """Whether a step on zeros runs on the device, on a twin of the network."""
    twin = type(network)(network.settings)
    twin.compile(type(network.optimizer).from_config(network.optimizer.get_config()), network.loss)
    sides = [(tile + 2 * b, s) for b, s in zip(network.border, network.scale, strict=True)]
    inputs = np.zeros((batch, *(int(size / scale) for size, scale in sides), 3), np.float32)
    try:
        twin.train_on_batch(inputs, np.zeros((batch, tile, tile, 3), np.float32))
    except Exception as error:  # every backend has one of its own
        if any(words in str(error).lower() for words in ("out of memory", "resource_exhausted", "oom when")):
            return False
        raise
    return True


def _bytes(layer):
    return 2 if layer.compute_dtype.endswith("16") else 4


def _on_gpu():
    if keras.backend.backend() == "torch":
        return "cuda" in str(keras.ops.zeros(1).device)
    return keras.distribution.list_devices()[0].startswith("gpu")
