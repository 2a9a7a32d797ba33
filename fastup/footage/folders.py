"""From a folder of frames to a folder of frames: which file each becomes, and the threads to make them on."""

import os
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from fastup import frames
from fastup.errors import DataError


def targets_of(source, destination, suffix=".dpx"):
    """The frames in a folder, or one frame, and the file of the same stem in a folder that each becomes.

    Returns
    -------
    dict of paths, in frame order

    Raises
    ------
    DataError
        If there are no frames, two would become one file, `destination` is a file or `source` itself, or a frame would
        become itself.
    OSError
        If `source` is missing.
    """
    source, destination = Path(source), Path(destination)
    paths = frames.find(source)
    targets = {path: destination / f"{path.stem}{suffix}" for path in paths}
    if len(set(targets.values())) < len(paths):
        raise DataError(f"{source}: some frames differ in their suffix alone, and would get the same name")
    if destination.exists() and not destination.is_dir():
        raise DataError(f"{destination}: a file, expected a folder for the output")
    if destination.exists() and destination.samefile(source):
        raise DataError(f"{destination}: this is where the input frames are; expected another folder for the output")
    refuse_itself(targets)
    return targets


def refuse_itself(targets):
    """Raise DataError if a frame would become itself, under whatever name."""
    for path, target in targets.items():
        if target.exists() and target.samefile(path):
            raise DataError(f"{target}: this is an input frame; expected another place for the output")


def on_threads(work, plan, on_frame=None):
    """Call ``work(path)`` for each of a plan's `todo`, on as many threads as there are cores; the first error ends it.

    The folder that they go to by its `targets` is made first. `on_frame` is called with (done, to do) after each. What
    is under way when it ends is finished first.
    """
    for path in plan.todo[:1]:
        plan.targets[path].parent.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        futures = [pool.submit(work, path) for path in plan.todo]
        try:
            for done, future in enumerate(as_completed(futures), 1):
                future.result()
                if on_frame is not None:
                    on_frame(done, len(plan.todo))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
