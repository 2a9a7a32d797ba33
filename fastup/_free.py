"""Memory that the machine has to spare, by the system and its control groups; sizes in words; who ran out of it."""

import contextlib
import ctypes
import re
import subprocess
from math import inf
from pathlib import Path

from fastup._types import StrPath
from fastup.errors import OptionError

# How a control group says its limit and its usage, and what names in its memory.stat begin with: versions 1 and 2.
GROUPS = {
    "cgroup": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_"),
    "cgroup2": ("memory.max", "memory.current", ""),
}
# What libraries say that have an error of their own for it, or none: TensorFlow, JAX, Torch, CUDA, cuDNN, ONNX Runtime,
# DirectML, OpenVINO on processors and through OpenCL, and what C++ throws.
RAN_OUT = re.compile(
    r"out[ _]of[ _](?:(?:gpu|device|host) )?(?:memory|resources)|outofmemory|resource_?exhausted|oom when|bad_alloc|"
    r"(?:failed|unable|not) (?:to )?(?:be )?allocated? |can't alloc|alloc(?:ation)?[ _]fail|not enough memory|"
    r"could not create a memory object|"
    r"exceeded max size of memory object",
    re.IGNORECASE,
)
UNITS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}


def of_machine(root: StrPath = "/") -> int | None:
    """Bytes that the machine has free.

    Where control groups limit memory, as in a container, that is no more than the tightest of them leaves. None if the
    system doesn't say. `root` is where /proc and /sys are.
    """
    try:
        with open(Path(root, "proc/meminfo")) as file:
            sizes = dict(line.split(":") for line in file)
        available = int(sizes["MemAvailable"].split()[0]) << 10
        return max(min([available, *(_left(folder, *names) for folder, names in _groups(Path(root)))]), 0)
    except (OSError, ValueError, KeyError):
        return None


def of_card() -> int | None:
    """Bytes of the smallest NVIDIA card, in use or not; None if none says."""
    command = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout
        return min(int(line) for line in listed.split()) << 20
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


def parse(size: str) -> int:
    """Bytes of a size in words: ``4G``, ``800M``, ``1.5G``, ``4GB``, ``4 GiB`` or a number of bytes; K is 1024.

    Raises OptionError if it is none, or not above 0.
    """
    match = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)\s*([KMGT]?)(?:i?B)?", size.strip(), re.IGNORECASE | re.ASCII)
    number = round(float(match[1]) * (1 << UNITS[match[2].upper()])) if match else 0
    if number < 1:
        raise OptionError(f"memory is {size!r}, expected a size such as 4G or 800M")
    return number


def words(size: float) -> str:
    """A size in words that people read: ``3.2 GiB``, ``800 MiB``, ``7 bytes``."""
    if size < 1 << 10:
        return f"{size:.0f} byte{'s' * (size != 1)}"
    unit = next(unit for unit in ("GiB", "MiB", "KiB") if size >= 1 << UNITS[unit[0]])
    value = size / (1 << UNITS[unit[0]])
    return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"


def one_heap() -> None:
    """Have the C library take memory for all threads from one heap, where it knows how.

    Frames that one thread makes and another lets go are else scattered over a heap for each, which grow for a while:
    200 frames then take 7 % more than 20, and 2 % so.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):  # no glibc
        ctypes.CDLL(None).mallopt(-8, 1)  # M_ARENA_MAX


def ran_out(error: BaseException) -> bool:
    """Whether an error, of whatever library, is that there was too little memory."""
    return isinstance(error, MemoryError) or RAN_OUT.search(f"{type(error).__name__}: {error}") is not None


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
