"""Look at frames, and make others of them: info, extract, detelecine, degrade, dehalo, convert."""

from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer
from typer import Argument, Option

from fastup.cli import show
from fastup.cli.options import (
    Codec,
    End,
    Frames,
    Html,
    Json,
    Levels,
    Lines,
    OnCluster,
    Order,
    Output,
    Overwrite,
    Pixels,
    Rate,
    Raw,
    RawSize,
    Start,
    carries_on,
    for_output,
    parse_size,
    pipes,
)  # fmt: skip
from fastup.errors import OptionError
from fastup.frames import refuse_other
from fastup.trim import Trim

Filter = Literal["lanczos", "area", "bicubic", "matlab"]
Curve = Literal["log", "linear", "srgb", "rec709"]
Video = Literal["keep", "bob"]
Interlaced = Annotated[
    bool | None,
    Option("--interlaced/--progressive", help="How 4:2:0 chroma lies.  [default: as each frame says]"),
]
STRENGTH = "S|LOW:HIGH[@P]"


def info(
    files: Annotated[
        list[Path], Argument(metavar="FILE...", help="DPX files; of others, the size and what is not read; folders.")
    ],
    as_json: Json = False,
) -> None:
    """Show the header of files, and what is odd in it that other programs may trip over; of folders, the sequences."""
    reports = [_report_folder(path) if path.is_dir() else _report_file(path) for path in files]
    if as_json:
        show.data([facts for facts, _ in reports])
    else:
        for path, (_, tables) in zip(files, reports, strict=True):
            for rows, odd in tables:
                show.table(rows, str(path))
                for text in odd:
                    show.say(f"odd: {text}", "yellow")
    if any(each["unreadable"] for facts, _ in reports for each in facts.get("sequences", ())):
        raise typer.Exit(1)


def _report_file(path):
    """What there is to say of a frame: for scripts, and a table with what is odd."""
    from fastup.frames import is_dpx, left_out, premultiplied, read_header
    from fastup.oddities import oddities
    from fastup.summary import summary

    refuse_other(path)
    header, size = read_header(path), path.stat().st_size
    if is_dpx(path):
        flavour, rows, odd, more = header.flavour, summary(header, size), oddities(header, size, path), header.to_dict()
    else:
        kind, *_ = header.flavour.split(",")  # the rest is of a DPX that there isn't
        flavour, odd = f"{kind}, not a DPX", []
        more = {"premultiplied": premultiplied(path), "left_out": left_out(path)}
        rows = [
            ("file", f"{size:,} bytes, not a DPX: read through OpenImageIO"),
            ("picture", f"{header.width}x{header.height}, {kind}"),
        ]
        if more["premultiplied"] is not None:
            rows.append(("alpha", "colours are multiplied by it" if more["premultiplied"] else "straight"))
        rows += [("read", words) for words in more["left_out"]]
    picture = {name: getattr(header, name) for name in ("width", "height", "channels", "bits")}
    return {"path": str(path), "flavour": flavour, "oddities": odd} | picture | more, [(rows, odd)]


def _report_folder(path):
    """What there is to say of a folder: for scripts, and a table of each sequence with what is odd."""
    from fastup.footage.sequences import survey

    found = survey(path)
    unreadable = [[f"cannot be read: {text}" for text in each["unreadable"][: show.MOST_LISTED]] for each in found]
    tables = [(_rows(each), each.get("notes", []) + bad) for each, bad in zip(found, unreadable, strict=True)]
    return {"path": str(path), "sequences": found}, tables


def _rows(sequence):
    first, last, count = sequence["first"], sequence["last"], sequence["frames"]
    kinds = [kind + f" ({number:,})" * (number < count) for kind, number in sequence["pictures"].items()]
    rows = {
        "frames": f"{count:,}, {first}" + f" to {last}" * (count > 1) + f", {sequence['bytes']:,} bytes",
        "pictures": show.few(kinds, between="\n"),
        "frame rate": ", ".join(f"{rate:g} frames/s" for rate in sequence["frame_rates"]),
        "timecode": " to ".join(sequence["timecodes"]),
    }
    if "numbers" in sequence:
        step, gaps = sequence["step"], sequence["gaps"]
        rows |= {
            "numbers": "{} to {}".format(*sequence["numbers"])
            + (f" by {step}" if step > 1 else ", not evenly apart" * (step == 0)),
            "missing": f"{sequence['missing']:,}: {show.few(show.ranges(gaps))}" if gaps else "",
            "time missing": show.few(sequence["time"], between="\n"),
            "doubled": show.few(sequence["doubled"]),
        }
    return [(name, value) for name, value in rows.items() if value]


