"""The page of an evaluation: models beside bicubic, frame by frame."""

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

import fastup
from fastup import frames
from fastup._types import Progress, StrPath
from fastup.codes import Transfer
from fastup.footage.convert import shown
from fastup.report import page, pictures
from fastup.report.looking import BICUBIC, CROPS, INPUT, SIDE, TARGET, WORST, Looking, key
from fastup.report.page import LIMIT, Page, facts, gallery, lines, plot, render, series, viewer
from fastup.train.config import OPTIONS, SETTINGS
from fastup.upscale.evaluate import PAPERS, Evaluation, Score, mean, score_all, shots_of

ROOM = 0.985  # share of a page's bytes that is filled
ONCE = 0.6  # of that, what the small pictures of all frames may take before large ones
ENTRY = 400  # bytes of a frame's entry in the data, at the most, but for its names


@dataclass(frozen=True)
class Kind:
    """A figure of `Score`: its field, what it is called, its unit and digits, and whether less is better."""

    name: str
    label: str
    unit: str
    digits: int
    less: bool = False


KINDS = [
    Kind("psnr", "PSNR", "dB", 2), Kind("psnr_y", "Y PSNR", "dB", 2), Kind("ssim_y", "Y SSIM", "", 4),
    Kind("psnr_lines", "Lines", "dB", 2), Kind("psnr_flats", "Flats", "dB", 2),
    Kind("halo", "Halos", "codes of 10 bits", 2, less=True),
    Kind("flicker", "Flicker", "codes of 10 bits", 2, less=True),
]  # fmt: skip


@dataclass
class Evaluated:
    """What a page is of: the evaluation, what its models are called, their scores, and what was seen."""

    what: Evaluation
    names: Sequence[str]
    scores: list[list[Score]]
    looking: Looking
    words: str  # how codes became what a screen shows
    match: bool


def write(
    path: StrPath, what: Evaluation, names: Sequence[str], match: bool = False, on_progress: Progress | None = None
) -> list[list[Score]]:
    """Score models, as `score_all` does, and write a page of it.

    Parameters
    ----------
    path
        Appears only when it is whole.
    names
        What the models are called.
    match
        Whether the targets were given gain and offset.
    """
    target = Path(what.pairs.targets[0])
    table, words = shown(target, frames.read_header(target))
    looking = Looking(table, len(names))
    scores = score_all(what, on_progress, looking.look, looking.keep)
    page.write(path, made_of(Evaluated(what, names, scores, looking, words, match)))
    return scores


def made_of(found: Evaluated) -> Page:
    """The page, with as many pictures as there is room for."""
    kinds = [kind for kind in KINDS if any(getattr(score, kind.name) is not None for score in found.scores[0])]
    means = [mean(scores, found.what.protocol) for scores in found.scores]
    made = Page("evaluate", _title(found), _lead(found, means), _headline(found, means), version=fastup.__version__)
    seen, crops = _viewer(found), _crops(found, made)
    made.sections += [seen, _series(found, kinds, means)]
    if crops["groups"]:
        made.sections.append(crops)
    for name, upscaler in zip(found.names, found.what.upscalers, strict=True):
        made.sections += _run(name, upscaler.model.name, upscaler)
    made.sections.append(_measured(found))
    _fill(found, made, seen)
    return made


# -- words -------------------------------------------------------------------------------------------------------------


def _title(found):
    names = " and ".join([", ".join(found.names[:-1]), found.names[-1]]) if len(found.names) > 1 else found.names[0]
    return f"{names} on {found.what.pairs.folder.parent.name or '.'}/{found.what.pairs.folder.name}"


def gain(score: Score, kind: str = "psnr", less: bool = False) -> float | None:
    """How much better than bicubic a frame is by a figure; None where it does not have it."""
    ours, theirs = getattr(score, kind), getattr(score, f"{kind}_bicubic")
    return None if ours is None or theirs is None else (theirs - ours if less else ours - theirs)


def _main(found):
    """The figure that the page begins with."""
    return "psnr_y" if found.what.protocol == PAPERS else "psnr"


