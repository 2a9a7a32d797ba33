"""Frames of other formats made DPX: without loss, once, whatever happens on the way."""

import errno
import os
import shutil
from fractions import Fraction

import numpy as np
import pytest
from framesets import three_pairs, write_other, write_png, write_set
from OpenImageIO import ImageBuf
from test_digests import tick

import fastup
from fastup.errors import DataError, FastupError
from fastup.pairs import transcode as module
from fastup.pairs.cache import clear_cache, set_name
from fastup.pairs.folder import find_pairs
from fastup.pairs.index import detail_scores
from fastup.pairs.transcode import transcode

pytestmark = pytest.mark.usefixtures("settled")


@pytest.fixture
def folder(tmp_path):
    return three_pairs(tmp_path)


@pytest.mark.parametrize(
    ("suffix", "kind", "bits"),
    [(".png", "uint8", 8), (".bmp", "uint8", 8), (".png", "uint16", 16), (".tif", "uint16", 16), (".exr", "float", 32),
     (".exr", "half", 32), (".tif", "float", 32)],
)  # fmt: skip
def test_transcoding_loses_nothing(tmp_path, suffix, kind, bits):
    pairs = write_set(tmp_path / "set", suffix, kind)
    heard = []
    ours = transcode(pairs, tmp_path / "cache", lambda *progress: heard.append(progress))
    assert heard == [(n + 1, 6, "transcoding") for n in range(6)]
    for paths, ours_paths, side in ((pairs.inputs, ours.inputs, "Alpha"), (pairs.targets, ours.targets, "Beta")):
        assert ours_paths == tuple(tmp_path / "cache" / "set" / side / f"f{n}.dpx" for n in range(3))
        for path, copy in zip(paths, ours_paths, strict=True):
            dtype = "uint16" if bits < 32 else "float32"
            assert fastup.read(copy, dtype).tobytes() == fastup.read(path, dtype).tobytes()
            assert fastup.frames.probe(copy) == fastup.frames.probe(path)
            header = fastup.read_header(copy)
            assert (header.bits, header.white) == (bits, {8: 255, 16: 65535}.get(bits))
    again = find_pairs(tmp_path / "cache" / "set")
    for name in ("kinds", "kind_of", "inputs", "targets"):
        assert getattr(ours, name) == getattr(again, name)
    assert ours.folder == pairs.folder
    assert sorted(os.listdir(tmp_path / "cache")) == ["digests.json", "set"]
    assert sorted(os.listdir(tmp_path / "cache" / "set")) == ["Alpha", "Beta"]


def test_the_pixel_aspect_is_kept(folder, tmp_path_factory):
    path = folder / "Alpha" / "f9.dpx"
    for path in (folder / "Alpha").iterdir():
        fastup.write(
            path.with_suffix(".png"), fastup.read(path), fastup.Header.new(6, 8, pixel_aspect=Fraction(10, 11))
        )
        path.unlink()
    ours = transcode(find_pairs(folder), tmp_path_factory.mktemp("cache"))
    assert fastup.read_header(ours.inputs[0]).pixel_aspect == Fraction(10, 11)
    assert ours.input_white == 65535


def test_dpx_stay_where_they_are(folder, tmp_path):
    pairs = find_pairs(folder)
    assert transcode(pairs, tmp_path / "cache") is pairs
    for path in (folder / "Alpha").iterdir():
        write_png(path.with_suffix(".png"), (8, 6))
        path.unlink()
    pairs = find_pairs(folder)
    ours = transcode(pairs, tmp_path / "cache")
    assert ours.targets == pairs.targets
    assert os.listdir(tmp_path / "cache" / set_name(folder, tmp_path / "cache")) == ["Alpha"]


