"""Which flavours of DPX fastup and its peers read right: writes the tables of docs/flavours.md.

Run ``.venv/bin/python bench/flavours.py``; ``--output FILE`` writes elsewhere. Every file is made by the tests' own
writer (tests/naive.py) with random codes, and a reader is right when it gives those codes back. It may scale them, and
keep them in any kind of array; it is asked to convert no colour, and to turn the picture upright. ImageMagick and
GraphicsMagick have no column where they aren't installed. Each works in a process of its own, so that one that crashes
takes nothing with it. Exits with 1 where fastup isn't right about all of it. Takes half a minute on two cores.
"""

import argparse
import functools
import importlib.util
import itertools
import multiprocessing
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np
import OpenImageIO as oiio

import fastup

ROOT = Path(__file__).resolve().parents[1]
SPEC = importlib.util.spec_from_file_location("naive", ROOT / "tests" / "naive.py")
naive = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(naive)

ORDERS, WIDTHS, HEIGHT = ("big", "little"), (64, 65, 66, 67, 100, 640), 5
DEPTHS = {  # bits, packing; the latter means nothing at 8, 16 and 32 bits, but with 0 ImageMagick expects unpadded rows
    "1": (1, 0), "8": (8, 1), "10 A": (10, 1), "10 B": (10, 2), "10 packed": (10, 0), "12 A": (12, 1),
    "12 B": (12, 2), "12 packed": (12, 0), "16": (16, 1), "32 float": (32, 1),
}  # fmt: skip
PICTURES = {  # descriptors; those of one component share a line where all readers do as well with them
    "luma": 6, "R": 1, "G": 2, "B": 3, "A": 4, "depth": 8, "RGB": 50, "RGBA": 51, "ABGR": 52, "CbYCr 4:2:2": 100,
    "CbYCrA 4:2:2:4": 101, "CbYCr 4:4:4": 102, "CbYCrA 4:4:4:4": 103,
}  # fmt: skip
RGB = (50, 10, 1)  # a flavour: descriptor, bits, packing
UNPADDED = {"padded": False, "widths": (65, 67)}  # whose rows don't fill their last word
PLACES = {
    "element offset 0": (RGB, {"own_offset": 0}),
    "element offset all ones": (RGB, {"own_offset": naive.UNDEFINED}),
    "element offset 8192, image offset 2048": (RGB, {"own_offset": 8192}),
    "1664-byte header": (RGB, {"offset": 1664}),
    "16 bytes of end-of-line padding": (RGB, {"line_padding": 16}),
    "end-of-line padding all ones": (RGB, {"line_padding": naive.UNDEFINED}),
    "unpadded rows, 8-bit RGB": ((50, 8, 0), UNPADDED),
    "unpadded rows, 10-bit A RGBA": ((51, 10, 1), UNPADDED),
    "unpadded rows, 10-bit A luma": ((6, 10, 1), UNPADDED),
    "unpadded rows, 16-bit RGB": ((50, 16, 0), UNPADDED),
    "orientation 1, right to left": (RGB, {"orientation": 1}),
    "orientation 2, bottom to top": (RGB, {"orientation": 2}),
    "orientation 3, both": (RGB, {"orientation": 3}),
    "two elements, the first": (RGB, {"element": 0}),
    "two elements, the second": (RGB, {"element": 1}),
    "file_size twice what it is": (RGB, {"file_size": lambda size: 2 * size}),
    "file_size negative": (RGB, {"file_size": lambda size: 2**32 - size}),
}
LEGEND = {
    "no": "reads, with wrong values.",
    "refused": "an error.",
    "crashed": "took its process with it, or never came back.",
    "cannot ask": "has no option for it.",
    "other scale": "all codes are there, but white is not white: shifted to 16 bits, or stretched from video's range.",
    "as 16 bits": "floats, rounded to 16 bits.",
    "alpha inverted": "all else is right.",
    "wrong channels": "all codes are there, but not in the channels to which they belong.",
}


# -- readers: path, flavour and element to ("picture", array), or ("stored", samples as the file has them), or a word --


def read_fastup(path, flavour, element):
    return "picture", fastup.read(path, dtype="float32" if flavour[1] == 32 else "uint16", element=element)