def _lead(found, means):
    main = _main(found)
    said = []
    for name, scores, whole in zip(found.names, found.scores, means, strict=True):
        counted = [score for score in scores if not score.flat] or scores
        better = [score for score in counted if gain(score, main) > 0]
        worse = sorted((score for score in counted if gain(score, main) <= 0), key=lambda score: gain(score, main))
        what = "Y PSNR" if main == "psnr_y" else "PSNR"
        frames_ = f"{len(counted):,} frame{'s' * (len(counted) != 1)}"
        text = f"On {len(better):,} of {frames_} {name} is nearer to the target than bicubic; "
        text += f"over all of them by {_signed(gain(whole, main))} dB of {what}."
        if worse:
            listed = ", ".join(f"{score.frame} ({_signed(gain(score, main))} dB)" for score in worse[:WORST])
            more = f" and {len(worse) - WORST:,} more" if len(worse) > WORST else ""
            text += f" It is no better on {listed}{more}."
        elif len(counted) > 1:
            least = min(counted, key=lambda score: gain(score, main))
            text += f" It gains least on {least.frame}, {_signed(gain(least, main))} dB."
        said.append(text)
    apart = sum(score.flat for score in found.scores[0])
    if apart and apart < len(found.scores[0]):
        verb = "frame is of one colour and counts" if apart == 1 else "frames are of one colour and count"
        said.append(f"{apart:,} {verb} in no mean.")
    return said


def _headline(found, means):
    main, rows = _main(found), []
    for name, scores, whole in zip(found.names, found.scores, means, strict=True):
        counted = [score for score in scores if not score.flat] or scores
        better = sum(gain(score, main) > 0 for score in counted)
        rows.append((f"{_signed(gain(whole, main))} dB", f"{name} above bicubic"))
        rows.append((f"{better:,} of {len(counted):,}", f"frames better than bicubic, {name}"))
    if len(found.names) == 1:
        (whole,) = means
        rows += [(f"{whole.psnr:.2f} dB", "PSNR, of R, G and B"), (f"{whole.ssim_y:.4f}", "SSIM of luma")]
    return rows


def _signed(value, digits=2):
    return f"{value:+z.{digits}f}".replace("-", "\u2212")


def _measured(found):
    what, geometry = found.what, found.what.pairs.geometry
    papers = what.protocol == PAPERS
    rows = [
        ("data", str(what.pairs.folder)),
        ("frames", f"{len(what.pairs):,}; {geometry.words}"),
        ("inputs", "made of the targets" if what.pairs.made else "as they are in Alpha"),
        ("protocol", "papers: 8 bits, the mean of decibels, bicubic by MATLAB's rule" if papers else
         "restoration: codes of 10 bits as `upscale` writes them, PSNR of the mean squared error"),
        ("targets", "with the gain and offset of their inputs (--match)" if found.match else "as they are"),
        ("screen", found.words),
        ("whole frames", f"{pictures.WORDS}; which have all pixels, and which half as many each way, "
         "is said beside them"),
        ("parts of frames", "WebP without loss"),
        ("figures", "PSNR: R, G and B, whole pictures. Y PSNR and Y SSIM: luma without the rim, as in papers. Lines: "
         "beside drawn lines. Flats: away from them. Halos: how much too bright edges are on their bright side. "
         "Flicker: the mean change from the frame before where the target is still. Gains "
         "are over bicubic, and above 0 where a model is better, also where less is better."),
        ("versions", _versions()),
    ]  # fmt: skip
    return facts("How it was measured", rows)


def _versions():
    names = "numpy", "OpenImageIO", "keras", "tensorflow", "onnxruntime", "openvino", "pillow"
    return f"fastup {fastup.__version__}, Python {platform.python_version()}" + "".join(
        f", {name} {each}" for name in names if (each := installed(name))
    )