@carries_on
def convert(
    source: Annotated[Path, Argument(metavar="IN", help="A frame, a folder of frames, a video, or - for a pipe.")],
    destination: Annotated[
        Path,
        Argument(
            metavar="OUT",
            help="A folder; a file or a movie, whose suffix says the format; - for a pipe.",
            callback=for_output,
        ),
    ],
    format: Annotated[str | None, Option(help="Of what goes to a folder: dpx, png, tif, exr, jpg, bmp, tga.")] = None,
    bits: Annotated[
        int | None, Option(help="8, 10, 12 or 16 of DPX, 8 or 16 of PNG and TIFF.  [default: the input's]")
    ] = None,
    source_curve: Annotated[
        Curve | None, Option("--from", help="Transfer of IN.  [default: what a DPX' header says]")
    ] = None,
    target_curve: Annotated[
        Curve | None, Option("--to", help="Transfer to convert to.  [default: code values stay]")
    ] = None,
    layer: Annotated[
        str | None, Option(help="Of EXR: `beauty` of beauty.R, G, B.  [default: the main or only one]")
    ] = None,
    frames: Frames = None,
    codec: Codec = None,
    raw: Raw = None,
    size: RawSize = None,
    rate: Rate = None,
    pixels: Pixels = None,
    cluster: OnCluster = None,
    overwrite: Annotated[bool, Option("--overwrite", help="Make files again that are there already.")] = False,
) -> None:
    """Convert frames to another format, bits or transfer. Files that are there already are skipped.

    Without --to no code value changes, but for a scale from white to white, and where colours are multiplied by alpha
    in one format (EXR; TIFF and TGA that say so) and not in the other. Log is Cineon's, with black and white by
    the header's low and high code, or 95 and 685.
    """
    from fastup.footage.convert import prepare, run

    opened, options = _opened(source, destination, codec, raw, size, rate, pixels)
    plan = prepare(
        opened, destination, format, bits, source_curve, target_curve, overwrite, layer, frames, options=options
    )
    for words, count in plan.assumed.items():
        show.say(f"{count} frame{'s' * (count != 1)}: {words}" if count else words)
    show.chore(run, "converting", "converted", plan, cluster)


