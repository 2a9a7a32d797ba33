"""A tape of v210 through a network that is bicubic alone, to v210: codes, sound and tags, against the exact formula."""

import os
from fractions import Fraction

import naive
import numpy as np
import pytest
from videos import decoded, noise, picture

from fastup.networks.models import Network

av = pytest.importorskip("av")

RATE, ASPECT = Fraction(30000, 1001), Fraction(8, 9)
HEIGHT, WIDTH, COUNT = 320, 12, 2  # becomes 720x24: HD, by its lines
SCALE = Fraction(9, 4), Fraction(2)


@pytest.fixture
def model(tmp_path):
    """A residual network at its start."""
    from fastup.upscale.export import graph

    settings = {
        "model": "compact", "features": 4, "depth": 1, "scale": [[9, 4], [2, 1]], "border": [0, 0], "trim": [0] * 4,
        "input_trim": [0] * 4, "input_white": 1023, "target_white": 1023, "black_level": 0, "pixel_aspect": [1, 1],
        "transfer": None, "colorimetric": None,
    }  # fmt: skip
    path = tmp_path / "bicubic.onnx"
    path.write_bytes(graph(Network(settings)))
    return path


@pytest.fixture
def tape(tmp_path):
    """Noise within what SDI allows, and smooth pictures; with sound, timecode, aspect and the tags of Rec.601."""
    path = tmp_path / "tape.mov"
    frames = [[np.clip(plane, 4, 1019) for plane in noise(n, 10, *SHAPES)] for n in range(COUNT - 1)]
    frames.append([np.add.outer(np.arange(h) * 3, np.arange(w) * 7).astype(np.uint16) % 512 + 256 for h, w in SHAPES])
    with av.open(os.fspath(path), "w") as container:
        stream = container.add_stream("v210", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv422p10le"
        context = stream.codec_context
        context.time_base, context.sample_aspect_ratio = 1 / RATE, ASPECT
        context.colorspace, context.color_primaries, context.color_trc, context.color_range = 6, 6, 6, 1
        stream.metadata["timecode"] = "01:00:00;02"
        sound = container.add_stream("pcm_s24le", rate=48000, layout="stereo")
        for n, planes in enumerate(frames):
            frame = picture("yuv422p10le", planes)
            frame.pts, frame.time_base = n, 1 / RATE
            frame.colorspace, frame.color_primaries, frame.color_trc, frame.color_range = 6, 6, 6, 1
            container.mux(stream.encode(frame))
        samples = np.random.default_rng(5).integers(-(2**31), 2**31, (1, 2 * 1602 * COUNT), dtype=np.int64)
        heard = av.AudioFrame.from_ndarray(samples.astype(np.int32), format="s32", layout="stereo")
        heard.sample_rate, heard.pts, heard.time_base = 48000, 0, Fraction(1, 48000)
        container.mux(sound.encode(heard))
        container.mux(sound.encode(None))
        container.mux(stream.encode(None))
    return path


SHAPES = (HEIGHT, WIDTH), (HEIGHT, WIDTH // 2), (HEIGHT, WIDTH // 2)


def enlarged(planes):
    """Planes of the frame that becomes of planes, by the formulas alone: a network gets codes, and gives numbers."""
    codes = naive.nearest_codes(naive.rgb_of_planes(planes, 10, "601", number=Fraction))
    hd = np.clip(naive.bicubic(codes / 1023, *SCALE), 0, 1)
    return [naive.nearest_codes(plane) for plane in naive.planes_of_rgb(hd, 1, 10, "709")]


def test_every_code_is_within_one_of_the_formula(model, tape, tmp_path, run):
    code, _, printed = run("upscale", model, tape, tmp_path / "hd.mov", "--codec", "v210")
    assert code == 0, printed
    given, made = list(decoded(tape, 2)), list(decoded(tmp_path / "hd.mov", 2))
    assert len(given) == len(made) == COUNT
    for planes, found in zip(given, made, strict=True):
        for plane, wanted in zip(found, enlarged(planes), strict=True):
            assert np.abs(plane.astype(int) - wanted).max() <= 1
            assert (plane != wanted).mean() < 0.001  # float32 misses a half now and then

    def about(path):
        with av.open(os.fspath(path)) as container:
            (stream,), (sound,) = container.streams.video, container.streams.audio
            packets = [bytes(packet) for packet in container.demux(sound)]
            shape = Fraction(stream.width, stream.height) * (stream.sample_aspect_ratio or 1)
            return {
                "sound": (sound.codec.name, sound.rate, sound.layout.name, packets),
                "rate": stream.average_rate, "frames": stream.frames, "shape": shape,
                "duration": stream.duration * stream.time_base, "heard": sound.duration * sound.time_base,
                "timecode": stream.metadata.get("timecode"), "codec": stream.codec.name,
            }  # fmt: skip

    before, after = about(tape), about(tmp_path / "hd.mov")
    assert len(b"".join(before["sound"][-1])) == 6 * 1602 * COUNT
    assert before == after
    assert before["timecode"] == "01:00:00;02"
    with av.open(os.fspath(tmp_path / "hd.mov")) as container:
        context = container.streams.video[0].codec_context
        assert (context.width, context.height, context.pix_fmt) == (24, 720, "yuv422p10le")
        assert context.colorspace == 1  # Rec.709
        assert context.color_range != 2  # which MOV says of full range alone
