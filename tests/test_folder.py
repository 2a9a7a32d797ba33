"""Pairs: which frames belong together, what is refused, and what two sets share."""

import errno
import os
import shutil
import unicodedata
from fractions import Fraction

import numpy as np
import pytest
from framesets import three_pairs, write_frame, write_framed, write_other, write_png, write_set
from OpenImageIO import ImageBuf

import fastup
from fastup.errors import DataError, OptionError
from fastup.pairs import digests
from fastup.pairs import folder as module
from fastup.pairs.folder import Kind, find_pairs, find_sets, seen, seen_note

pytestmark = pytest.mark.usefixtures("settled")


@pytest.fixture
def folder(tmp_path):
    return three_pairs(tmp_path)


# -- pairs -----------------------------------------------------------------------------------------------------------


def test_pairs_are_in_frame_order(folder):
    pairs = find_pairs(folder)
    assert [path.name for path in pairs.inputs] == ["f9.dpx", "f10.dpx", "f11.dpx"]
    assert [path.stem for path in pairs.targets] == [path.stem for path in pairs.inputs]
    assert {path.parent for path in pairs.inputs} == {folder / "Alpha"}
    assert {path.parent for path in pairs.targets} == {folder / "Beta"}
    assert [(kind.input_size, kind.target_size) for kind in pairs.kinds] == [((8, 6), (18, 12))]
    assert pairs.kind_of == (0, 0, 0)
    assert (pairs.input_white, pairs.target_white) == (1023, 1023)
    assert len(pairs) == 3


def test_chroma_is_refused(folder):
    path = folder / "Beta" / "f10.dpx"
    fastup.write(path, fastup.read(path), fastup.read_header(path).replace(descriptor="CBYCR"))
    with pytest.raises(DataError, match=r"f10\.dpx: holds Y, Cb and Cr, expected RGB: fastup converts no colours"):
        find_pairs(folder)


def test_formats_may_differ_between_the_folders(folder):
    for path in (folder / "Alpha").iterdir():
        write_png(path.with_suffix(".png"), (8, 6))
        path.unlink()
    pairs = find_pairs(folder)
    assert [path.name for path in pairs.inputs] == ["f9.png", "f10.png", "f11.png"]
    assert (pairs.input_white, pairs.target_white) == (255, 1023)


def test_what_is_no_frame_is_passed_over(folder):
    (folder / "Alpha" / "notes.txt").write_text("held on twos")
    (folder / "Beta" / ".f12.123-456.dpx").write_bytes(b"half a frame")
    assert len(find_pairs(folder)) == 3


def _no_data(folder):
    shutil.rmtree(folder)


def _no_beta(folder):
    shutil.rmtree(folder / "Beta")


def _beta_is_a_file(folder):
    shutil.rmtree(folder / "Beta")
    (folder / "Beta").write_text("")


def _empty(folder):
    shutil.rmtree(folder / "Alpha")
    (folder / "Alpha").mkdir()


def _no_partner(folder):
    (folder / "Beta" / "f10.dpx").unlink()


def _odd_one_out(folder):
    write_frame(folder / "Beta" / "extra.dpx", (18, 12))


def _two_sizes(folder):
    write_frame(folder / "Alpha" / "f10.dpx", (8, 7))


def _two_target_sizes(folder):
    write_frame(folder / "Beta" / "f11.dpx", (20, 12))


def _same_stem(folder):
    write_png(folder / "Alpha" / "f9.png", (8, 6))


def _png_named_dpx(folder):
    write_png(folder / "Alpha" / "x.png", (8, 6)).rename(folder / "Alpha" / "f10.dpx")


def _truncated(folder):
    path = folder / "Beta" / "f11.dpx"
    path.write_bytes(path.read_bytes()[:-1])


def _empty_file(folder):
    (folder / "Alpha" / "f9.dpx").write_bytes(b"")


