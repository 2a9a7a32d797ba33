"""What is removed of a cache, and what stays."""

import os

from test_cli import fails

import fastup


def names(folder):
    return sorted(os.path.relpath(os.path.join(top, name), folder) for top, _, all_ in os.walk(folder) for name in all_)


def test_clear_cache_removes_the_cache_alone(run, own, tmp_path):
    before = names(own)
    elsewhere = tmp_path / "elsewhere.dpx"
    elsewhere.write_bytes(b"x" * 1000)
    (own / "cache" / "train" / "Alpha").mkdir(parents=True)
    made = [
        "rank.png", f"detail-{'0a' * 16}.bin", f".detail-{'0a' * 16}.fastup-1f-12-345.bin", "digests.json",
        "train/Alpha/f.dpx", "train/Alpha/.f.12-345.dpx", "train/Beta/f.dpx",
        f"inputs-{'0a' * 16}/f.dpx", f"inputs-{'0a' * 16}/reel/.f.12-345.dpx",
    ]  # fmt: skip
    for name in made:
        (own / "cache" / name).parent.mkdir(parents=True, exist_ok=True)
        (own / "cache" / name).write_bytes(b"x" * 335)
    code, out, err = run("pairs", own, "--clear-cache")
    assert (code, err) == (0, "")
    assert "is removed: 3,015 bytes" in out
    assert not (own / "cache").exists()
    assert names(own) == before
    code, out, err = run("pairs", own, "--clear-cache")
    assert (code, err) == (0, "")
    assert "nothing there" in out


def test_clear_cache_leaves_what_fastup_did_not_make(run, own, tmp_path):
    mine = [
        "precious.txt", "detail-notes.bin", f"detail-{'0A' * 16}.bin", "digests.json.old", "mine/rank.png", "f.dpx",
        "train/Alpha/notes.txt", "train/f.dpx", "train/Gamma/f.dpx", "other/Alpha/f.dpx", "matched/f.dpx",
    ]  # fmt: skip
    theirs = ["digests.json", "train/Alpha/f.dpx", "train/Beta/f.dpx", "matched/train/f.dpx"]
    theirs.append(f"set-{'0a' * 8}/Beta/shot/1/f.dpx")
    for name in mine + theirs:
        (own / "cache" / name).parent.mkdir(parents=True, exist_ok=True)
        (own / "cache" / name).write_bytes(b"x" * 10)
    (own / "cache" / "empty").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "f.dpx").write_bytes(b"x")
    (own / "cache" / "train" / "Alpha" / "link.dpx").symlink_to(tmp_path / "elsewhere" / "f.dpx")
    (own / "cache" / "train" / "Alpha" / "folder").symlink_to(tmp_path / "elsewhere")
    code, out, err = run("pairs", own, "--clear-cache")
    assert (code, err) == (0, "")
    assert "cache: 50 bytes are removed; 13 files that fastup did not make stay: detail-" in out
    assert names(own / "cache") == sorted([*mine, "train/Alpha/link.dpx"])
    assert (own / "cache" / "train" / "Alpha" / "folder" / "f.dpx").exists()
    assert (own / "cache" / "empty").is_dir()
    assert not (own / "cache" / "train" / "Beta").exists()


def test_clear_cache_removes_what_training_makes(run, own):
    """All that is there after a run: the patterns are those of what is made."""
    for path in (own / "train" / "Beta").iterdir():
        fastup.write(path.with_suffix(".png"), fastup.read(path, "float32"))
        path.unlink()
    assert run("rank", own)[0] == 0
    assert len(names(own / "cache")) >= 3 + 2
    assert run("pairs", own, "--clear-cache")[0] == 0
    assert not (own / "cache").exists()


def test_clear_cache_removes_a_link_and_not_what_it_points_to(run, own, tmp_path):
    fast = tmp_path / "fast-disk"
    fast.mkdir()
    (fast / "detail-1.npz").write_bytes(b"x")
    (own / "cache").symlink_to(fast)
    code, out, _ = run("pairs", own, "--clear-cache")
    assert code == 0
    assert str(fast) in out
    assert not (own / "cache").is_symlink()
    assert (fast / "detail-1.npz").exists()


def test_clear_cache_leaves_a_file_alone(run, own):
    (own / "cache").write_text("mine")
    fails(run("pairs", own, "--clear-cache"), 1, "cache: a file, expected the folder that fastup made")
    assert (own / "cache").read_text() == "mine"
    fails(run("pairs", own / "nowhere", "--clear-cache"), 1, "nowhere: no such folder")
