"""How well telecined animation is undone, against FFmpeg's fieldmatch and decimate, on clips whose truth is known.

``.venv/bin/python bench/bench_telecine.py [FRAMES [SEEDS]]`` prints the whole table, 600 film frames and 5 seeds a case
by default; ``pytest`` runs it with 160 and holds the floors. VIVTC and TIVTC get columns where VapourSynth has them.
"""

import shutil
import statistics
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from fractions import Fraction
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from fastup import Header, find, stream, write, write_stream
from fastup.footage import telecine

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import telecined

ONES = [name for name in telecined.CASES if "ones" in name]


def ours(clip, case):
    """What fastup weaves: pairs of the frames of the top and of the bottom field."""
    fields = telecine.measure((planes[0] for planes in clip.frames), (1 << case.bits) - 1)
    return [item[:2] for item in telecine.plan(telecine.track(fields))]


def ffmpeg(clip, case):
    """What FFmpeg weaves, told the field order.

    Beside each picture goes another of its size whose lines say which frame they are of. fieldmatch and decimate decide
    by the picture and give the other (``ppsrc``), so that each line of what comes out tells where it is from.
    """
    import av

    height, width = case.size
    name = f"yuv{case.chroma}p"
    graph = av.filter.Graph()
    told = f"video_size={width}x{height}:pix_fmt={name}:time_base=1001/30000:frame_rate=30000/1001"
    inputs = [graph.add("buffer", told) for _ in range(2)]
    order = "tff" if case.top_first else "bff"
    split = graph.add("split", "2")
    plain, other = graph.add("fieldmatch", f"order={order}"), graph.add("fieldmatch", f"order={order}:ppsrc=1")
    decimate, sink = graph.add("decimate", "ppsrc=1"), graph.add("buffersink")
    inputs[0].link_to(split)
    split.link_to(plain, 0, 0)
    split.link_to(other, 1, 0)
    inputs[1].link_to(other, 0, 1)
    plain.link_to(decimate, 0, 0)
    other.link_to(decimate, 0, 1)
    decimate.link_to(sink)
    graph.configure()
    pairs = []

    def drain():
        while True:
            try:
                picture = sink.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            lines = np.frombuffer(picture.planes[0], np.uint8).reshape(-1, picture.planes[0].line_size)
            pairs.append(tuple(int(line[8]) + 256 * int(line[24]) for line in lines[100:102]))

    for number, planes in enumerate(clip.frames):
        eight = [np.uint8(np.right_shift(plane, case.bits - 8)) for plane in planes]
        mark = [np.zeros_like(plane) for plane in eight]
        mark[0][:, :16], mark[0][:, 16:32] = number % 256, number // 256
        for node, content in zip(inputs, (eight, mark), strict=True):
            picture = av.VideoFrame(width, height, name)
            picture.pts, picture.time_base = number, Fraction(1001, 30000)
            telecined.fill(picture, content)
            node.push(picture)
        drain()
    for node in inputs:
        node.push(None)
    drain()
    return pairs


def _vapoursynth(clip, case, undo, match):
    """What VapourSynth's plugins weave; `undo` takes its core, the pictures, and 1 for top field first.

    Each frame says what it was matched with, by the name `match`, and keeps the number that it came with.
    """
    import vapoursynth as vs

    def fill(n, f):
        frame = f.copy()
        for k, plane in enumerate(clip.frames[n]):
            np.asarray(frame[k])[...] = np.right_shift(plane, case.bits - 8)
        frame.props["number"] = n
        return frame

    (height, width), kind = case.size, {"420": vs.YUV420P8, "422": vs.YUV422P8}[case.chroma]
    blank = vs.core.std.BlankClip(
        width=width, height=height, format=kind, length=len(clip.frames), fpsnum=30000, fpsden=1001
    )
    woven = undo(vs.core, vs.core.std.ModifyFrame(blank, blank, fill), int(case.top_first))
    pairs = []
    for frame in woven.frames():
        n = frame.props["number"]
        # The field that comes first stays with p and n, the other one with b and u.
        first, second = {0: (n, n - 1), 1: (n, n), 2: (n, n + 1), 3: (n - 1, n), 4: (n + 1, n)}[frame.props[match]]
        pairs.append((first, second) if case.top_first else (second, first))
    return pairs


def vivtc(clip, case):
    """VIVTC's VFM and VDecimate."""
    undo = lambda core, pictures, order: core.vivtc.VDecimate(core.vivtc.VFM(pictures, order, field=order))  # noqa: E731
    return _vapoursynth(clip, case, undo, "VFMMatch")


def tivtc(clip, case):
    """TIVTC's TFM without post-processing, and TDecimate in mode 1, which takes whole strings of repeats."""
    undo = lambda core, pictures, order: core.tivtc.TDecimate(core.tivtc.TFM(pictures, order, PP=1), mode=1)  # noqa: E731
    return _vapoursynth(clip, case, undo, "TFMMatch")


PEERS = {"fastup": ours, "FFmpeg": ffmpeg}
if find_spec("vapoursynth"):
    import vapoursynth

    names = {plugin.namespace for plugin in vapoursynth.core.plugins()}
    PEERS |= {name.upper(): function for name, function in {"vivtc": vivtc, "tivtc": tivtc}.items() if name in names}


