"""Pages of footage: the cadence of a telecined clip, and the kernel of a source with halos."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import fastup
from fastup._types import StrPath
from fastup.footage import halo
from fastup.footage.halo import REACH, Estimate
from fastup.report import page
from fastup.report.page import Page, facts, lines, plot

NEAR = 12  # pixels of a kernel that are shown, each way


def write_cadence(path: StrPath, source: Path, report: Mapping[str, Any], rows: Iterable[tuple[str, str]]) -> None:
    """A page of `fastup detelecine`: the phase of every frame, breaks and doubts."""
    frames, film = report["frames"], report["film_frames"]
    doubts, breaks = report["doubts"], report["breaks"]
    said = (
        f"{frames:,} frames of video are {film:,} of film, of which {len(doubts):,} are doubtful; the cadence breaks "
    )
    said += f"{len(breaks):,} time{'s' * (len(breaks) != 1)}."
    made = Page("detelecine", source.name, [said, *report["notes"]], version=fastup.__version__)
    made.headline = [(f"{film:,}", "frames of film"), (f"{len(breaks):,}", "breaks"), (f"{len(doubts):,}", "doubtful")]
    phases = [(n, int(phase)) for n, phase in enumerate(report["phases"]) if phase != "-"]
    plots = [plot("Phase", "frame of the video", "place in the cycle of five", {"phase": phases}, digits=0, dots=True)
             | {"only": True}]  # fmt: skip
    made.sections.append(lines("The cadence", plots, "Even steps are film; a jump is a break."))
    found = [(f"frame {each['frame']}", f"before its {each['field']} field") for each in breaks]
    if found:
        made.sections.append(facts("Breaks", found[:200]))
    if doubts:
        made.sections.append(facts("Doubts", [_row(each) for each in doubts[:200]]))
    made.sections += [facts("Figures", rows), facts("Settings", report["settings"].items())]
    page.write(path, made)


def _row(doubt):
    if not isinstance(doubt, Mapping):
        return "film frame", str(doubt)
    first, *others = doubt.items()
    return f"{first[0].replace('_', ' ')} {first[1]}", ", ".join(
        f"{name.replace('_', ' ')} {value}" for name, value in others
    )


def write_halo(path: StrPath, source: Path, found: Estimate, strength: float, rows: Iterable[tuple[str, str]]) -> None:
    """A page of `fastup dehalo`: the kernel, a step through it, and what undoes it."""
    said = "There is no halo: frames stay as they are."
    if not found.none:
        said = f"Edges overshoot by {found.before:.1%} of a step, and by {found.after:.1%} when the halo is undone."
    made = Page("dehalo", source.name, [said], version=fastup.__version__)
    made.headline = [(f"{found.before:.1%}", "overshoot of a step"), (f"{found.after:.1%}", "after"),
                     (f"{found.noise:.4f}", "noise, of white")]  # fmt: skip
    offsets = range(-NEAR, NEAR + 1)
    inside = slice(REACH - NEAR, REACH + NEAR + 1)
    undone = np.convolve(found.taps, halo.inverse(found.taps, strength))
    middle = len(undone) // 2

    def points(values):
        return [(offset, round(float(value), 6)) for offset, value in zip(offsets, values, strict=True)]

    after = np.cumsum(undone)[middle - NEAR : middle + NEAR + 1]
    padded = np.roll(np.pad(found.taps, (0, 1024 - len(found.taps))), -REACH)
    responses = {"kernel": np.abs(np.fft.rfft(padded)),
                 "what undoes it": np.abs(halo.response_of_inverse(found.taps, 1024, strength))}  # fmt: skip
    frequencies = np.fft.rfftfreq(1024)[::8].tolist()
    gains = {
        name: list(zip(frequencies, np.round(each[::8], 5).tolist(), strict=True)) for name, each in responses.items()
    }
    steps = {"as the frames have it": points(np.cumsum(found.taps)[inside]), "after": points(after)}
    plots = [
        plot("Kernel", "pixels", "weight", {"tap": points(found.taps[inside])}, 3, dots=True),
        plot("A step of 1", "pixels", "level", steps, 3),
        plot("Response", "cycles per pixel", "gain", gains),
    ]
    made.sections.append(lines("The kernel", plots))
    made.sections.append(facts("Figures", rows))
    page.write(path, made)
