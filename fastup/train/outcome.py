"""What a run has come to, in words: its best epoch against bicubic, and why that may not be better."""

from fastup.pairs.alignment import off_note
from fastup.train.run import Run

_SAME = 0.005  # dB: less than what is printed
_FALLEN = 0.05  # dB of validation that are more than the ups and downs of epochs
_LOSS = 0.02  # the same of losses, a share
_FEW_PAIRS, _FEW_STEPS = 10, 500  # with fewer a network has seen little


def outcome(run: Run) -> str:
    """How far the best epoch is above bicubic, by validation PSNR, or that it is not; "" where none was validated."""
    best, row = run.state["best_epoch"], _best(run)
    if row is None:
        return ""
    gain = row["psnr"] - row["psnr_bicubic"]
    if gain >= _SAME:
        begun = "" if best else ", which the run began with"
        scores = f"{row['psnr']:.2f} dB, {gain:.2f} dB above bicubic"
        return f"best: epoch {best}{begun}, {scores}: {run.folder / 'best.keras'}"
    if best or not run.config.residual or "from" in run.state:
        what = f"{-gain:.2f} dB below it" if gain <= -_SAME else "as good"
        return (
            f"bicubic is better than what was trained, or as good: best.keras is epoch {best}, {row['psnr']:.2f} dB, "
            f"{what}: {run.folder / 'best.keras'}"
        )
    text = "bicubic is better than what was trained, or as good: best.keras is epoch 0, which is bicubic, "
    text += _decibels(row)
    trained = max(_trained(run), key=lambda each: each["psnr"], default=None)
    if trained:
        text += f"; the best that was trained, epoch {trained['epoch']}, has {_decibels(trained)}"
    return f"{text}: {run.folder / 'best.keras'}"


def reasons(run: Run) -> list[str]:
    """Why the best epoch may be no better than bicubic, a line each; empty where it is better."""
    row = _best(run)
    if row is None or row["psnr"] - row["psnr_bicubic"] >= _SAME:
        return []
    found = [off_note(run.looked_at)]
    rows = _trained(run)
    if rows:
        last, peak = rows[-1], max(rows, key=lambda each: each["psnr"])
        lowest = min(rows, key=lambda each: each["loss"])
        if last["psnr"] < peak["psnr"] - _FALLEN and last["loss"] < peak["loss"] * (1 - _LOSS):
            found.append(
                f"over-fitting: from epoch {peak['epoch']} to {last['epoch']} the loss fell from {peak['loss']:.5f} to "
                f"{last['loss']:.5f}, and validation from {peak['psnr']:.2f} to {_decibels(last)}"
            )
        if last["loss"] > lowest["loss"] * (1 + 10 * _LOSS):
            found.append(
                f"the loss rose from {lowest['loss']:.5f} in epoch {lowest['epoch']} to {last['loss']:.5f}: "
                f"--learning-rate, {run.config.learning_rate:g}, may be too high"
            )
    if len(run.pairs) < _FEW_PAIRS:
        one = len(run.pairs) == 1
        found.append(f"{len(run.pairs)} pair{'s' * (not one)}, {run.tiles:,} tiles, {'is' if one else 'are'} little")
    if run.state["steps"] < _FEW_STEPS:
        found.append(f"{run.state['steps']:,} steps are few")
    return [text for text in found if text]


def _best(run):
    best = run.state["best_epoch"]
    return next((row for row in run.state["history"] if row["epoch"] == best), None)


def _trained(run):
    """The rows of the history with a validation, but epoch 0, of the frames of the best: bicubic has the same PSNR."""
    bicubic = _best(run)["psnr_bicubic"]
    rows = (row for row in run.state["history"] if row["epoch"] and row["psnr"] is not None)
    return [row for row in rows if abs(row["psnr_bicubic"] - bicubic) < _SAME]


def _decibels(row):
    return f"{row['psnr']:.2f} dB"
