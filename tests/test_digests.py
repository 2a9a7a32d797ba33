"""Digests of files: by what they hold, read again only where something may have changed."""

import os
import shutil

import pytest
import xxhash

from fastup.pairs import digests as module
from fastup.pairs.digests import FILE, Digests, contents


@pytest.fixture(autouse=True)
def settled(monkeypatch):
    monkeypatch.setattr(module, "SETTLED", 0)


@pytest.fixture
def opened(monkeypatch):
    """The names of the files that were read since the last time that one asked."""
    names, really = [], module.hashlib.file_digest

    def file_digest(file, digest):
        names.append(os.path.basename(file.name))
        return really(file, digest)

    monkeypatch.setattr(module.hashlib, "file_digest", file_digest)

    def since():
        told = sorted(names)
        names.clear()
        return told

    return since


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "data" / "train"
    folder.mkdir(parents=True)
    paths = [folder / name for name in "abc"]
    for path in paths:
        path.write_bytes(path.name.encode() * 600_000)
    return paths


def _right(paths):
    return [xxhash.xxh3_128_hexdigest(path.read_bytes()) for path in paths]


def test_digests_are_of_the_bytes(files, tmp_path, opened):
    assert contents(files) == _right(files)
    assert contents(files[::-1], tmp_path / "new" / "cache") == _right(files)[::-1]
    assert opened() == sorted("aabbcc")
    assert contents([]) == []
    with pytest.raises(FileNotFoundError, match="gone"):
        contents([*files, tmp_path / "gone"])


def test_what_has_not_changed_is_not_read(files, tmp_path, opened):
    cache = tmp_path / "data" / "cache"
    right = contents(files, cache)
    before = os.stat(cache / FILE)
    opened()
    assert contents(files[:2], cache) == right[:2]
    assert contents(files, cache) == right
    assert opened() == []
    assert (os.stat(cache / FILE).st_ino, os.stat(cache / FILE).st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_data_folder_that_is_moved_keeps_its_digests(files, tmp_path, opened):
    right = contents(files, tmp_path / "data" / "cache")
    (tmp_path / "data").rename(tmp_path / "moved")
    opened()
    assert contents([tmp_path / "moved" / "train" / name for name in "abc"], tmp_path / "moved" / "cache") == right
    assert opened() == []
    shutil.copytree(tmp_path / "moved", tmp_path / "copied")
    assert contents([tmp_path / "copied" / "train" / name for name in "abc"], tmp_path / "copied" / "cache") == right


def tick(folder):
    """Wait for the clock of the file system to go on: what changes between two ticks has the same times."""
    path = folder / ".clock"
    path.touch()
    before = os.stat(path).st_ctime_ns
    while os.stat(path).st_ctime_ns == before:
        os.utime(path)


def _swap(a, b):
    a.rename(a.with_name("x"))
    b.rename(a)
    a.with_name("x").rename(b)


def _rewrite(a, b):
    a.write_bytes(bytes(a.stat().st_size))


def _exchange(a, b):
    """What they hold, in place."""
    one, other = a.read_bytes(), b.read_bytes()
    a.write_bytes(other)
    b.write_bytes(one)


def _replace(a, b):
    shutil.copy(b, a.with_name("x"))
    a.with_name("x").rename(a)


@pytest.mark.parametrize("change", [_swap, _rewrite, _exchange, _replace])
def test_sizes_and_times_may_be_the_same(files, tmp_path, change):
    cache = tmp_path / "data" / "cache"
    for path in files:
        os.utime(path, (1, 1))
    before = contents(files, cache)
    tick(tmp_path)
    change(*files[:2])
    for path in files:
        os.utime(path, (1, 1))
    after = contents(files, cache)
    assert after == _right(files) != before


def test_what_changed_just_now_is_not_noted(files, tmp_path, opened, monkeypatch):
    """A file that is written twice between two ticks of the file system's clock has the same times."""
    monkeypatch.setattr(module, "SETTLED", 3600e9)
    for _ in range(2):
        assert contents(files, tmp_path / "cache") == _right(files)
        assert opened() == ["a", "b", "c"]
        for path in files:
            os.utime(path, (1, 1))  # such as `cp -p` gives it, which changed it now
    assert not (tmp_path / "cache").exists()


def test_a_file_and_what_follows_its_header_are_told_apart(files, tmp_path, opened):
    for _ in range(2):
        digests = Digests(tmp_path / "cache")
        for skip in (0, 7, 600_000):
            assert digests.of(files[0], skip) == xxhash.xxh3_128_hexdigest(files[0].read_bytes()[skip:])
        digests.save()
    assert opened() == ["a", "a", "a"]


def test_a_file_that_changes_while_it_is_read_is_read_again(files, tmp_path, monkeypatch):
    really = module.hashlib.file_digest

    def file_digest(file, digest):
        try:
            return really(file, digest)
        finally:
            files[1].write_bytes(b"other")

    with monkeypatch.context() as patch:
        patch.setattr(module.hashlib, "file_digest", file_digest)
        contents(files[1:2], tmp_path / "cache")
    assert contents(files, tmp_path / "cache") == _right(files)


def test_damaged_notes_are_not_trusted(files, tmp_path):
    cache = tmp_path / "cache"
    right = contents(files, cache)
    whole = (cache / FILE).read_bytes()
    at = whole.index(right[0].encode())
    flipped = bytearray(whole)
    flipped[at] = ord("0") if flipped[at] != ord("0") else ord("1")
    for damaged in (bytes(flipped), whole[:-1], whole[1:], b"", b"\n", b"{}", b"\xff\n\xff", b"x" + whole):
        (cache / FILE).write_bytes(damaged)
        assert contents(files, cache) == right
        assert (cache / FILE).read_bytes() == whole


def test_notes_that_cannot_be_written_cost_nothing_but_time(files, tmp_path):
    (tmp_path / "cache").write_text("in the way")
    assert contents(files, tmp_path / "cache") == _right(files)
    (tmp_path / "folder" / FILE).mkdir(parents=True)
    assert contents(files, tmp_path / "folder") == _right(files)


def test_names_that_are_not_utf8(tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff")
    try:
        with open(path, "wb") as file:
            file.write(b"x")
    except OSError:
        pytest.skip("this file system has no such names")
    for _ in range(2):
        assert contents([path], tmp_path / "cache") == [xxhash.xxh3_128_hexdigest(b"x")]
    assert Digests(tmp_path / "cache").known(path)
