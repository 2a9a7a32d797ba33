"""Pages of footage: the cadence of a telecined clip, and the kernel of a source with halos; frames before and after."""

import contextlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import fastup
from fastup._types import StrPath
from fastup.footage import halo
from fastup.footage.cadence import DOUBT
from fastup.footage.dehalo import Plan
from fastup.footage.halo import REACH, Estimate
from fastup.footage.source import WHITE
from fastup.footage.telecine import Film
from fastup.footage.weave import Woven
from fastup.report import page
from fastup.report.page import Page, facts, lines, plot
from fastup.report.seen import MOST, Seen, most_changed

NEAR = 12  # pixels of a kernel that are shown, each way
LOOKED, SHOWN = 12, 6  # frames that are dehaloed for a page, and those of them that are in it


def woven(film: Film) -> Seen:
    """Frames of a film beside the video that they come from: the most doubtful, and some that are of two frames."""
    both = [n for n, each in enumerate(film.woven) if each.kind == "film" and each.top != each.bottom]
    both = [n for n in both if min(film.woven[n][:2]) >= 0]
    doubtful = sorted((each.margin, n) for n, each in enumerate(film.woven) if each.margin < DOUBT and film.there(n))
    chosen = dict.fromkeys(n for _, n in doubtful[: MOST // 2])
    rest = [n for n in both if n not in chosen]
    chosen |= dict.fromkeys(rest[k * len(rest) // MOST] for k in range(min(MOST, len(rest))))
    numbers = list(chosen)[:MOST]
    ways = []
    for n in sorted(numbers):
        frame = film.woven[n].top if film.woven[n].top >= 0 else film.woven[n].bottom
        ways += [Woven(frame, frame, "film", 0.0), film.woven[n]]
    with contextlib.closing(film.weave(ways)) as planes:
        made = map(film.pixels, planes)
        pairs = {n: [(next(made) / WHITE).astype(np.float32) for _ in ("video", "film")] for n in sorted(numbers)}
    seen = Seen({"video": "video", "film": "film"})
    for n in sorted(numbers, key=lambda n: -np.abs(pairs[n][1] - pairs[n][0]).mean()):
        each, header = film.woven[n], film.header(n)
        fields = [str(frame) for frame in dict.fromkeys(each[:2]) if frame >= 0]
        words = f"of frame{'s' * (len(fields) > 1)} {' and '.join(fields)} of the video"
        words += f"; doubtful, margin {each.margin:.1f}" if each.margin < DOUBT else ""
        versions = {name: (picture, header) for name, picture in zip(seen.labels, pairs[n], strict=True)}
        places = [{"label": "where they differ most", "window": most_changed(*pairs[n])}]
        seen.add(n, film.name(n), words, versions, places, "doubtful" if each.margin < DOUBT else "")
    return seen


def write_cadence(
    path: StrPath, source: Path, report: Mapping[str, Any], rows: Iterable[tuple[str, str]], seen: Seen | None = None
) -> None:
    """A page of `fastup detelecine`: frames before and after, the phase of every frame, breaks and doubts."""
    frames, film = report["frames"], report["film_frames"]
    doubts, breaks = report["doubts"], report["breaks"]
    said = (
        f"{frames:,} frames of video are {film:,} of film, of which {len(doubts):,} are doubtful; the cadence breaks "
    )
    said += "once." if len(breaks) == 1 else f"{len(breaks):,} times."
    made = Page("detelecine", source.name, [said, *report["notes"]], version=fastup.__version__)
    made.headline = [(f"{film:,}", "frames of film"), (f"{len(breaks):,}", "breaks"), (f"{len(doubts):,}", "doubtful")]
    if seen is not None:
        words = "Left the video, as it comes; right the film. Those that differ most come first."
        seen.put(made, "Video and film", words, "Where they differ")
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


def dehaloed(plan: Plan) -> Seen:
    """Frames of a source before and after, of some that are spread over it those that change most."""
    source, seen = plan.source, Seen({"before": "before", "after": "after"})
    numbers = [n for n in plan.numbers or range(len(source.source)) if source.there(n)]
    numbers = [numbers[k * len(numbers) // LOOKED] for k in range(LOOKED)] if len(numbers) > LOOKED else numbers
    found = []
    for n, raw in source.source.samples(numbers):
        pair = [source.source.pixels(raw, "float32")[..., :3], source.pixels((n, raw), "float32")[..., :3]]
        found.append((float(np.abs(pair[1] - pair[0]).mean()), n, pair))
        found = sorted(found, key=lambda each: (-each[0], each[1]))[:SHOWN]
    for change, n, pair in found:
        versions = {name: (picture, source.header(n)) for name, picture in zip(seen.labels, pair, strict=True)}
        places = [{"label": "where it changes most", "window": most_changed(*pair)}]
        seen.add(n, source.name(n), f"changed by {change:.2%} of white in the mean", versions, places, f"{change:.2%}")
    return seen


def write_halo(
    path: StrPath, source: Path, found: Estimate, strength: float, rows: Iterable[tuple[str, str]],
    seen: Seen | None = None,
) -> None:  # fmt: skip
    """A page of `fastup dehalo`: frames before and after, the kernel, a step through it, and what undoes it."""
    said = "There is no halo: frames stay as they are."
    if not found.none:
        said = f"Edges overshoot by {found.before:.1%} of a step, and by {found.after:.1%} when the halo is undone."
    made = Page("dehalo", source.name, [said], version=fastup.__version__)
    made.headline = [(f"{found.before:.1%}", "overshoot of a step"), (f"{found.after:.1%}", "after"),
                     (f"{found.noise:.4f}", "noise, of white")]  # fmt: skip
    if seen is not None:
        words = f"The frames that change most, of up to {LOOKED} that are spread over them all."
        seen.put(made, "Before and after", words, "Where it changes")
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
