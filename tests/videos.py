"""What the tests of footage share: planes of noise, and small videos to order."""

import os
from fractions import Fraction

import numpy as np

import fastup
from fastup.footage.extract import prepare, run
from fastup.footage.opening import open_clip
from fastup.footage.source import Clip
from fastup.header import Header

try:
    import av
except ModuleNotFoundError:  # tests that need it are skipped
    av = None


def assert_rounds(found, value):
    """Codes are the nearest to float64 values, on every pixel; at a half, to float64's precision, both will do."""
    assert found.dtype == np.uint16
    assert np.abs(found - np.clip(value, 0, 1023)).max() <= 0.5 + 1e-9


def ramp(height, width):
    """10-bit planes of 4:2:2 with every luma code that SDI has, and many chromas."""
    y = (np.arange(height * width) % 1016 + 4).reshape(height, width)
    cb, cr = ((y[:, ::2] * factor) % 1016 + 4 for factor in (7, 13))
    return [plane.astype(np.uint16) for plane in (y, cb, cr)]


def noise(seed, bits, *shapes):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 1 << bits, shape).astype(np.uint16 if bits > 8 else np.uint8) for shape in shapes]


# -- videos ----------------------------------------------------------------------------------------------------------

SUBSAMPLED = {"444": (1, 1), "422": (1, 2), "420": (2, 2), "411": (1, 4), "440": (2, 1), "410": (4, 4)}


def picture(pixels, planes):
    """A frame of FFmpeg's from arrays, one for each of its planes."""
    height, width = planes[0].shape
    if pixels in PACKED:
        width = PACKED[pixels][0]
    frame = av.VideoFrame(width, height, pixels)
    for plane, data in zip(frame.planes, planes, strict=True):
        data = np.ascontiguousarray(data).view(np.uint8)
        rows = np.zeros((plane.height, plane.line_size), np.uint8)
        rows[:, : data.shape[1]] = data
        plane.update(rows.tobytes())
    return frame


def video(path, codec, pixels, frames, *, rate=25, times=None, options=None, tags=None, metadata=None, order=None):
    """Encode arrays; `tags` are attributes of the stream, and colours of the frames too."""
    tags = tags or {}
    with av.open(os.fspath(path), "w", options={"strict": "-2"}) as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        frames = [picture(pixels, planes) for planes in frames]
        stream.width, stream.height, stream.pix_fmt = frames[0].width, frames[0].height, pixels
        stream.metadata.update(metadata or {})
        for name, value in tags.items():
            setattr(stream.codec_context, name, value)
        stream.codec_context.time_base = 1 / Fraction(rate)
        flag = field_flagger(stream, order) if order else lambda frame: frame
        for n, frame in enumerate(frames):
            frame.pts, frame.time_base = (times or range(len(frames)))[n], 1 / Fraction(rate)
            for name, value in tags.items():
                if name.startswith("color"):
                    setattr(frame, name, value)
            container.mux(stream.encode(flag(frame)))
        container.mux(stream.encode(None))
    return path


def field_flagger(stream, order):
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=stream.width, height=stream.height, format=av.VideoFormat(stream.pix_fmt), time_base=Fraction(1, 30)
    )
    graph.link_nodes(source, graph.add("setfield", order), graph.add("buffersink")).configure()

    def flag(frame):
        pts, base = frame.pts, frame.time_base
        graph.push(frame)
        flagged = graph.pull()
        flagged.pts, flagged.time_base = pts, base
        return flagged

    return flag


def decoded(path, itemsize):
    """Planes of each frame as FFmpeg decodes them, by other means than those under test."""
    with av.open(os.fspath(path)) as container:
        for frame in container.decode(video=0):
            yield [
                np.array([
                    np.frombuffer(bytes(plane)[row * plane.line_size :], f"u{itemsize}", plane.width)
                    for row in range(plane.height)
                ])
                for plane in frame.planes
            ]  # fmt: skip


# Pixel formats that are not planes of Y, Cb, Cr as they are: width, and bytes of a random plane to what is expected.
def _of(plane, dtype=np.uint8):
    return np.ascontiguousarray(plane).view(dtype)