def test_sets_of_one_name_have_copies_of_their_own(tmp_path):
    """Of folders that are not beside the cache, by where they are; and each keeps its folders."""
    sets = [write_set(tmp_path / place / "set", ".png", "uint8") for place in ("a", "b", "data")]
    for each in (*sets[0].inputs, *sets[0].targets):
        (each.parent / "shot").mkdir(exist_ok=True)
        each.rename(each.parent / "shot" / each.name)
    sets[0] = find_pairs(sets[0].folder)
    copies = [transcode(each, tmp_path / "data" / "cache") for each in sets]
    assert len({path for each in copies for path in each.targets}) == 9
    for each, made in zip(sets, copies, strict=True):
        for path, copy in zip(each.inputs + each.targets, made.inputs + made.targets, strict=True):
            np.testing.assert_array_equal(fastup.read(copy), fastup.read(path))
    assert copies[0].targets[0].parent.name == "shot"
    assert copies[2].targets[0].parent == tmp_path / "data" / "cache" / "set" / "Beta"
    clear_cache(tmp_path / "data" / "cache")
    assert os.listdir(tmp_path / "data" / "cache") == ["set"]  # but for this one, of no name that `train` makes


def test_what_is_fresh_is_not_written_again(tmp_path, reads):
    pairs, cache = write_set(tmp_path / "set", ".png", "uint8"), tmp_path / "cache"
    ours = transcode(pairs, cache)
    assert len(reads()) == 6
    before = {path: os.stat(path).st_ino for path in ours.inputs + ours.targets}
    assert transcode(pairs, cache, lambda *progress: pytest.fail("nothing is to be done")) == ours
    assert reads() == []
    assert before == {path: os.stat(path).st_ino for path in ours.inputs + ours.targets}


def _changed(original, copy):
    write_other(original, (18, 12), "uint8", 99)


def _swapped(original, copy):
    """Names swapped, as by a slip in a file manager; the times are whole seconds, as of FAT or an archive."""
    other = original.with_stem("f2")
    os.utime(other, (1, 1))
    os.rename(original, original.with_name("x"))
    os.rename(other, original)
    os.rename(original.with_name("x"), other)


def _gone(original, copy):
    copy.unlink()


def _cut(original, copy):
    copy.write_bytes(copy.read_bytes()[:-1])


def _resized(original, copy):
    header = fastup.read_header(copy).replace(width=13, height=18)
    fastup.write(copy, np.zeros((18, 13, 3), np.uint16), header)


def _rewhitened(original, copy):
    fastup.write(copy, fastup.read(copy), fastup.read_header(copy).replace(bits=10))


def _unmarked(original, copy):
    fastup.write(copy, np.zeros((18, 12, 3), np.uint16), fastup.Header.new(12, 18, bits=8))


@pytest.mark.parametrize("harm", [_changed, _swapped, _gone, _cut, _resized, _rewhitened, _unmarked])
def test_what_is_not_fresh_is_written_again(tmp_path, reads, harm):
    pairs, cache = write_set(tmp_path / "set", ".png", "uint8"), tmp_path / "cache"
    for path in pairs.inputs + pairs.targets:
        os.utime(path, (1, 1))
    ours = transcode(pairs, cache)
    reads()
    tick(tmp_path)
    harm(pairs.targets[1], ours.targets[1])
    for path in pairs.inputs + pairs.targets:
        os.utime(path, (1, 1))
    transcode(pairs, cache)
    assert reads() == ["f1.png"] + ["f2.png"] * (harm is _swapped)
    for path, copy in zip(pairs.inputs + pairs.targets, ours.inputs + ours.targets, strict=True):
        np.testing.assert_array_equal(fastup.read(copy), fastup.read(path))
    assert transcode(pairs, cache, lambda *progress: pytest.fail("nothing is to be done")) == ours


def test_what_looks_changed_and_is_not_is_kept(tmp_path, reads):
    """The digests say so: of files that were touched, or copied as a whole with their cache."""
    write_set(tmp_path / "data" / "set", ".png", "uint8")

    def scores(data):
        pairs = transcode(find_pairs(data / "set"), data / "cache")
        return detail_scores(pairs, 6, False, data / "cache")

    first = scores(tmp_path / "data")
    assert len(reads()) == 9
    os.utime(tmp_path / "data" / "set" / "Alpha" / "f0.png")
    shutil.copytree(tmp_path / "data", tmp_path / "other")
    for data in (tmp_path / "data", tmp_path / "other"):
        np.testing.assert_array_equal(scores(data), first)
    assert reads() == []