def _four_channels(folder):
    for path in (folder / "Beta").iterdir():
        path.unlink()
        ImageBuf(np.zeros((18, 12, 4), np.uint8)).write(str(path.with_suffix(".png")), "uint8", "png")


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (_no_data, ["Alpha", "Beta"]),
        (_no_beta, ["Beta", "expected"]),
        (_beta_is_a_file, ["Beta", "expected"]),
        (_empty, ["Alpha", "no frames", ".dpx"]),
        (_no_partner, ["Alpha/f10.dpx", "no partner in Beta"]),
        (_odd_one_out, ["Beta/extra.dpx", "no partner in Alpha"]),
        (_two_sizes, ["Alpha/f10.dpx: 7x8 to 12x18, scale 9/4 x 12/7", "expected 9/4 x 2 like the most of its set"]),
        (_two_target_sizes, ["Beta/f11.dpx: 6x8 to 12x20, scale 5/2 x 2", "expected 9/4 x 2 like the most"]),
        (_same_stem, ["f9.dpx", "f9.png", "stem"]),
        (_png_named_dpx, ["Alpha/f10.dpx", "PNG"]),
        (_truncated, ["Beta/f11.dpx", "cut short", "bytes"]),
        (_empty_file, ["Alpha/f9.dpx"]),
        (_four_channels, ["Beta", "4 channels", "expected 3"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_bad_folders(folder, harm, words):
    harm(folder)
    with pytest.raises(DataError) as caught:
        find_pairs(folder)
    message = str(caught.value)
    assert str(folder) in message
    assert "\n" not in message
    for word in words:
        assert word in message, message


def _problems(*folders):
    with pytest.raises(DataError) as caught:
        find_sets(folders)
    return str(caught.value)


def test_every_problem_at_once_by_pair(folder):
    for number, name in enumerate(("f12", "f13", "f14")):
        write_frame(folder / "Alpha" / f"{name}.dpx", (8, 6), number)
        write_frame(folder / "Beta" / f"{name}.dpx", (18, 12), number)
    alpha, beta = folder / "Alpha", folder / "Beta"
    _same_stem(folder)
    (beta / "f10.dpx").unlink()
    write_frame(beta / "f13.dpx", (20, 12))
    (alpha / "f11.dpx").write_bytes(b"")
    fastup.write(beta / "f12.dpx", fastup.read(beta / "f12.dpx"), fastup.Header.new(12, 18, descriptor="CBYCR"))
    first, *lines = _problems(folder).split("\n  ")
    assert first == f"5 problems in {folder}:"
    expected = [
        f"{alpha}/f9.png: another frame has the same stem, f9.dpx; pairs go by stem",
        f"{alpha}/f10.dpx: no partner in Beta",
        f"{alpha}/f11.dpx: ",
        f"{beta}/f12.dpx: holds Y, Cb and Cr, expected RGB: fastup converts no colours",
        f"{beta}/f13.dpx: 6x8 to 12x20, scale 5/2 x 2 (vertical, horizontal), expected 9/4 x 2 like the most of its",
    ]
    assert len(lines) == len(expected)
    for line, start in zip(lines, expected, strict=True):
        assert line.startswith(start)
        assert "\n" not in line


def test_several_sets_at_once(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    shutil.copytree(folder, other, dirs_exist_ok=True)
    sets = find_sets([folder, other])
    assert [each.folder for each in sets] == [folder, other]
    assert sets == [find_pairs(folder), find_pairs(other)]
    _no_partner(folder)
    assert _problems(folder, other) == f"{folder}/Alpha/f10.dpx: no partner in Beta"
    _truncated(other)
    first, *lines = _problems(folder, other, folder / "none").split("\n  ")
    assert first == f"3 problems in {folder}, {other}, {folder}/none:"
    for line, path in zip(lines, (f"{folder}/Alpha/f10", f"{other}/Beta/f11", f"{folder}/none: no such"), strict=True):
        assert line.startswith(path)
    shutil.rmtree(other / "Alpha")  # what is wrong with Beta is told all the same
    assert _problems(other).startswith(f"2 problems in {other}:\n  {other}: no folder Alpha here, expected")
    assert f"\n  {other}/Beta/f11.dpx: " in _problems(other)


def test_what_all_frames_have_in_common_is_one_problem(folder):
    for path in (folder / "Beta").iterdir():
        path.write_bytes(b"no frame")
    message = _problems(folder)
    assert message.startswith(f"{folder}/Beta: all 3 frames: ")
    assert "\n" not in message
    for path in (folder / "Beta").iterdir():
        path.rename(path.with_name(f"x{path.name}"))
    first, *lines = _problems(folder).split("\n  ")
    assert first == f"3 problems in {folder}:"
    assert lines[0] == f"{folder}/Alpha: all 3 frames: no partner in Beta"
    assert lines[1].startswith(f"{folder}/Beta: all 3 frames: not a DPX")
    assert lines[2:] == [f"{folder}/Beta: all 3 frames: no partner in Alpha"]


def test_at_most_40_problems_are_listed(folder):
    for number in range(100, 143):
        write_frame(folder / "Beta" / f"f{number}.dpx", (18, 12))
    first, *lines, last = _problems(folder).split("\n  ")
    assert first == f"43 problems in {folder}:"
    assert lines == [f"{folder}/Beta/f{number}.dpx: no partner in Alpha" for number in range(100, 140)]
    assert last == "and 3 more"


def test_a_frame_that_the_system_refuses_is_listed(folder, monkeypatch):
    really = fastup.frames.probe

    def probe(path):
        if path.name == "f10.dpx":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return really(path)

    monkeypatch.setattr(module.frames, "probe", probe)
    _, *lines = _problems(folder).split("\n  ")
    assert lines == [f"{folder}/{side}/f10.dpx: Permission denied" for side in ("Alpha", "Beta")]


def test_the_command_line_keeps_the_lines(folder, run):
    (folder / "train").mkdir()
    for side in ("Alpha", "Beta"):
        (folder / side).rename(folder / "train" / side)
    train = folder / "train"
    (train / "Alpha" / "f9.dpx").rename(train / "Alpha" / "g  [9].dpx")
    code, out, err = run("pairs", folder)
    assert (code, out) == (1, "")
    assert err == (
        f"fastup: 2 problems in {train}:\n  {train}/Alpha/g [9].dpx: no partner in Beta\n"
        f"  {train}/Beta/f9.dpx: no partner in Alpha\n"
    )


# -- geometry --------------------------------------------------------------------------------------------------------


@pytest.fixture
def two_sets(tmp_path):
    """Four pairs to train on and three others, of noise."""
    for name, count in (("train", 4), ("validation", 3)):
        for number in range(count):
            for side, size in (("Alpha", (8, 6)), ("Beta", (18, 12))):
                seed = 100 * len(name) + 10 * number + size[0]
                write_frame(tmp_path / name / side / f"{name[0]}{number}.dpx", size, seed)
    return tmp_path / "train", tmp_path / "validation"


def _seen(folders, cache=None):
    return seen(*find_sets(folders), cache)


def test_sets_that_share_nothing(two_sets):
    assert _seen(two_sets) == []
    assert seen_note(*find_sets(two_sets), []) is None


def test_a_copy_is_seen(two_sets, tmp_path):
    shutil.copytree(two_sets[0], tmp_path / "copy")
    sets = find_sets([two_sets[0], tmp_path / "copy"])
    found = seen(*sets)
    assert found == list(zip(sets[1].inputs, sets[0].inputs, strict=True))
    note = seen_note(*sets, found)
    assert note.startswith(f"4 of the 4 pairs of {tmp_path / 'copy'} are in {two_sets[0]} too")
    assert note.endswith(f"the first: {sets[1].inputs[0]} is {sets[0].inputs[0]}")
    (tmp_path / "link").symlink_to(two_sets[0])
    assert len(_seen([two_sets[0], tmp_path / "link"])) == 4


@pytest.mark.parametrize("side", ["Alpha", "Beta"])
def test_one_frame_under_another_name_and_timecode(two_sets, side):
    train, validation = two_sets
    path, twin = validation / side / "v1.dpx", train / side / "t2.dpx"
    fastup.write(path, fastup.read(twin), fastup.read_header(twin).replace(timecode="01:00:00:00", frame_position=7))
    sets = find_sets(two_sets)
    assert seen(*sets) == [(path, twin)]
    assert seen_note(*sets, seen(*sets)).startswith(f"1 of the 3 pairs of {validation} is in {train} too")


def test_other_formats_are_held_against_each_other(tmp_path):
    one, other = (write_set(tmp_path / name, ".png", "uint16") for name in ("one", "other"))
    assert seen(one, other) == list(zip(other.inputs, one.inputs, strict=True))
    for path in other.inputs:
        write_other(path, (8, 6), "uint16", 99)
    assert seen(one, other) == list(zip(other.targets, one.targets, strict=True))


@pytest.mark.parametrize("suffix", [".dpx", ".png", ".tif", ".exr"])
def test_frames_of_one_colour_are_not_held_to_be_seen(tmp_path, suffix):
    one, other = tmp_path / "one", tmp_path / "other"
    size, header = (480, 640), fastup.Header.new(640, 480, bits=32 if suffix == ".exr" else 16)
    for side in ("Alpha", "Beta"):
        (one / side).mkdir(parents=True)
        for number, colour in enumerate([(0, 0, 0), (940, 64, 512)]):
            frame = np.full((*size, 3), np.array(colour) / 1023, np.float32)
            fastup.write(one / side / f"{number}{suffix}", frame, header)
    shutil.copytree(one, other)
    assert _seen([one, other]) == []
    frame[5] = 0.25  # one line of another colour, far from the middle
    path, twin = other / "Beta" / f"1{suffix}", one / "Beta" / f"1{suffix}"
    fastup.write(twin, frame, header)
    shutil.copy(twin, path)
    assert _seen([one, other]) == [(path, twin)]


def test_frames_with_the_same_middle_are_told_apart(two_sets, monkeypatch):
    """The whole of a frame is read where a part is the same, and only there."""
    monkeypatch.setattr(module, "PART", 64)
    train, validation = two_sets
    frame = fastup.read(train / "Beta" / "t1.dpx")
    frame[0, 0] ^= 1
    fastup.write(validation / "Beta" / "v0.dpx", frame)
    reads, really = [], digests.hashlib.file_digest

    def file_digest(file, kind):
        reads.append(os.path.basename(file.name))
        return really(file, kind)

    monkeypatch.setattr(digests.hashlib, "file_digest", file_digest)
    assert _seen(two_sets, train.parent / "cache") == []
    assert sorted(reads) == ["t1.dpx", "v0.dpx"]
    assert _seen(two_sets, train.parent / "cache") == []
    assert len(reads) == 2  # it is noted


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_names_pair_whatever_form_their_letters_have(tmp_path, forms):
    """A folder that went through a Mac has a letter and its mark apart."""
    for side, form in zip(("Alpha", "Beta"), forms, strict=True):
        for name in ("Käse_é1", "Käse_é2"):
            write_frame(tmp_path / side / f"{unicodedata.normalize(form, name)}.dpx", (8, 6))
    pairs = find_pairs(tmp_path)
    for source, target in zip(pairs.inputs, pairs.targets, strict=True):
        assert source.stem != target.stem
        assert unicodedata.normalize("NFC", source.stem) == unicodedata.normalize("NFC", target.stem)
    write_frame(tmp_path / "Alpha" / f"{unicodedata.normalize(forms[1], name)}.dpx", (8, 6))
    if len(os.listdir(tmp_path / "Alpha")) == 3:  # a file system may hold both to be one
        with pytest.raises(DataError, match="another frame has the same stem"):
            find_pairs(tmp_path)


# -- the scores on disk ----------------------------------------------------------------------------------------------


# -- sets of several kinds -------------------------------------------------------------------------------------------


def test_folders_in_the_folders_are_searched(tmp_path):
    for place in ("reel 10/a", "reel 9/a", "b", "reel 9/deep/a", ".hidden/a"):
        for side, size in (("Alpha", (8, 6)), ("Beta", (18, 12))):
            write_frame(tmp_path / side / f"{place}.dpx", size)
    (tmp_path / "Alpha" / "reel 11").mkdir()
    pairs = find_pairs(tmp_path)
    names = ["b", "reel 9/a", "reel 9/deep/a", "reel 10/a"]
    assert [pairs.name(number) for number in range(4)] == names
    for side, paths in (("Alpha", pairs.inputs), ("Beta", pairs.targets)):
        assert paths == tuple(tmp_path / side / f"{name}.dpx" for name in names)
    (tmp_path / "Beta" / "reel 9" / "a.dpx").rename(tmp_path / "Beta" / "a.dpx")
    lines = _problems(tmp_path).split("\n  ")[1:]
    assert lines == [
        f"{tmp_path}/Alpha/reel 9/a.dpx: no partner in Beta",
        f"{tmp_path}/Beta/a.dpx: no partner in Alpha",
    ]


def test_a_folder_that_holds_itself(folder):
    (folder / "Beta" / "again").symlink_to(folder / "Beta")
    assert _problems(folder) == f"{folder}/Beta/again: a link to a folder that holds it, expected no link here"


def test_linked_folders_are_searched(folder, tmp_path_factory):
    place = tmp_path_factory.mktemp("linked")
    for side in ("Alpha", "Beta"):
        (place / side).mkdir()
        for shot in ("one", "two"):
            (place / side / shot).symlink_to(folder / side)
    assert [find_pairs(place).name(n) for n in range(6)] == [f"{s}/f{n}" for s in ("one", "two") for n in (9, 10, 11)]


def test_sizes_and_whites_may_differ(tmp_path):
    """As long as the scale is one: two of one kind come first, whatever their place."""
    sizes = {"a": ((4, 3), (9, 6)), "b": ((8, 6), (18, 12)), "c": ((8, 6), (18, 12)), "d": ((8, 6), (18, 12))}
    for name, pair in sizes.items():
        for side, size in zip(("Alpha", "Beta"), pair, strict=True):
            write_frame(tmp_path / side / f"{name}.dpx", size)
    write_other(tmp_path / "Beta" / "d.png", (18, 12), "uint8")
    (tmp_path / "Beta" / "d.dpx").unlink()
    pairs = find_pairs(tmp_path)
    assert pairs.kind_of == (1, 0, 0, 2)
    assert pairs.counts() == [2, 1, 1]
    assert pairs.kinds == (
        Kind((8, 6), (18, 12), 1023, 1023), Kind((4, 3), (9, 6), 1023, 1023), Kind((8, 6), (18, 12), 1023, 255),
    )  # fmt: skip
    assert (pairs.input_white, pairs.target_white) == (1023, None)
    assert pairs.usual == 1
    assert pairs.only([3, 0]).kinds == (pairs.kinds[2], pairs.kinds[1])
    assert pairs.only([3, 0]).targets == (pairs.targets[3], pairs.targets[0])


def test_the_scale_is_that_of_the_most(tmp_path):
    for name, size in (("a", (16, 12)), ("b", (18, 12)), ("c", (27, 18)), ("d", (6, 6))):
        write_frame(tmp_path / "Beta" / f"{name}.dpx", size)
    for name, size in (("a", (8, 6)), ("b", (8, 6)), ("c", (12, 9)), ("d", (8, 6))):
        write_frame(tmp_path / "Alpha" / f"{name}.dpx", size)
    lines = _problems(tmp_path).split("\n  ")[1:]
    assert lines == [
        f"{tmp_path}/Beta/a.dpx: 6x8 to 12x16, scale 2 x 2 (vertical, horizontal), expected 9/4 x 2 like the most of "
        "its set",
        f"{tmp_path}/Beta/d.dpx: the target picture is 6x6 and smaller than the input picture of 6x8; are Alpha and "
        "Beta swapped?",
    ]


def test_a_trim_that_leaves_nothing_of_one_kind(tmp_path):
    for name, size in (("a", (10, 20)), ("b", (20, 40)), ("c", (20, 40))):
        for side in ("Alpha", "Beta"):
            write_frame(tmp_path / side / f"{name}.dpx", size)
    assert find_pairs(tmp_path, (2, 2, 1, 1)).kinds[0].geometry.input_picture == (18, 36)
    with pytest.raises(OptionError, match=r"Alpha/a\.dpx: .*trim is 10,10,0,0, which leaves nothing of a frame of 20x"):
        find_pairs(tmp_path, (10, 10, 0, 0))


def test_borders_are_found_by_source(tmp_path):
    """Of inputs and targets apart; a pixel that is too much goes with the borders, so that there is one scale."""
    shots = {
        "a": ((0, 0, 0, 0), (0, 0, 0, 0)),
        "b": ((20, 20, 0, 0), (40, 40, 0, 0)),
        "c": ((9, 10, 8, 4), (18, 20, 18, 9)),
        "d": ((6, 6, 0, 0), (13, 12, 0, 0)),
    }
    heard = []
    write_framed(tmp_path, shots)
    pairs = find_pairs(tmp_path, "auto", on_progress=lambda *progress: heard.append(progress))
    assert heard == [(n, 4, "looking for borders") for n in (1, 2, 3, 4)] * 2
    assert {kind.geometry.scale for kind in pairs.kinds} == {(Fraction(9, 4), 2)}
    found = {pairs.name(number)[0]: pairs.kind(number) for number in range(len(pairs))}
    for shot, (input_trim, trim) in shots.items():
        if shot != "d":
            assert (found[shot].input_trim, found[shot].trim) == (input_trim, trim)
    assert found["d"].input_trim in ((6, 7, 0, 0), (7, 6, 0, 0))
    assert found["d"].geometry.target_picture == (270, 334)


def test_only_one_side_may_be_looked_at(tmp_path):
    write_framed(tmp_path, {"a": ((0, 0, 0, 0), (8, 8, 0, 0)), "b": ((0, 0, 0, 0), (8, 8, 0, 0))})
    with pytest.raises(OptionError, match="input-trim"):
        find_pairs(tmp_path, "auto", "some")
    pairs = find_pairs(tmp_path, "auto", (4, 4, 0, 0))
    assert [(kind.input_trim, kind.trim) for kind in pairs.kinds] == [((4, 4, 0, 0), (8, 8, 0, 0))]
    pairs = find_pairs(tmp_path, (0, 0, 0, 0), "auto")
    assert [(kind.input_trim, kind.trim) for kind in pairs.kinds] == [((0, 0, 0, 0), (0, 0, 0, 0))]


def test_a_frame_that_cannot_be_looked_at(tmp_path):
    write_framed(tmp_path, {"a": ((0, 0, 0, 0), (8, 8, 0, 0))})
    path = tmp_path / "Beta" / "a" / "1.dpx"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"Beta/a/1\.dpx.*cut short"):
        find_pairs(tmp_path, "auto")


def test_what_is_found_has_the_scale_of_the_first_set(tmp_path):
    """Or the one that is asked for, such as a model's, if a pixel more gives it."""
    shots = {"train": ((0, 0, 0, 0), (0, 0, 0, 0)), "validation": ((0, 0, 1, 0), (0, 0, 1, 0))}
    for name, trims in shots.items():
        write_framed(tmp_path / name, {"a": trims})
    train, validation = find_sets([tmp_path / name for name in shots], "auto")
    assert train.geometry.scale == validation.geometry.scale == (Fraction(9, 4), 2)
    assert validation.geometry.target_picture == (261, 360)
    alone = find_pairs(tmp_path / "validation", "auto", towards=(Fraction(9, 4), Fraction(2)))
    assert alone.geometry == validation.geometry