def run(name, seed, frames):
    """Scores of all on one clip: {peer: (wrong, drawings, woven, frames, seconds)}."""
    case = replace(telecined.CASES[name], frames=frames)
    clip = telecined.make(case, seed)
    same = None if case.grain else lambda a, b: clip.drawing[a] == clip.drawing[b]
    scores = {}
    for peer, function in PEERS.items():
        began = time.perf_counter()
        pairs = function(clip, case)
        scores[peer] = *telecined.score(clip, pairs, same), time.perf_counter() - began
    return scores


def table(frames, seeds):
    """Sums over the seeds, case by case: {case: {peer: array of wrong, drawings, woven, frames, seconds}}."""
    jobs = [(name, seed) for name in telecined.CASES for seed in range(1, seeds + 1)]
    sums = {name: {peer: np.zeros(5) for peer in PEERS} for name in telecined.CASES}
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        for (name, _), scores in zip(jobs, pool.map(run, *zip(*jobs, strict=True), [frames] * len(jobs)), strict=True):
            for peer, score in scores.items():
                sums[name][peer] += score
    return sums


def lines(sums):
    """The table as text: drawings shown for a wrong time / frames woven from two film frames, in percent."""
    yield f"{'case (drawings, frames)':58}" + "".join(f"{peer:>18}" for peer in PEERS)
    held = [row for name, row in sums.items() if name not in ONES]
    for name, row in [
        *sums.items(),
        ("all on twos and more", {peer: sum(row[peer] for row in held) for peer in PEERS}),
    ]:
        _, drawings, _, count, _ = row["fastup"]
        cells = [f"{100 * w / d:.2f} / {100 * v / n:.2f}" for w, d, v, n, _ in (row[peer] for peer in PEERS)]
        yield f"{f'{name} ({drawings:.0f}, {count:.0f})':58}" + "".join(f"{cell:>18}" for cell in cells)


def test_film_frames_come_out_as_they_went_in(capsys):
    sums = table(160, 3)
    with capsys.disabled():
        print("\nwrong drawings / frames woven from two, percent")
        print("\n".join(lines(sums)))
    us, theirs = ([sums[name][peer] for name in sums if name not in ONES] for peer in ("fastup", "FFmpeg"))
    wrong, drawings, woven, count, _ = sum(us)
    peer_wrong, _, peer_woven, peer_count, _ = sum(theirs)
    assert wrong <= 0.01 * drawings
    assert woven <= 0.01 * count
    assert wrong <= 0.1 * peer_wrong
    assert woven / count <= 0.1 * peer_woven / peer_count
    for name in ONES:
        assert sums[name]["fastup"][0] <= sums[name]["FFmpeg"][0]
        assert sums[name]["fastup"][2] <= sums[name]["FFmpeg"][2] + 0.002 * sums[name]["fastup"][3]


@pytest.fixture(scope="module")
def dpx(tmp_path_factory):
    """A function: a folder of that many 10-bit DPX frames of telecined film, 720x480."""
    case = replace(telecined.CASES["mixed"], size=(480, 720), bits=10, frames=96)
    frames = [np.repeat(planes[0][..., np.newaxis], 3, 2) for planes in telecined.make(case, 0).frames]
    header = Header.new(720, 480, frame_rate=30000 / 1001)

    def dpx(count):
        folder = tmp_path_factory.mktemp("dpx")
        for n, frame in enumerate(frames):
            write(folder / f"{n:05d}.dpx", frame, header, fsync=False)
        for n in range(len(frames), count):
            (folder / f"{n:05d}.dpx").hardlink_to(folder / f"{n % len(frames):05d}.dpx")
        return folder

    return dpx


def copied(folder, out):
    """What no way to undo telecine can do without: all frames read twice, and four of five written."""
    out.mkdir()
    paths = find(folder)
    for _ in stream(paths):
        pass
    with write_stream() as write:
        for number, (path, frame) in enumerate(stream(paths)):
            if number % 5:
                write(out / path.name, frame)


def test_against_copying_the_frames(dpx, tmp_path, judged):
    folder, times = dpx(300), ([], [])
    for turn in range(5):
        for work, taken in zip((telecine.detelecine, copied), times, strict=True):
            began = time.perf_counter()
            work(folder, tmp_path / "out")
            if turn:
                taken.append((time.perf_counter() - began) / 300)
            shutil.rmtree(tmp_path / "out")
    what = "detelecine 720x480 DPX, a frame: read twice and written"
    judged(*map(statistics.median, times), at_most=5, label=what)


PEAK = """
import sys
from fastup.footage.telecine import detelecine
detelecine(sys.argv[1], sys.argv[2], force=True)
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc")
def test_memory_does_not_grow_with_the_clip(dpx, tmp_path):
    short, long = (
        int(subprocess.run([sys.executable, "-c", PEAK, dpx(count), tmp_path / str(count)], check=True,
                           capture_output=True, text=True).stdout)
        for count in (150, 1200)
    )  # fmt: skip
    assert long < 1.2 * short, f"{long / 1024:.0f} MB for 1200 frames, {short / 1024:.0f} MB for 150"


if __name__ == "__main__":
    sums = table(*(int(n) for n in [*sys.argv[1:], *(600, 5)[len(sys.argv) - 1 :]]))
    print("\n".join(lines(sums)))