@pytest.mark.parametrize("moment", ["open", "replace", "fsync"])
def test_transcoding_carries_on_after_a_stop(tmp_path, monkeypatch, moment):
    """Whatever the moment, what is there is whole, and what was not finished is written again."""
    pairs, cache = write_set(tmp_path / "set", ".png", "uint8"), tmp_path / "cache"
    calls, really = [], getattr(os, moment)

    def stop(*arguments, **more):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return really(*arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr(os, "cpu_count", lambda: 1)
        patch.setattr(os, moment, stop)
        with pytest.raises(KeyboardInterrupt):
            transcode(pairs, cache)
    heard = []
    ours = transcode(pairs, cache, lambda *progress: heard.append(progress))
    assert 1 <= len(heard) <= 4
    for path, copy in zip(pairs.inputs + pairs.targets, ours.inputs + ours.targets, strict=True):
        np.testing.assert_array_equal(fastup.read(copy), fastup.read(path))
    assert not [name for _, _, names in os.walk(cache) for name in names if name.startswith(".")]


def test_an_original_that_changes_while_it_is_read_is_read_again(tmp_path, monkeypatch):
    """Its digest is of what it held before, and holds again."""
    pairs, cache, really = write_set(tmp_path / "set", ".png", "uint8"), tmp_path / "cache", fastup.frames.read

    def read(path, *arguments):
        if path != pairs.inputs[1]:
            return really(path, *arguments)
        whole = path.read_bytes()
        write_other(path.with_stem("x"), (8, 6), "uint8", 77)
        path.with_stem("x").rename(path)
        frame = really(path, *arguments)
        path.write_bytes(whole)
        return frame

    with monkeypatch.context() as patch:
        patch.setattr(module.frames, "read", read)
        ours = transcode(pairs, cache)
    assert (fastup.read(ours.inputs[1]) != fastup.read(pairs.inputs[1])).any()
    transcode(pairs, cache)
    np.testing.assert_array_equal(fastup.read(ours.inputs[1]), fastup.read(pairs.inputs[1]))


def test_what_cannot_be_transcoded(tmp_path):
    pairs, cache = write_set(tmp_path / "set", ".exr", "float"), tmp_path / "cache"
    frame = np.zeros((18, 12, 3), np.float32)
    frame[4, 5, 1] = np.nan
    assert ImageBuf(frame).write(str(pairs.targets[2]))
    with pytest.raises(DataError, match=r"set/Beta/f2\.exr: holds NaN"):
        transcode(pairs, cache)
    assert not (cache / "set" / "Beta" / "f2.dpx").exists()
    data = pairs.targets[2].read_bytes()
    pairs.targets[2].write_bytes(data[: len(data) // 2])
    with pytest.raises(FastupError, match=r"set/Beta/f2\.exr: cannot be read"):
        transcode(pairs, cache)
    pairs.targets[2].unlink()
    with pytest.raises(FileNotFoundError, match=r"set/Beta/f2\.exr"):
        transcode(pairs, cache)
    write_other(pairs.targets[2], (18, 12), "float")
    heard = []
    transcode(pairs, cache, lambda *progress: heard.append(progress))
    assert heard == [(1, 1, "transcoding")]  # the others were kept


def test_a_transcoding_cache_that_cannot_be_written(tmp_path):
    pairs = write_set(tmp_path / "set", ".png", "uint8")
    (tmp_path / "cache").write_text("in the way")
    with pytest.raises(OSError, match="cache"):
        transcode(pairs, tmp_path / "cache")
    assert (tmp_path / "cache").read_text() == "in the way"


def test_a_full_disk_names_the_file_and_leaves_nothing_half(tmp_path):
    resource = pytest.importorskip("resource")
    pairs, cache = write_set(tmp_path / "set", ".png", "uint8", count=1), tmp_path / "cache"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2300, hard))  # a file of Alpha has 2,192 bytes, one of Beta 2,696
    try:
        with pytest.raises(OSError, match=r"cache/set/Beta/f0\.dpx") as caught:
            transcode(pairs, cache)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.errno == errno.EFBIG
    assert os.listdir(cache / "set" / "Alpha") == ["f0.dpx"]
    assert os.listdir(cache / "set" / "Beta") == []
    heard = []
    transcode(pairs, cache, lambda *progress: heard.append(progress))
    assert heard == [(1, 1, "transcoding")]