def read_openimageio(path, flavour, element):
    config = oiio.ImageSpec()
    config.attribute("oiio:RawColor", int(flavour[0] >= 100))
    image = oiio.ImageInput.open(path, config)
    if image is None or not image.seek_subimage(element, 0):
        raise ValueError(oiio.geterror())
    spec = image.spec()
    pixels = image.read_image(element, 0, 0, spec.nchannels, spec.format)
    if pixels is None:
        raise ValueError(image.geterror())
    turned = spec.get_int_attribute("Orientation", 1)  # left to whoever shows it
    pixels = pixels[:: -1 if turned in (3, 4) else 1, :: -1 if turned in (2, 3) else 1]
    return "stored" if flavour[0] >= 100 else "picture", pixels


def read_ffmpeg(path, flavour, element):
    if element:
        return "cannot ask"
    with av.open(path) as container:
        frame = next(container.decode(video=0))
    family, real, _, end = re.fullmatch("([a-z]+?)(f32)?([0-9]+p?)?(le|be)?", frame.format.name).groups()
    code = {"le": "<", "be": ">", None: "|"}[end] + ("f4" if real else "u2" if end else "u1")
    planes = [np.frombuffer(plane, code).reshape(plane.height, -1) for plane in frame.planes]
    if len(planes) > 1:
        order = {"gbrp": [2, 0, 1], "gbrap": [2, 0, 1, 3], "yuv": [0, 1, 2], "yuva": [0, 1, 2, 3]}[family]
        return "picture", np.stack([planes[i][:, : frame.width] for i in order], axis=-1)
    count = {"gray": 1, "uyvy": 2, "rgb": 3, "rgba": 4, "abgr": 4}[family]
    pixels = planes[0][:, : frame.width * count].reshape(frame.height, frame.width, count)
    return "stored" if family == "uyvy" else "picture", pixels[..., ::-1] if family == "abgr" else pixels


