"""What a network gains that sees a film go by: `recurrent` beside its twin without state and `compact`.

    .venv/bin/python bench/bench_recurrent.py --minutes 30 --seeds 3 --noise 0.02 0.006
    .venv/bin/python bench/bench_recurrent.py --settings --minutes 30
    .venv/bin/python bench/bench_recurrent.py --stable MODEL.keras
    .venv/bin/python bench/bench_recurrent.py --means

Drawn shots whose truth is known: on ones, twos and threes, drawings that are held all the time, pans, and a camera that
comes to rest; inputs of 360x240 as a tape of that noise has them, targets of 720x540 without grain. All train for as
long, on the same frames, by the settings that `fastup train` has for them. Printed are PSNR of other shots by kind, and
flicker: the mean change from frame to frame, in codes of 10 bits, where the target does not change; that of drawings
that are held all the time is the second. ``--settings`` changes one setting of `recurrent` at a time. ``--stable``
looks at a model on 1,000 frames that stand still, a cut, and motion; and on black and a flat. ``--means`` looks at the
means that the network sees, by the noise that the gate is for: their squared error, of that of the frame alone, by
kind; and where a camera's move is known. Nothing is trained. It takes what it is given and is no part of ``make
bench``. Where others use the machine, ``--cores 1`` counts the time of processors, of which a minute is then one.
"""

import argparse
import itertools
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np

import fastup
from fastup import demo
from fastup.footage.degrade import degrade
from fastup.footage.recipe import TAPE
from fastup.header import Header
from fastup.networks import start

KINDS = {"ones": 1, "twos": 2, "threes": 3, "held": 10**6, "pan": 2, "rest": 2}  # frames that a drawing stays
TRAIN, VALIDATION, EVALUATION = 72, 6, 24  # shots, in turn of each kind
TARGET, INPUT = (540, 720), (240, 360)
NETWORKS = {
    "compact": {"model": "compact"},
    "recurrent": {"model": "recurrent"},
    "--no-state": {"model": "recurrent", "state": False},
}
SETTINGS = {
    "as it is": {},
    "no jitter": {"jitter": False},
    "no shuffle": {"shuffle": False},
    "neither": {"jitter": False, "shuffle": False},
    "skip 1": {"skip": 1},
    "span 1": {"span": 1, "settle": 0},
    "span 8, settle 7": {"span": 8, "settle": 7},
    "span 8, settle 2": {"span": 8, "settle": 2, "batch": 4},
    "no reverse": {"reverse": False},
    "stills 0.2": {"stills": 0.2},
}
QUIETS = 0.5, 1, 2, 4  # times what is measured
MOVES = (0, 0), (0, 1), (0, 2), (0, 3), (2, 0), (1, 1), (9, 4)  # target pixels a frame, down and to the right
EDGE = 0.03  # slope of a clean input, a pixel
STILL, FLAT, AFTER, AVERAGED = 1000, 200, 24, 10  # frames