def installed(name: str) -> str | None:
    """The version of a package, if it is there."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


# -- figures -----------------------------------------------------------------------------------------------------------


def _series(found, kinds, means):
    figures, shots = [], shots_of(found.what.pairs)
    names, several = found.names, len(found.names) > 1
    for kind in kinds:

        def column(label, values, whole, kind=kind, **more):
            rounded = [None if value is None else round(float(value), kind.digits + 3) for value in values]
            return {"label": label, "values": rounded, "mean": whole and round(float(whole), kind.digits + 3), **more}

        beside = f"{kind.name}_bicubic"
        columns = [column("bicubic", (getattr(each, beside) for each in found.scores[0]), getattr(means[0], beside))]
        if kind.name == "flicker":
            inputs = (score.flicker_input for score in found.scores[0])
            columns.insert(0, column("input", inputs, means[0].flicker_input))
        for name, scores, whole in zip(names, found.scores, means, strict=True):
            gains = [gain(score, kind.name, kind.less) for score in scores]
            columns.append(column(name, (getattr(score, kind.name) for score in scores), getattr(whole, kind.name)))
            label = f"{name}, gain" if several else "gain"
            columns.append(column(label, gains, gain(whole, kind.name, kind.less), signed=True, plot=True))
        figures.append({"label": kind.label, "plotted": f"Gain in {kind.label}", "unit": kind.unit,
                        "digits": kind.digits, "columns": columns})  # fmt: skip
    return series(
        "All frames", [score.frame for score in found.scores[0]], figures,
        "Gain over bicubic, frame by frame" + (", with shots apart" if len(shots) > 1 else "")
        + ". A point, or a name in the table, leads to its frame.",
        shots, [score.flat for score in found.scores[0]], link=True,
    )  # fmt: skip


# -- pictures ----------------------------------------------------------------------------------------------------------


def _viewer(found):
    height, width = found.looking.shape[:2]
    aspect = Fraction(*found.what.upscalers[0].settings["pixel_aspect"]) * width / height
    main, flat = _main(found), [score.flat for score in found.scores[0]]
    frames_ = []
    for number, score in enumerate(found.scores[0]):
        words = ", ".join(
            f"{name} {_signed(gain(scores[number], main))} dB"
            for name, scores in zip(found.names, found.scores, strict=True)
        )
        places = [
            {"label": f"{name} {'gains' if what == 'gain' else 'loses'} most here, {_signed(decibels)} dB",
             "window": _shares(window, height, width)}
            for name, each in zip(found.names, found.looking.seen[number].places, strict=True)
            for what, (window, decibels) in each.items()
        ]  # fmt: skip
        short = " ".join(f"{_signed(gain(scores[number], main))}" for scores in found.scores) + " dB"
        frames_.append({"row": number, "name": score.frame, "pictures": None, "words": words, "short": short,
                        "places": places})  # fmt: skip
    versions = {INPUT: "input", BICUBIC: "bicubic", **{key(n): name for n, name in enumerate(found.names)}}
    worst = []
    for name, scores in zip(found.names, found.scores, strict=True):
        counted = [n for n in range(len(scores)) if not flat[n]] or list(range(len(scores)))
        lowest = sorted(counted, key=lambda n: (gain(scores[n], main), n))[:WORST]
        title = "Where it gains least" if len(found.names) == 1 else f"Where {name} gains least"
        entries = [
            {"frame": n, "figure": f"{_signed(gain(scores[n], main))} dB", "words": scores[n].frame} for n in lowest
        ]
        worst.append({"title": title, "frames": entries})
    words = "Drag the divider, or use the keys; wheel or pinch zooms, and the place stays from frame to frame."
    return viewer("Frames", versions | {TARGET: "target"}, frames_, float(aspect), words, (BICUBIC, key(0)), worst)


def _shares(window, height, width):
    y, x, h, w = window
    return [round(x / width, 5), round(y / height, 5), round(w / width, 5), round(h / height, 5)]


def _crops(found, made):
    height, width = found.looking.shape[:2]
    labels = {INPUT: "input", BICUBIC: "bicubic", **{key(n): name for n, name in enumerate(found.names)}}
    groups = []
    for name, kept in zip(found.names, found.looking.crops, strict=True):
        for what, title in (("gain", f"Where {name} gains most"), ("loss", f"Where {name} loses most")):
            items = []
            for crop in sorted(kept[what], reverse=True):
                caption = f"{found.scores[0][crop.number].frame}, {_signed(crop.decibels)} dB here"
                items.append({
                    "pictures": made.keep(crop.versions), "labels": labels | {TARGET: "target"}, "caption": caption,
                    "row": crop.number, "window": _shares(crop.window, height, width), "pixels": True,
                })  # fmt: skip
            if items:
                groups.append({"title": title, "items": items})
    return gallery(
        "Closer", groups, f"Parts of {SIDE} x {SIDE} target pixels, without loss: of each frame the one where the "
        f"squared error is most below bicubic's, or above it; the {CROPS} that are farthest off.",
    )  # fmt: skip


def _fill(found, made, seen):
    """Put in pictures of frames as far as there is room: small ones of all, large ones of the most interesting."""
    looked, flat = found.looking, [score.flat for score in found.scores[0]]
    room = ROOM * LIMIT - len(render(made)) - ENTRY
    order = [number for number in looked.order(flat) if looked.seen[number].small]

    def cost(versions):
        return sum(map(pictures.cost, versions.values())) + 80

    sizes: dict[int, str] = {}
    left = room * ONCE
    for number in order:
        needed = cost(looked.seen[number].small) + pictures.cost(looked.seen[number].thumb) + 20
        if needed <= left:
            sizes[number] = "small"
            left, room = left - needed, room - needed
    for number in list(sizes):
        each = looked.seen[number]
        more = cost(each.large) - cost(each.small)
        if each.large and more <= room:
            sizes[number], room = "large", room - more
    thumbs = {}
    for number, size in sorted(sizes.items()):
        each, entry = looked.seen[number], seen["frames"][number]
        entry["pictures"] = made.keep(each.large if size == "large" else each.small)
        entry["words"] += "" if size == "large" else "; in half the size, for want of room"
        thumbs[str(number)] = each.thumb
    seen["thumbs"] = made.keep(thumbs)


# -- runs --------------------------------------------------------------------------------------------------------------


def _run(name, file, upscaler):
    settings = upscaler.settings
    history = history_of(file) or settings.get("trained", {}).get("history") or []
    sections = []
    if history:
        sections.append(_curves(name, history))
    rows = [("file", file, ""), ("engine", upscaler.engine_words, "")]
    trained = settings.get("trained") or {}
    if trained.get("best_psnr") is not None:
        best = trained.get("best_epoch", trained.get("epoch"))
        rows.append(("trained", f"{trained.get('steps', 0):,} steps; {trained['best_psnr']:.2f} dB of validation in "
                     f"epoch {best}", ""))  # fmt: skip
    for option, field in OPTIONS.items():
        if field in settings and field != "scale":
            rows.append((option, _shown(settings[field]), _origin(settings, field, SETTINGS[option])))
    for field in ("scale", "input_white", "target_white", "input_transfer", "transfer", "pixel_aspect"):
        if field in settings:
            rows.append((field.replace("_", " "), _fact(field, settings[field]), "the frames"))
    given = [row for row in rows if row[2] != "default"]
    heads = "setting", "value", "where it came from"
    return [*sections, facts(f"Settings of {name}", given, heads=heads, more=[row for row in rows if row not in given])]


def _origin(settings, field, setting):
    """Whose a setting is; of models of older versions, as far as its value tells."""
    if origin := settings.get("origins", {}).get(field):
        return origin
    if settings[field] == json.loads(json.dumps(setting.default)):
        return "default"
    return "given, or the model's own" if setting.default is None else "given"


def _fact(field, value):
    if field in ("transfer", "input_transfer"):
        return "not said" if value is None else getattr(Transfer.of(value), "text", str(value))
    if field == "scale":
        return " x ".join(str(Fraction(*each)) for each in value) + " (vertical, horizontal)"
    return str(Fraction(*value)) if field == "pixel_aspect" else _shown(value)


def _shown(value):
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def history_of(file: str) -> list[dict[str, Any]]:
    """The history of the run that a model's file lies in; empty where there is none."""
    try:
        found = json.loads(Path(file).with_name("state.json").read_text("utf-8"))["history"]
        return [row for row in found if isinstance(row, dict)]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _curves(name: str, history: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    steps = np.cumsum([row["steps"] for row in history]).tolist()

    def points(what):
        return [(step, row[what]) for step, row in zip(steps, history, strict=True) if row.get(what) is not None]

    plots = []
    if validated := points("psnr"):
        plots.append(plot("Validation", "steps", "dB", {name: validated, "bicubic": points("psnr_bicubic")}, dots=True))
    if losses := points("loss"):
        plots.append(plot("Loss", "steps", "log", {"mean of an epoch": losses}, 4, log=True, dots=True))
    seconds = sum(row.get("seconds") or 0 for row in history)
    waited = sum((row.get("seconds") or 0) * (row.get("waiting") or 0) for row in history)
    best = max((row for row in history if row.get("psnr") is not None), key=lambda row: row["psnr"], default=None)
    words = f"{len([row for row in history if row['epoch']]):,} epochs, {steps[-1]:,} steps, {_time(seconds)}"
    words += f", of which {_time(waited)} ({waited / seconds:.1%}) were spent waiting for data." if seconds else "."
    if best:
        words += f" The best was epoch {best['epoch']}: {best['psnr']:.2f} dB, bicubic {best['psnr_bicubic']:.2f} dB."
    return lines(f"Training of {name}", plots, words)


def _time(seconds):
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"
