"""What several test files share: a small data set at the real scale, a model trained on it, and the command line."""

import sys

import pytest

import fastup.train  # noqa: F401  first of all: it quiets TensorFlow
from fastup import cli, demo

SD, HD = (120, 180), (270, 360)  # 9/4 x 2, as 720x480 to 1440x1080


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """A drawn data set: 3 pairs to train on, 1 to validate, 3 to evaluate. Nothing may be written here."""
    folder = tmp_path_factory.mktemp("small")
    demo.write_data(folder, size=HD, sd_size=SD, train=3, validation=1, evaluation=3)
    return folder


@pytest.fixture
def data(small, tmp_path):
    """A folder of one's own for runs, with the small data set's frames in it."""
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ("train", "validation", "evaluation"):
        (folder / name).symlink_to(small / name)
    return folder


@pytest.fixture(scope="session")
def trained(small, tmp_path_factory):
    """A folder in which compact was trained for two epochs; shared, so nothing in it may be changed."""
    from fastup.train import fit
    from fastup.train.config import Config

    folder = tmp_path_factory.mktemp("trained")
    for name in ("train", "validation", "evaluation"):
        (folder / name).symlink_to(small / name)
    fit.fit(fit.prepare(folder, Config(epochs=2, learning_rate=3e-4)))
    return folder / "models" / "compact"


@pytest.fixture
def run(monkeypatch, capfd):
    """Run a command; returns its exit code and what it printed to stdout and stderr."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["fastup", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        printed = capfd.readouterr()
        return end.value.code, printed.out, printed.err

    # The consoles were made with the streams of the import; these are of the test.
    monkeypatch.setattr(cli, "out", cli.Console(width=160, highlight=False, soft_wrap=True))
    monkeypatch.setattr(cli, "err", cli.Console(stderr=True, highlight=False))
    return call