def read_magick(program, path, flavour, element):
    """By way of a PAM of 16 bits. ImageMagick's colour space is set, that is named, so that it converts nothing."""
    file = f"dpx:{path}[{element}]" if element else f"dpx:{path}"
    if flavour[1] == 32:
        file = f"-define quantum:format=floating-point {file} +define quantum:format"
    options = ("" if "gm" in program else "-set colorspace sRGB ") + "-auto-orient -depth 16 pam:-"
    command = [*program, *file.split(" "), *options.split()]
    head, data = subprocess.run(command, capture_output=True, check=True).stdout.split(b"\nENDHDR\n", 1)
    width, height, depth, white = map(int, re.findall(rb"^(?:WIDTH|HEIGHT|DEPTH|MAXVAL) (\d+)$", head, re.MULTILINE))
    pixels = np.frombuffer(data, ">u2" if white > 255 else "u1")
    if len(pixels) == height * -(-width // 8):  # GraphicsMagick writes black and white as PBM has it, 1 for black
        return "picture", np.unpackbits(~pixels.reshape(height, -1), axis=1)[:, :width, None]
    return "picture", pixels.reshape(height, width, depth)


def find_readers():
    """Those that are here: {name: (version, function and its first arguments)}."""
    codec = ".".join(map(str, av.library_versions["libavcodec"]))
    found = {
        "fastup": (fastup.__version__, [read_fastup]),
        "OpenImageIO": (oiio.VERSION_STRING, [read_openimageio]),
        "FFmpeg": (f"{av.ffmpeg_version_info} (libavcodec {codec}, PyAV {av.__version__})", [read_ffmpeg]),
    }
    for program in ["convert-im6.q16"], ["magick"], ["convert-im6"], ["convert"], ["gm", "convert"]:
        if shutil.which(program[0]):  # which may be anything, so that it is asked who it is
            said = subprocess.run([program[0], "-version"], capture_output=True, text=True, check=False).stdout
            if version := re.search(r"(ImageMagick|GraphicsMagick) (\d\S*)", said):
                found.setdefault(version[1], (version[2], [read_magick, program]))
    return found


def answer(read, *question):
    try:
        return read(*question)
    except Exception:  # whatever a library makes of it
        return "refused"


# -- files and verdicts ------------------------------------------------------------------------------------------------


def some_picture(flavour, width, random):
    """Random codes; those of CbYCr are within video's range, and a 4:2:2 pair's pixels have the same chroma."""
    descriptor, bits, _ = flavour
    shape = HEIGHT, width, naive.DPX_CHANNELS[descriptor]
    if bits == 32:
        picture = random.random(shape, np.float32)
    elif descriptor < 100 or bits == 1:
        picture = random.integers(0, 2**bits, shape, np.uint16)
    else:
        picture = random.integers(2**bits * 17 // 256, 2**bits * 234 // 256, shape, np.uint16)
    if descriptor in (100, 101):
        picture[:, 1::2, 1:3] = picture[:, 0 : width // 2 * 2 : 2, 1:3]
        if width % 2:
            picture[:, -1, 2] = picture[:, -2, 2]
    return picture


def file_bytes(pictures, flavour, order, *, padded=True, file_size=int, **header):
    """A file of a picture, or of several, an element each; what isn't said in its header is undefined."""
    kind = dict(zip(("descriptor", "bits", "packing"), flavour, strict=True))
    turned, padding = header.get("orientation", 0), header.get("line_padding", 0)
    gap = b"\xa5" * (0 if padding == naive.UNDEFINED else padding)
    stored = [picture[:: -1 if turned & 2 else 1, :: -1 if turned & 1 else 1] for picture in pictures]
    parts = [naive.dpx_pixels(picture, order, gap, **kind, padded=padded) for picture in stored]
    if len(parts) > 1:
        header["elements"] = [{"offset": 2048 + i * len(parts[0])} for i in range(len(parts))]
    data = bytearray(naive.dpx_header(pictures[0].shape[1], HEIGHT, order, **kind, **header) + b"".join(parts))
    data[8:16] = b"V2.0".ljust(8, b"\0")
    data[16:20] = file_size(len(data)).to_bytes(4, order)
    if not padded:
        data[160:260] = b"Lasergraphics Inc.".ljust(100, b"\0")  # such a scanner; FFmpeg goes by the name
    return data


def make_files(folder):
    """{case: [(path, picture, flavour, element, order, width)]}; a case is (depth, picture), or a place."""
    random, files = np.random.default_rng(0), {}
    flavours = {(d, p): ((PICTURES[p], *DEPTHS[d]), {}) for d, p in itertools.product(DEPTHS, PICTURES)}
    for number, (case, (flavour, place)) in enumerate((flavours | PLACES).items()):
        place, files[case] = dict(place), []
        widths, element = place.pop("widths", WIDTHS), place.pop("element", None)
        for order, width in itertools.product(ORDERS, widths):
            pictures = [some_picture(flavour, width, random) for _ in range(1 if element is None else 2)]
            path = folder / f"{number}-{order}-{width}.dpx"
            path.write_bytes(file_bytes(pictures, flavour, order, **place))
            files[case].append((str(path), pictures[element or 0], flavour, element or 0, order, width))
    return files


def same(found, codes, bits):
    """Whether these are the codes: words that begin with "yes", or none."""
    if found.shape != codes.shape:
        return ""
    if bits == 32:
        if found.dtype.kind == "f":
            return "yes" if np.array_equal(found, codes) else ""
        return "yes, as 16 bits" if np.abs(found - codes * 65535.0).max() <= 1 else ""
    if np.array_equal(found, codes) or np.array_equal(np.rint(found * ((2**bits - 1) / largest(found))), codes):
        return "yes"
    for x, y in zip(*(np.moveaxis(array.astype(float), 2, 0) for array in (codes, found)), strict=True):
        slope, start = np.polyfit(x.ravel(), y.ravel(), 1)
        if not np.abs(start + x * slope - y).max() <= min(1, slope / 2):  # on the line no two codes are one
            return ""
    return "yes, other scale"


def largest(found):
    return 1 if found.dtype.kind == "f" else np.iinfo(found.dtype).max


def verdict(given, picture, descriptor, bits):
    """A word or two for what a reader gave of a picture."""
    if isinstance(given, str):
        return given
    how, found = given
    channels, stored = picture.shape[2], naive.dpx_to_samples(picture, descriptor).reshape(*picture.shape[:2], -1)
    if channels == 1:
        return same(found[..., :1], picture, bits) or "no"  # grey may come as RGB
    if words := same(found, stored if how == "stored" else picture, bits):
        return words
    inverted = np.concatenate([found[..., :3], largest(found) - found[..., 3:]], axis=2)
    if channels == 4 and same(inverted, picture, bits):
        return "alpha inverted"
    orders = itertools.permutations(range(min(channels, found.shape[2])))
    if same(found[..., : stored.shape[2]], stored, bits) or any(same(found[..., o], picture, bits) for o in orders):
        return "wrong channels"
    return "no"


def cell(verdicts):
    """A few words for {(order, width): verdict}."""
    words = set(verdicts.values())
    right = {key: word for key, word in verdicts.items() if word.startswith("yes")}
    if len(words) == 1 or len(right) == len(verdicts):
        return max(words)
    if "crashed" in words:
        return "crashed"
    if not right:
        return "no" if "no" in words else " or ".join(sorted(words))
    orders, widths = {order for order, _ in right}, sorted({width for _, width in right})
    if len(right) < len(orders) * len(widths):
        return "some files only"
    wrong = sorted({width for _, width in verdicts}.difference(widths))
    parts = [f"{order}-endian" for order in orders] if len(orders) == 1 else []
    if wrong and [width % 2 for width in widths + wrong] == [0] * len(widths) + [1] * len(wrong):
        parts.append("even widths")
    elif wrong:
        parts.append(f"width{'s' * (len(widths) > 1)} {', '.join(map(str, widths))}")
    scale = {word.removeprefix("yes") for word in right.values()} - {""}
    return f"{', '.join(parts)} only{''.join(sorted(scale))}"


def examine(job, files):
    """{case: cell} for one reader."""
    start, cells = functools.partial(multiprocessing.get_context("spawn").Pool, 1), {}
    pool = start()
    for case, examples in files.items():
        verdicts = {}
        for path, picture, flavour, element, order, width in examples:
            try:
                given = pool.apply_async(answer, [*job, path, flavour, element]).get(300)
            except multiprocessing.TimeoutError:  # that's how a crash shows, too
                given = "crashed"
                pool.terminate()
                pool = start()
            verdicts[order, width] = verdict(given, picture, *flavour[:2])
        cells[case] = cell(verdicts)
    pool.terminate()
    return cells


# -- the page ----------------------------------------------------------------------------------------------------------


def table(rows):
    """Markdown with its columns aligned; the first row is the head."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rows = [rows[0], ["-" * width for width in widths], *rows[1:]]
    return "\n".join(f"| {' | '.join(map(str.ljust, row, widths))} |" for row in rows)


def page(versions, cells):
    """Markdown of {reader: {case: cell}}."""
    flavours, places = [["bits", "picture", *cells]], [["place", *cells]]
    for depth in DEPTHS:
        alike = {}
        for name, descriptor in PICTURES.items():
            words = tuple(column[depth, name] for column in cells.values())
            alike.setdefault((words, descriptor if descriptor >= 50 else 0), []).append(name)
        flavours += [[depth, ", ".join(names), *words] for (words, _), names in alike.items()]
    places += [[place, *(column[place] for column in cells.values())] for place in PLACES]
    used = " ".join(word for column in cells.values() for word in column.values())
    legend = "\n".join(f"- *{word}*: {meaning}" for word, meaning in LEGEND.items() if word in used)
    about = f"""Made by `.venv/bin/python bench/flavours.py`, which writes files of random codes, {" and ".join(ORDERS)}
    endian, {", ".join(map(str, WIDTHS))} pixels wide, and compares what each reader makes of them. The readers are
    {", ".join(f"{name} {version}" for name, version in versions.items())}. *Yes* means that all files gave back their
    codes, at whatever scale and in whatever array, where the reader was asked to convert no colour and to turn the
    picture upright, if it has options for that."""
    return f"""# Who reads which DPX

{textwrap.fill(" ".join(about.split()), 120)}

{legend}

## Flavours
A and B are the methods of filling words.

{table(flavours)}

## Places
10-bit RGB, method A, where nothing else is said.

{table(places)}
"""


def main():
    parser = argparse.ArgumentParser(description="Write the tables of who reads which DPX.")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "flavours.md")
    output, found = parser.parse_args().output, find_readers()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(len(found)) as pool:
        files = make_files(Path(folder))
        cells = dict(zip(found, pool.map(lambda name: examine(found[name][1], files), found), strict=True))
    output.write_text(page({name: version for name, (version, _) in found.items()}, cells), encoding="utf-8")
    for name, column in cells.items():
        print(f"{name}: {sum(word == 'yes' for word in column.values())} of {len(files)} yes")
    wrong = {case: word for case, word in cells["fastup"].items() if word != "yes"}
    for case, word in wrong.items():
        print(f"fastup, {case if isinstance(case, str) else ' '.join(case)}: {word}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