@carries_on
def extract(
    source: Annotated[Path, Argument(metavar="VIDEO|FOLDER", help="A video, a folder of stills, or - for a pipe.")],
    destination: Output,
    start: Start = "0",
    end: End = None,
    frames: Frames = None,
    every: Annotated[int, Option(help="Take one frame of so many.")] = 1,
    lines: Lines = None,
    range: Levels = "full",
    interlaced: Interlaced = None,
    detelecine: Annotated[
        bool, Option("--detelecine", help="Undo 3:2 pulldown too, as `fastup detelecine` does.")
    ] = False,
    codec: Codec = None,
    raw: Raw = None,
    size: RawSize = None,
    rate: Rate = None,
    pixels: Pixels = None,
    cluster: OnCluster = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Write the frames of a video, or stills, as 10-bit RGB DPX of their own size. Those already in OUT are skipped."""
    from fastup.footage.extract import prepare, run
    from fastup.footage.opening import open_clip

    pipe, options = pipes(source, destination, codec, raw, size, rate, pixels)
    if detelecine:
        if cluster is not None:
            raise OptionError(f"cluster is {cluster}, but --detelecine weaves a clip from its first frame on, here")
        if every != 1:
            raise OptionError(f"every is {every}, but --detelecine needs every frame")
        _detelecine(
            source, destination, as_json, start=start, end=end, numbers=frames, lines=lines, keep=range == "keep",
            interlaced=interlaced, overwrite=overwrite, options=options,
        )  # fmt: skip
        return
    with open_clip(source, keep=range == "keep", interlaced=interlaced, pipe=pipe) as opened:
        plan = prepare(
            opened, destination, start=start, end=end, numbers=frames, every=every, lines=lines, overwrite=overwrite,
            options=options,
        )  # fmt: skip
        if not as_json:
            show.table({**opened.settings, "output": _output(destination)})
        with show.cluster(cluster, (lambda text: None) if as_json else show.note) as workers:
            plan = replace(plan, cluster=workers)
            (written, skipped), seconds = show.timed(partial(run, plan), "extracting")
        if as_json:
            names = "width", "height", "field_order", "timecode", "frame_count", "rate", "pixel_aspect"
            facts = {name: getattr(opened, name) for name in names}
            facts |= {name: facts[name] and str(facts[name]) for name in ("rate", "pixel_aspect")}
            counts = {"written": written, "skipped": skipped, "frames_per_second": round(written / seconds, 1)}
            hands = None if workers is None else workers.workers
            show.data(
                {
                    **facts,
                    "settings": opened.settings,
                    **counts,
                    "workers": hands,
                    "notes": opened.notes + plan.sink.notes,
                }
            )
            return
        show.made("extracted", destination, written, skipped, seconds)
        show.workers(workers)
        show.notes(plan, written + skipped)


@carries_on
def detelecine(
    source: Annotated[Path, Argument(metavar="VIDEO|FOLDER", help="Telecined video, or its frames in a folder.")],
    destination: Output,
    order: Order = None,
    sync: Annotated[
        bool, Option("--sync", help="Hold the length to one frame: drop or repeat a frame at a break.")
    ] = False,
    video: Annotated[
        Video, Option(help="Where it isn't telecined: keep frames as they are, or bob fields by bwdif.")
    ] = "keep",
    start: Start = "0",
    end: End = None,
    frames: Frames = None,
    lines: Lines = None,
    range: Levels = "full",
    force: Annotated[bool, Option("--force", help="Write what does not look telecined too.")] = False,
    interlaced: Interlaced = None,
    review: Annotated[bool, Option("--review", help="Write doubtful frames to OUT/telecine as pictures.")] = False,
    html: Html = None,
    codec: Codec = None,
    raw: Raw = None,
    pixels: Pixels = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Undo 3:2 pulldown: 29.97 interlaced to 23.976 progressive. Frames that are in OUT already are skipped.

    The cadence is tracked over the whole clip, so that drawings stay as long as they were drawn for. What was found
    goes to OUT/telecine, or OUT.telecine beside a movie: the phase of every frame and every doubt, as JSON and as a
    picture.
    """
    _, options = pipes(source, destination, codec, raw, None, None, pixels)
    _detelecine(
        source, destination, as_json, order=order, sync=sync, video=video, start=start, end=end, numbers=frames,
        lines=lines, keep=range == "keep", force=force, interlaced=interlaced, review=review, overwrite=overwrite,
        options=options, html=html,
    )  # fmt: skip


def _detelecine(source, destination, as_json, html=None, **options):
    from fastup.footage.telecine import detelecine

    seen = []
    if html is not None:
        from fastup.report.footage import woven

        options["on_film"] = lambda film: seen.append(woven(film))
    report, seconds = show.timed(partial(detelecine, source, destination, **options), "measuring")
    stretches = [f"{part['kind']} {part['first']} to {part['last']}" for part in report["stretches"]]
    beside, numbers = report["details"], options.get("numbers")
    hardly = "" if options.get("order") or report["order_margin"] >= 20 else " (hardly told: see --order)"
    rows = {
        "field order": f"{report['order']} first{hardly}",
        "breaks": f"{len(report['breaks'])}; film frames of one field that were kept: {report['orphans']}",
        "frames": f"{report['frames']} of video, {report['film_frames']} of film",
        "doubtful": f"{len(report['doubts'])} of film",
        "details": beside or "nowhere: a pipe has no place for them",
    }
    if stretches:
        rows["not telecined"] = "frames " + ", ".join(stretches[:8]) + ", ..." * (len(stretches) > 8)
    if html is not None:
        from fastup.report.footage import write_cadence

        write_cadence(html, source, report, rows.items(), *seen)
    if as_json:
        show.data({name: value for name, value in report.items() if name not in ("fields", "woven")})
        return
    show.table(report["settings"])
    show.table(rows, "found")
    for note in report["notes"]:
        show.note(note)
    show.made("written", destination, report["written"], report["skipped"], seconds)
    if numbers and not report["written"] + report["skipped"]:
        show.note(f"there are no frames {numbers} in {source}")


@carries_on
def degrade(
    source: Annotated[Path, Argument(metavar="HD", help="A folder of RGB frames, one frame, or a video.")],
    destination: Annotated[Path, Argument(metavar="SD", help="A folder for 10-bit DPX frames.")],
    trim: Annotated[
        str, Option(metavar="auto|L,R,T,B", help="Pixels to trim: left, right, top, bottom; auto: black pillars.")
    ] = "auto",
    size: Annotated[str, Option(metavar="WxH", help="Of what is made, whatever the picture's shape.")] = "720x480",
    filter: Annotated[Filter, Option(help="What resizes.")] = "lanczos",
    tape: Annotated[
        bool, Option("--tape", help="Be a good analog tape, in what is not given of the next four.")
    ] = False,
    softness: Annotated[
        str | None,
        Option(metavar=STRENGTH, help="Width of the luma Gaussian, SD pixels: 0 to 20; 1.79 / MHz.  [tape: 0.5]"),
    ] = None,
    peaking: Annotated[
        str | None, Option(metavar=STRENGTH, help="Of edges along the line: 0 to 10.  [tape: 0.25]")
    ] = None,
    noise: Annotated[
        str | None, Option(metavar=STRENGTH, help="Deviation, white is 1: 0 to 1.  [tape: 0.006, 44 dB]")
    ] = None,
    chroma: Annotated[
        str | None, Option(metavar=STRENGTH, help="Width of the chroma Gaussian: 0 to 20; 1.79 / MHz.  [tape: 1.4]")
    ] = None,
    clean: Annotated[float, Option(help="How likely a frame has none of the four, 0 to 1.")] = 0.0,
    seed: Annotated[int, Option(help="Of the noise, and of strengths that are ranges.")] = 0,
    cluster: OnCluster = None,
    overwrite: Overwrite = False,
) -> None:
    """Make SD twins of HD frames, to train on: trim, resize, age. Those already in SD are skipped.

    A strength is a number, or LOW:HIGH, between which one is drawn for each frame; @P says how likely it is 0 instead.
    VHS has 0.6 of softness and 4.5 of chroma (3 and 0.4 MHz), Betacam SP 0.4 and 1.2 (4.5 and 1.5 MHz).
    """
    from fastup.footage.degrade import prepare, run
    from fastup.footage.recipe import TAPE, parse_strength

    given = {"softness": softness, "peaking": peaking, "noise": noise, "chroma": chroma}
    strengths = {name: parse_strength(name, text) for name, text in given.items() if text is not None}
    plan = prepare(
        source, destination, parse_size(size), None if trim == "auto" else Trim.parse(trim), filter,
        {**(TAPE if tape else {}), **strengths}, seed, overwrite, clean,
    )  # fmt: skip
    (height, width), aspect = plan.size, plan.pixel_aspect
    tape_words = ", ".join(
        f"{name} {of.low:g}"
        + (f" to {of.high:g}" if of.high > of.low else "")
        + (f" ({of.absent:.0%} have none)" if of.absent else "")
        for name, of in plan.recipe.tape.items()
        if of.high
    ) + (f"; {clean:.0%} clean" if clean else "")
    show.table(
        {
            "trim": f"{show.shown(plan.trim)} (left, right, top, bottom): {plan.why_trim}",
            "size": f"{plan.picture[1]}x{plan.picture[0]} to {width}x{height}",
            "filter": plan.recipe.filter,
            "pixel aspect": f"{aspect.numerator}:{aspect.denominator}, so that the picture is "
            f"{float(aspect * width / height):.3f}:1",
            "tape": f"{tape_words}; seed {seed}" if tape_words else "none",
            "output": f"10-bit DPX in {destination}",
        }
    )
    show.chore(run, "degrading", "degraded", plan, cluster)


@carries_on
def dehalo(
    source: Annotated[Path, Argument(metavar="IN", help="A folder of RGB frames, one frame, or a video.")],
    destination: Output,
    pairs: Annotated[
        Path | None, Option(metavar="HD", help="A folder of HD twins, to find the kernel by instead of edges.")
    ] = None,
    kernel: Annotated[
        str | None,
        Option(
            metavar="S:W[:E:D]|TAPS",
            help="The kernel itself: peaking and width, echo and delay; or an odd number of taps, with commas.",
        ),
    ] = None,
    strength: Annotated[float, Option(help="How much of the halo is undone: 0 to 1.")] = 1.0,
    protect: Annotated[
        float, Option(help="Flats that differ by less than so many times the noise stay; 0: none.")
    ] = 2.0,
    frames: Frames = None,
    codec: Codec = None,
    raw: Raw = None,
    rate: Rate = None,
    pixels: Pixels = None,
    cluster: OnCluster = None,
    html: Html = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Take the halos of an analog transfer out of frames. Those already in OUT are skipped.

    One horizontal kernel is estimated for the source, from edges that stand alone in up to 40 of its frames, and
    inverted. It goes to OUT/dehalo, or OUT.dehalo beside a movie, as JSON and as a picture of the kernel and its
    response.
    """
    from fastup.footage.dehalo import plot, prepare, run

    opened, options = _opened(source, destination, codec, raw, None, rate, pixels)
    with show.progress("looking for edges") as advance:
        plan = prepare(
            opened, destination, twins=pairs, kernel=None if kernel is None else _parse_kernel(kernel),
            strength=strength, protect=protect, overwrite=overwrite, numbers=frames, options=options,
            on_progress=advance,
        )  # fmt: skip
    found, beside = plan.estimate, plan.sink.beside("dehalo")
    if beside is not None:
        plot(beside / "kernel.png", found, strength)
    halo, whence = found.halo, f"{found.edges} edges" if pairs is None else f"{found.edges} pairs"
    middle = len(found.taps) // 2
    reach = max(abs(k - middle) for k, tap in enumerate(found.taps) if abs(tap) > 0.004)
    rows = {
        "kernel": (f"peaking {halo.peaking:.2f}, width {halo.width:.2f} pixels" if halo else "by its taps")
        + (f"; echo {halo.echo:+.2f}, {halo.delay:.1f} pixels late" if halo and halo.echo else ""),
        "found by": whence if found.edges else "hand",
        "taps": ",".join(f"{tap:.4f}" for tap in found.taps[middle - reach : middle + reach + 1]),
        "overshoot": f"{found.before:.1%} of a step, {found.after:.1%} after",
        "noise": f"{found.noise:.4f} of white",
        "picture": "none: a pipe has no place for it",
    }
    if beside is not None:
        picture = beside / "kernel.png"
        rows["picture"] = str(picture) if picture.exists() else "none: matplotlib is not installed"
    if found.none:
        rows = {"kernel": f"no halo in {whence}: frames stay as they are", "noise": rows["noise"]}
    if html is not None:
        from fastup.report.footage import dehaloed, write_halo

        seen = None if plan.source.source.once or found.none else dehaloed(plan)
        write_halo(html, source, found, strength, rows.items(), seen)
    if as_json:
        with show.cluster(cluster, lambda text: None) as workers:
            (written, skipped), _ = show.timed(partial(run, replace(plan, cluster=workers)), "dehaloing")
        taps = [round(float(tap), 6) for tap in found.taps]
        show.data(asdict(found) | {"taps": taps, "made": written, "skipped": skipped})
        return
    show.table(rows, "found")
    show.chore(run, "dehaloing", "dehaloed", plan, cluster)


def _opened(source, destination, codec, raw, size, rate, pixels):
    """The source as it is, or as a clip where it is video, and the options of the sink."""
    from fastup.footage.opening import is_frames, is_pipe, open_clip

    pipe, options = pipes(source, destination, codec, raw, size, rate, pixels)
    frames = not is_pipe(source) and is_frames(source)
    return source if frames else open_clip(source, pipe=pipe), options


def _output(destination):
    """Where frames go, and as what, in words."""
    from fastup.footage.opening import is_movie, is_pipe

    return str(destination) if is_movie(destination) or is_pipe(destination) else f"10-bit RGB DPX in {destination}"


def _parse_kernel(text):
    """A halo by its numbers, or taps."""
    from fastup.footage.halo import Halo

    try:
        if ":" not in text:
            return [float(part) for part in text.split(",")]
        numbers = [float(part) for part in text.split(":")]
    except ValueError:
        numbers = []
    if len(numbers) not in (2, 4) or not (numbers[0] >= 0 and numbers[1] > 0) or not 0 <= sum(numbers[3:]) <= 16:
        raise OptionError(f"kernel is {text!r}, expected 0.8:1.6, 0.8:1.6:0.1:4, or taps as -0.1,1.2,-0.1")
    return Halo(*numbers)