PACKED = {
    "yuyv422": (6, [(4, 12)], lambda p: (_of(p)[:, ::2], _of(p)[:, 1::4], _of(p)[:, 3::4])),
    "uyvy422": (6, [(4, 12)], lambda p: (_of(p)[:, 1::2], _of(p)[:, ::4], _of(p)[:, 2::4])),
    "uyyvyy411": (8, [(4, 12)], lambda p: (
        _of(p).reshape(4, 2, 6)[:, :, [1, 2, 4, 5]].reshape(4, 8), _of(p)[:, ::6], _of(p)[:, 3::6])),
    "nv12": (6, [(4, 6), (2, 6)], lambda y, c: (_of(y), _of(c)[:, ::2], _of(c)[:, 1::2])),
    "nv21": (6, [(4, 6), (2, 6)], lambda y, c: (_of(y), _of(c)[:, 1::2], _of(c)[:, ::2])),
    "p010le": (6, [(4, 12), (2, 12)], lambda y, c: (
        _of(y, "<u2") >> 6, _of(c, "<u2")[:, ::2] >> 6, _of(c, "<u2")[:, 1::2] >> 6)),
    "y210le": (6, [(4, 24)], lambda p: (
        _of(p, "<u2")[:, ::2] >> 6, _of(p, "<u2")[:, 1::4] >> 6, _of(p, "<u2")[:, 3::4] >> 6)),
    "rgb24": (5, [(4, 15)], lambda p: (_of(p).reshape(4, 5, 3),)),
    "bgr24": (5, [(4, 15)], lambda p: (_of(p).reshape(4, 5, 3)[:, :, ::-1],)),
    "0rgb": (5, [(4, 20)], lambda p: (_of(p).reshape(4, 5, 4)[:, :, 1:],)),
    "bgra": (5, [(4, 20)], lambda p: (_of(p).reshape(4, 5, 4)[:, :, 2::-1],)),
    "rgb48be": (5, [(4, 30)], lambda p: (_of(p, ">u2").reshape(4, 5, 3).astype(np.uint16),)),
    "rgba64le": (5, [(4, 40)], lambda p: (_of(p, "<u2").reshape(4, 5, 4)[:, :, :3],)),
    "gray": (5, [(4, 5)], lambda p: (_of(p),)),
    "gray16be": (5, [(4, 10)], lambda p: (_of(p, ">u2").astype(np.uint16),)),
    "ya8": (5, [(4, 10)], lambda p: (_of(p)[:, ::2],)),
    "yuv422p16be": (6, [(4, 12), (4, 6), (4, 6)], lambda *p: tuple(_of(q, ">u2").astype(np.uint16) for q in p)),
    "yuva444p": (5, [(4, 5)] * 4, lambda *planes: tuple(_of(p) for p in planes[:3])),
    "gbrp": (5, [(4, 5)] * 3, lambda g, b, r: (np.stack([r, g, b], axis=2),)),
}  # fmt: skip


def interlaced_video(path, order="tff", **more):
    rng = np.random.default_rng(3)
    frames = [[rng.integers(16, 236, shape).astype(np.uint8) for shape in ((32, 48), (16, 24), (16, 24))]]
    options = {"flags": "+ildct+ilme", "b": "8M"}
    return video(
        path, "mpeg2video", "yuv420p", frames, rate=Fraction(30000, 1001), options=options, order=order, **more
    )


def extract(source, destination, *, on_progress=None, **options):
    """Frames of a clip, or a file or folder of one, to a folder: how many were written, and were there."""
    if isinstance(source, Clip):
        return run(prepare(source, destination, **options), on_progress)
    with open_clip(source) as clip:
        return run(prepare(clip, destination, **options), on_progress)


def extracted(path, folder, **options):
    """Frames and headers of what is extracted, by name."""
    with open_clip(path, **{name: options.pop(name) for name in ("keep", "interlaced") if name in options}) as source:
        extract(source, folder, **options)
    return {found.name: (fastup.read(found), Header.read(found)) for found in sorted(folder.iterdir())}


def numbers(folder):
    return [int(path.stem.split("_")[1]) for path in sorted(folder.iterdir())]


def cut(path, share):
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    return path


def fast_start(path, target):
    """The same streams with the index before them, as a file that is cut short needs it to be read at all."""
    with (
        av.open(os.fspath(path)) as source,
        av.open(os.fspath(target), "w", options={"movflags": "faststart"}) as container,
    ):
        stream = container.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                container.mux(packet)
    return target


def twenty(folder):
    """Twenty frames with a timecode, every one another shade."""
    frames = [[np.full(shape, 300 + 10 * n, np.uint16) for shape in ((30, 48), (30, 24), (30, 24))] for n in range(20)]
    metadata = {"timecode": "01:00:00:00"}
    return video(folder / "tape.mov", "v210", "yuv422p10le", frames, rate=10, metadata=metadata)