def shot(seed, number, kind, frames):
    """Frames (n, H, W, 3) of a shot, normalised."""
    scene = demo._Shot(seed, number)
    scene.hold = KINDS[kind]
    first = {"pan": 12, "rest": demo.MOVE - frames // 2}.get(kind)
    if first is None:
        first, scene.start = demo.MOVE + 12, scene.end
    return np.stack([scene.frame(first + n, TARGET) for n in range(frames)])


def taped(frames, noise, seed):
    """What a tape makes of frames."""
    options = TAPE | {"noise": noise}
    return np.stack([degrade(frame, INPUT, **options, seed=[seed, n]) for n, frame in enumerate(frames)])


def write_data(folder, noise, frames):
    """Sets to train, validate and score on: names say which shot, of which kind, and which frame of it."""
    for part, count in (("train", TRAIN), ("validation", VALIDATION), ("evaluation", EVALUATION)):
        for number, kind in zip(range(count), itertools.cycle(KINDS), strict=False):
            key = {"train": 0, "validation": 1000, "evaluation": 2000}[part] + number
            truth = shot(0, key, kind, frames if part == "train" else 12)
            for side, pictures, bits in (("Alpha", taped(truth, noise, key), 10), ("Beta", truth, 16)):
                (folder / part / side).mkdir(parents=True, exist_ok=True)
                header = Header.new(pictures.shape[2], pictures.shape[1], bits=bits)
                codes = (pictures.clip(0, 1) * (2**bits - 1)).round().astype(np.uint16)
                for n, each in enumerate(codes):
                    name = f"{number:03d}-{kind}-{n:04d}.dpx"
                    fastup.write(folder / part / side / name, each, header=header, fsync=False)


def train(data, name, seed, minutes, begin=None, **settings):
    """A run for so many minutes; its best model."""
    from fastup.networks.models import MODELS
    from fastup.train.config import resolve
    from fastup.train.fit import fit
    from fastup.train.prepare import prepare

    given = {"epochs": 100_000, "minutes": minutes, "seed": seed, **settings}
    config, _ = resolve([("bench", given)], {each: kind.defaults for each, kind in MODELS.items()})
    run = prepare(data, config, name, begin=begin)
    for note in run.notes:
        print(f"{name}: {note}", file=sys.stderr)
    fit(run)
    return run.folder / "best.keras", run.state["steps"]


def score(model, data):
    """PSNR by kind and of all, and the flicker of what stands still: the model's, in held drawings, and others'."""
    from fastup._scales import bicubic
    from fastup.upscale.upscaler import Upscaler

    upscaler = Upscaler(model)
    cuts = {"cuts": [0]} if upscaler.model.recurrent else {}
    errors, change = {kind: [] for kind in KINDS}, {"model": [], "held": [], "bicubic": [], "input": []}
    paths = fastup.find(data / "evaluation" / "Alpha")
    for (_, kind), names in itertools.groupby(paths, lambda path: tuple(Path(path).name.split("-")[:2])):
        names = list(names)
        inputs = [fastup.read(path) for path in names]
        truth = [fastup.read(data / "evaluation" / "Beta" / Path(path).name, "float32") for path in names]
        made = [frame / np.float32(upscaler.white) for frame in upscaler.stream(inputs, **cuts)]
        errors[kind] += [np.square(ours - target).mean() for ours, target in zip(made, truth, strict=True)]
        floats = [frame / np.float32(1023) for frame in inputs]
        enlarged = [bicubic(frame, upscaler.model.scale) for frame in floats]
        still = [np.abs(b - a).max(axis=-1) < 1e-4 for a, b in itertools.pairwise(truth)]
        for name, film in (("model", made), ("bicubic", enlarged)):
            change[name] += flicker(film, still)
        change["held"] += flicker(made, still if kind == "held" else [])
        change["input"] += flicker(floats, [np.ones(INPUT, bool)] * len(still) if kind == "held" else [])
    found = {kind: decibels(each) for kind, each in errors.items()}
    found["all"] = decibels([error for each in errors.values() for error in each])
    return found, {name: float(np.mean(each)) for name, each in change.items()}


def flicker(film, still):
    """The mean change of each frame to the next where nothing moves, in codes of 10 bits."""
    each = zip(itertools.pairwise(film), still, strict=False)
    return [1023 * np.abs(b - a)[where].mean() for (a, b), where in each if where.any()]


def decibels(errors):
    return float(-10 * np.log10(np.mean(errors)))


def stable(model, noise, frames=STILL):
    """Lines on how a model takes what stands still: a drawing, black, a flat; and what comes after a cut.

    Of so many frames and one more, as the last of a shot has none after it that would help. Means of `AVERAGED` frames
    are looked at, as single ones differ by their noise.
    """
    from fastup.upscale.upscaler import Upscaler

    upscaler = Upscaler(model)
    drawing, motion = shot(0, 3000, "held", 1)[0], shot(0, 3001, "twos", AFTER)
    for name, picture, count in (
        ("drawing", drawing, frames),
        ("black", np.zeros_like(drawing), min(frames, FLAT)),
        ("flat", np.full_like(drawing, 0.4), min(frames, FLAT)),
    ):
        still = (degrade(picture, INPUT, **TAPE | {"noise": noise}, seed=[9, n]) for n in range(count + 1))
        film = itertools.chain(still, taped(motion, noise, 8))
        truth = itertools.chain(itertools.repeat(picture, count + 1), motion)
        found = [
            decibels([np.square(ours - target).mean()])
            for ours, target in zip(upscaler.stream(each.astype(np.float32) for each in film), truth, strict=True)
        ]
        cold = upscaler.stream(each.astype(np.float32) for each in taped(motion, noise, 8))
        first = decibels([np.square(next(iter(cold)) - motion[0]).mean()])
        means = np.convolve(found[:count], np.full(AVERAGED, 1 / AVERAGED), "valid")
        yield (
            f"{name:8} {count} still frames: first {found[0]:.2f} dB; of {AVERAGED} in a row best {means.max():.2f}, "
            f"last {means[-1]:.2f}; the shot's end {found[count]:.2f}; after the cut {found[count + 1]:.2f}, from cold "
            f"{first:.2f}; the rest {min(found[count + 2 :]):.2f} to {max(found[count + 2 :]):.2f}"
        )


def _means_step():
    """A network that does nothing, and what gives its means and states."""
    import keras

    from fastup.networks.models import Network

    small = {"features": 1, "depth": 1, "scale": [[9, 4], [2, 1]]}
    network = Network({"model": "recurrent", **small})
    recalled = next(layer for layer in network.layers if layer.name.startswith("recalled"))
    return network, keras.Model(network.inputs, [recalled.output, network.outputs[1]])


def _quiet(films):
    from fastup.networks.recurrent import changes

    return float(np.quantile([changes(b, a) for film in films for a, b in itertools.pairwise(film)], 0.2))


def means(noise, frames=10, settled=3):
    """Lines: of each strength of the gate, squared errors of the means, of those of the frames, by kind."""
    network, step = _means_step()
    films = [(shot(0, 4000 + n, kind, frames), n) for n, kind in enumerate(KINDS)]
    clean, noisy = (np.stack([taped(film, each, n) for film, n in films]).astype(np.float32) for each in (0, noise))
    quiet = _quiet(noisy)
    yield f"{'quiet':18}" + "".join(f"{kind:>8}" for kind in (*KINDS, "all"))
    for times in QUIETS:
        network.set_quiet(times * quiet)
        state, errors = network.zero_state(len(films), *INPUT), []
        for n in range(frames):
            near = [noisy[:, min(max(n + k, 0), frames - 1)] for k in (-1, 0, 1)]
            mean, state = step.predict_on_batch([np.concatenate(near, axis=-1), state])
            both = [np.square(each - clean[:, n]).mean(axis=(1, 2, 3)) for each in (mean[..., :3], noisy[:, n])]
            errors += [both] if n >= settled else []
        ours, alone = np.mean(errors, axis=0)
        shares = [*(ours / alone), ours.sum() / alone.sum()]
        yield f"{quiet:.4f} x {times:<9g}" + "".join(f"{share:8.2f}" for share in shares)


def known_moves(noise, frames=10, settled=3, margin=12):
    """Lines: of drawings that move as a whole, the same errors, of edges too, as it is and with the move made good.

    The move is known exactly: the frames beside a frame, and the state, are laid on it by Lanczos' filter before each
    step. So this is the most that motion that is found could give these means.
    """
    from fastup._warp import warp

    network, step = _means_step()
    reach = frames * max(map(max, MOVES))
    big = demo._Shot(0, 4000).frame(demo.MOVE + 12, (TARGET[0] + reach, TARGET[1] + reach))
    quiet = None

    def laid(picture, move, times):
        shift = [times * m / float(factor) for m, factor in zip(move, network.scale, strict=True)]
        return warp(picture, [[1, 0, shift[0]], [0, 1, shift[1]]], INPUT)

    yield f"{'move, input pixels':20}{'as it is':>10}{'edges':>8}{'known':>10}{'edges':>8}"
    for move in MOVES:
        film = np.stack([big[move[0] * n :][: TARGET[0], move[1] * n :][:, : TARGET[1]] for n in range(frames)])
        clean, noisy = (taped(film, each, 5).astype(np.float32) for each in (0, noise))
        quiet = quiet or _quiet([noisy])  # of the first, which stands still
        network.set_quiet(quiet)
        inside = np.s_[:, margin:-margin, margin:-margin]
        slope = sum(np.abs(each) for each in np.gradient(clean.mean(axis=-1), axis=(1, 2)))[inside][settled:-1]
        shares = []
        for known in (False, True):
            state, made = network.zero_state(1, *INPUT), []
            for n in range(frames):
                near = [noisy[min(max(n + k, 0), frames - 1)] for k in (-1, 0, 1)]
                if known:
                    near = [laid(each, move, -k) for k, each in zip((-1, 0, 1), near, strict=True)]
                    state = laid(np.asarray(state)[0], move, 1)[None]
                mean, state = step.predict_on_batch([np.concatenate(near, axis=-1)[None], state])
                made.append(mean[0, ..., :3])
            ours, alone = (np.square(each - clean).sum(axis=-1)[inside][settled:-1] for each in (np.array(made), noisy))
            edges = slope > EDGE
            shares += [ours.sum() / alone.sum(), ours[edges].sum() / alone[edges].sum()]
        pixels = ", ".join(f"{m / float(factor):.2f}" for m, factor in zip(move, network.scale, strict=True))
        yield f"{pixels:20}{shares[0]:10.2f}{shares[1]:8.2f}{shares[2]:10.2f}{shares[3]:8.2f}"


def compared(data, networks, asked):
    """Lines: of each network and seed, what it reached."""
    yield (
        f"{'':18}{'steps':>8}" + "".join(f"{kind:>8}" for kind in (*KINDS, "all")) + "  flicker, held (bicubic, input)"
    )
    for name, seed in itertools.product(networks, range(asked.seeds)):
        settings = networks[name]
        model, steps = train(data, f"{name.replace(' ', '-')}-{seed}", seed, asked.minutes, **settings)
        found, change = score(model, data)
        figures = "".join(f"{each:8.2f}" for each in found.values())
        changes = "{model:.2f}, {held:.2f} ({bicubic:.2f}, {input:.2f})".format(**change)
        yield f"{name:18}{steps:8}{figures}  {changes}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0, help="of each run")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--noise", type=float, nargs="+", default=[0.02, 0.006])
    parser.add_argument("--frames", type=int, default=8, help="of a shot to train on")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--settings", action="store_true")
    parser.add_argument("--stable", type=Path, metavar="MODEL")
    parser.add_argument("--means", action="store_true")
    parser.add_argument("--still", type=int, default=STILL)
    parser.add_argument("--cores", type=int, help="count minutes of so many processors, instead of the wall's clock")
    parser.add_argument("--keep", type=Path)
    asked = parser.parse_args()
    start()
    demo.GRAIN = 0.0  # so that the truth is known
    from fastup.train import fit

    if asked.cores:
        fit.time = SimpleNamespace(perf_counter=lambda: time.process_time() / asked.cores)
    if asked.stable:
        for line in stable(asked.stable, asked.noise[0], asked.still):
            print(line, flush=True)
        return
    if asked.means:
        for noise in asked.noise:
            print(f"noise {noise:g}", *means(noise), *known_moves(noise), sep="\n", flush=True)
        return
    networks = {name: NETWORKS[name] for name in asked.networks}
    if asked.settings:
        networks = {name: {"model": "recurrent", **each} for name, each in SETTINGS.items()}
    with tempfile.TemporaryDirectory() as folder:
        for noise in asked.noise:
            data = (asked.keep or Path(folder)) / f"{noise:g}"
            if not (data / "evaluation").is_dir():
                write_data(data, noise, asked.frames)
            print(f"noise {noise:g}, {asked.minutes:g} minutes each", flush=True)
            for line in compared(data, networks, asked):
                print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
