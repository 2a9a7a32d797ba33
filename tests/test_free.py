"""What memory is free, by the files of a machine and of its control groups, and sizes in words."""

import platform
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastup import _free
from fastup.errors import OptionError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4G", 4 << 30), ("800M", 800 << 20), ("1.5G", 3 << 29), (".5g", 1 << 29), ("4GB", 4 << 30), ("4 GiB", 4 << 30),
        (" 64k ", 64 << 10), ("2T", 2 << 40), ("123456", 123456), ("7b", 7), ("2.G", 2 << 30),
    ],
)  # fmt: skip
def test_sizes_in_words(text, expected):
    assert _free.parse(text) == expected


@pytest.mark.parametrize("text", ["", "G", "4X", "-4G", "0", "0G", "4,5G", "1e9", "nan", "inf", "4G8", "\u0664G", "."])
def test_what_is_no_size(text):
    with pytest.raises(OptionError, match=r"^memory is .*, expected a size such as 4G or 800M$"):
        _free.parse(text)


@given(st.integers(1, 1 << 45))
def test_words_are_near_the_size(size):
    near = _free.parse(_free.words(size).replace("bytes", "").replace("byte", ""))
    assert abs(near - size) <= size / 19


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's")
def test_threads_share_a_heap():
    """What threads have in heaps of their own lies outside the one that begins at [heap]."""
    code = """
import threading
from fastup import _free
_free.one_heap()
held = [None] * 8
def take(n): held[n] = [bytearray(100_000) for _ in range(50)]
threads = [threading.Thread(target=take, args=(n,)) for n in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
(line,) = [line for line in open("/proc/self/maps") if line.endswith("[heap]\\n")]
low, high = line.split()[0].split("-")
print(int(high, 16) - int(low, 16))
"""
    if "glibc" in platform.libc_ver()[0]:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert int(done.stdout) > 8 * 50 * 100_000


class ResourceExhaustedError(Exception):  # as TensorFlow's
    pass


class OutOfMemoryError(RuntimeError):  # as Torch's
    pass


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        ResourceExhaustedError("Graph execution error"),
        OutOfMemoryError("no room"),
        # As these said on machines where memory had run out.
        RuntimeError("OOM when allocating tensor with shape[1,2048,2048,24] and type float by allocator mklcpu"),
        RuntimeError("INTERNAL: Error dispatching computation: Out of memory allocating 805324800 bytes."),
        RuntimeError("RESOURCE_EXHAUSTED: Failed to allocate request for 768.0MiB (805306368B) on device ordinal 0"),
        RuntimeError(
            "[ONNXRuntimeError] : 1 : FAIL : Non-zero status code returned while running Conv node. Name:'c0_nchwc' "
            "Status Message: bfc_arena.cc:360 void* onnxruntime::BFCArena::AllocateRawInternal(size_t, bool, "
            "onnxruntime::Stream*) Failed to allocate memory for requested buffer of size 268435456"
        ),
        RuntimeError("[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : CUDA failure 2: out of memory ; GPU=0"),
        RuntimeError(
            "Exception from src/plugins/intel_cpu/src/node.cpp:794:\n[CPU] Convolution node with name 'c0' Check 'ptr' "
            "failed at src/plugins/intel_cpu/src/cpu_memory.cpp:257:\nFailed to allocate 402653184 bytes of memory\n"
        ),
        RuntimeError("Exception from node.cpp:8:\n[CPU] Convolution node with name 'conv_9/WithoutBiases' can't alloc"),
        RuntimeError("[GPU] Exceeded max size of memory object allocation: requested 5308416000 bytes"),
        RuntimeError("clEnqueueNDRangeKernel, error code: -5 CL_OUT_OF_RESOURCES"),
        RuntimeError("CL_MEM_OBJECT_ALLOCATION_FAILURE"),
        RuntimeError("CUDA_ERROR_OUT_OF_MEMORY"),
        RuntimeError("CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("std::bad_alloc"),
        RuntimeError("8007000E Not enough memory resources are available to complete this operation."),
    ],
    ids=lambda error: str(error)[-40:],
)
def test_who_ran_out_of_memory(error):
    assert _free.ran_out(error)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("shapes do not fit"),
        RuntimeError("[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : Got invalid dimensions for input: x"),
        RuntimeError("Check 'shape' failed at src/core/shape.cpp: axis out of range"),
        RuntimeError("NOT_FOUND: the memory type is not known"),
        ZeroDivisionError("division by zero"),
        KeyboardInterrupt(),
        OSError(28, "No space left on device"),
    ],
    ids=str,
)
def test_who_did_not(error):
    assert not _free.ran_out(error)


@pytest.mark.parametrize(
    ("printed", "expected"), [("81559\n", 81559 << 20), ("24576\n8192\n", 8192 << 20), ("", None), ("[N/A]\n", None)]
)
def test_cards(monkeypatch, printed, expected):
    done = subprocess.CompletedProcess([], 0, printed)
    monkeypatch.setattr(_free.subprocess, "run", lambda *_, **__: done)
    assert _free.of_card() == expected


def test_no_cards(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert _free.of_card() is None


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
def test_a_container_has_what_its_limit_leaves(tmp_path, own, mounts, files, expected):
    assert _free.of_machine(_machine(tmp_path, 20 * GIB, own, mounts, files)) == expected


def test_a_machine_without_control_groups(tmp_path):
    assert _free.of_machine(tmp_path) is None
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "meminfo").write_text("MemTotal: 10 kB\nMemAvailable: 3 kB\n")
    assert _free.of_machine(tmp_path) == 3 << 10
