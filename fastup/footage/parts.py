"""A film over many workers: which one gets which frames, and what becomes of those that are lost on the way."""

import contextlib
import pickle
import queue
import secrets
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from fastup._types import Progress
from fastup.errors import FastupError
from fastup.footage import worker

PART = 20.0  # seconds that a worker is to take for a part
PATIENCE = 600.0  # seconds that workers, or a scheduler that was there, may be away
TRIES = 2  # of a frame
STREAK = 5  # parts in a row that a worker may fail to begin for reasons of its own
_LOOK = 0.5  # seconds between looks at who is there
_AHEAD = 2  # parts that a worker has: one under way and the next
_MOST = 20  # frames that are named, of those that could not be made
_GROWTH = 8  # times as many frames as in the part before, at most

Unit: TypeAlias = tuple[int, ...]  # frames that one worker makes, in one go


@dataclass(frozen=True)
class Job:
    """What is to be made of a film."""

    what: str  # is done to its frames, for progress
    units: Sequence[Unit]  # those that are to be made
    part: Callable[[Sequence[int]], tuple[Any, ...]]  # a function and its arguments for some of them, as of `worker`
    is_made: Callable[[Unit], bool]
    name: Callable[[int], str]  # of a frame, for people
    seen: tuple[tuple[str, int | None], ...] = ()  # as of `worker.Wanted`
    output: Path | None = None  # the folder that frames go to
    first_alone: bool = False  # whether the others wait for the first unit
    before: Callable[[int], object] = lambda number: None  # is called with each frame before it is first sent
    take: Callable[[Any], object] = lambda found: None  # is called with what a part gives


@dataclass
class Outcome:
    """What became of a job."""

    made: int = 0
    skipped: int = 0  # as they were there when their turn came
    lost: dict[Unit, str] = field(default_factory=dict)  # what could not be made, and why
    damage: str | None = None  # what parts of the source could not be read

    def words(self, name: Callable[[int], str]) -> str:
        """What could not be made, in words."""
        frames = [(number, why) for unit, why in self.lost.items() for number in unit]
        texts = [why if name(number) in why else f"{name(number)}: {why}" for number, why in frames[:_MOST]]
        more = f"\n  and {len(frames) - _MOST} more" if len(frames) > _MOST else ""
        return f"{len(frames)} frame{'s' * (len(frames) != 1)} could not be made: " + "\n  ".join(texts) + more


@dataclass
class _Part:
    units: list[Unit]
    frames: int  # in them; none where it is a greeting
    future: Any = None
    seen: int = 0  # made, by what the worker said


@dataclass
class _Hand:
    """A worker, as it is known here."""

    address: str
    name: str = ""
    ready: bool = False
    refused: str | None = None  # why it gets nothing
    speed: float | None = None  # frames a second, of its last parts
    last: int = 1  # frames of its last part
    frames: int = 0
    timed: int = 0  # of its frames, those that took
    seconds: float = 0.0
    streak: int = 0
    parts: dict[str, _Part] = field(default_factory=dict)


class Connection(Protocol):
    """What a run needs of a cluster: see `fastup.footage.cluster.Cluster`."""

    where: str
    client: Any
    note: Callable[[str], object]

    @property
    def own(self) -> bool:
        """Whether its scheduler is of this process, and ends with it."""

    def connect(self) -> None:
        """Find the scheduler again."""


class Run:
    """One job on a cluster."""

    def __init__(self, cluster: Connection, job: Job, on_progress: Progress | None) -> None:
        self.cluster, self.job, self.on_progress = cluster, job, on_progress
        self.todo = deque(job.units)
        self.left = self.total = sum(map(len, job.units))  # frames that are in no worker's hands; and all
        self.suspects: deque[tuple[Unit, str]] = deque()  # to be tried again alone, and by whom it failed
        self.tries: Counter[Unit] = Counter()
        self.sent: set[Unit] = set()
        self.hands: dict[str, _Hand] = {}
        self.gone: list[_Hand] = []
        self.found = Outcome()
        self.events: queue.Queue[tuple[str, Any]] = queue.Queue()
        self.topic = f"fastup-{secrets.token_hex(4)}"
        self.alone = job.first_alone
        self.began = self.looked = time.monotonic()
        self.missed = time.monotonic()  # since when no worker is there
        self.waiting = False

    def outcome(self) -> Outcome:
        """Make what there is to make; raises as `Cluster.run` does."""
        with self._token() as token:
            wanted = worker.Wanted(worker.build(), self.job.seen, token, pickle.dumps(self.job.part(())))
            self.wanted = asdict(wanted)
            try:
                self._subscribe()
                self._meet()
                self._work()
            except BaseException:
                self._cancel()
                raise
        return self.found

    def _work(self):
        while self.todo or self.suspects or any(hand.parts for hand in self.hands.values()):
            for hand in self.hands.values():
                while hand.ready and len(hand.parts) < _AHEAD and (units := self._next(hand)):
                    self._send(hand, units)
            self._hear(_LOOK)
            if time.monotonic() - self.looked >= _LOOK:
                self._look()

    # -- which frames ----------------------------------------------------------------------------------------------

    def _next(self, hand):
        """The units of a worker's next part."""
        if self.alone and any(part.units for other in self.hands.values() for part in other.parts.values()):
            return []  # the first one is under way
        others = sum(other.ready for other in self.hands.values()) > 1
        for place, (unit, failed_by) in enumerate(self.suspects):
            if failed_by != hand.address or not others:
                del self.suspects[place]
                return [unit]
        units, want = [], 1 if self.alone else self._size(hand)
        while self.todo and (not units or want >= len(self.todo[0])):
            if units and self.todo[0][0] - units[-1][-1] > 1000:  # clips are decoded through
                break
            units.append(self.todo.popleft())
            want -= len(units[-1])
        return units

    def _size(self, hand):
        """How many frames: so many seconds' worth, fewer to the end, so that all workers come to it together."""
        if hand.speed is None:
            return 1
        together = sum(other.speed or 0 for other in self.hands.values() if other.ready)
        seconds = min(PART, max(self.left / together / _AHEAD, 1.0))
        return max(1, min(round(hand.speed * seconds), _GROWTH * hand.last))

    def _send(self, hand, units):
        frames = [number for unit in units for number in unit]
        for number in frames if units[0] not in self.sent else ():
            self.job.before(number)
        self.sent.update(units)
        self.left -= len(frames)
        part = pickle.dumps(self.job.part(frames))
        self._submit(hand, _Part(units, len(frames)), worker.make, part, self.topic)

    def _submit(self, hand, part, function, *arguments):
        key = f"{self.topic}-{secrets.token_hex(6)}"
        hand.parts[key] = part
        with contextlib.suppress(Exception):  # of a scheduler that is gone, which a look finds out
            part.future = self.cluster.client.submit(
                function, *arguments, key=key, workers=[hand.address], pure=False, retries=0
            )
            part.future.add_done_callback(lambda future: self.events.put(("done", future)))

    # -- what becomes of them --------------------------------------------------------------------------------------

    def _hear(self, seconds):
        """Take what has happened, waiting so long for something to."""
        try:
            kind, what = self.events.get(timeout=seconds)
            while True:
                if kind == "made":
                    self._seen(what)
                else:
                    self._done(what)
                kind, what = self.events.get_nowait()
        except queue.Empty:
            self._say()

    def _seen(self, message):
        for hand in self.hands.values():
            if (part := hand.parts.get(message["part"])) is not None:
                part.seen = max(part.seen, int(message["made"]))

    def _done(self, future):
        hand = next((hand for hand in self.hands.values() if future.key in hand.parts), None)
        if hand is None:
            return  # of a worker that was given up
        part = hand.parts[future.key]
        if future.status == "finished":
            found = future.result()
            del hand.parts[future.key]
            self._greeted(hand, found) if not part.units else self._made(hand, part, found)
        elif future.status == "error":
            text = f"{type(future.exception()).__name__}: {line(future.exception())}"
            del hand.parts[future.key]
            if not part.units:
                self._refuse(hand, f"cannot run this fastup: {text}")
            elif not text.startswith("KilledWorker"):
                self._put_back(hand, part, text, True)
            else:
                self._put_back(hand, part, "its worker died", True)
        # else it is lost with its worker, or with the scheduler, of which a look at them tells

    def _made(self, hand, part, found):
        job = self.job
        self.found.made += found["made"]
        self.found.skipped += found["skipped"]
        self.found.damage = self.found.damage or found.get("damage")
        hand.frames += found["made"]
        hand.timed += found["made"]
        hand.seconds += found["seconds"]
        if found["made"]:
            speed = found["made"] / max(found["seconds"], 1e-6)
            hand.speed = speed if hand.last == 1 or not hand.speed else (hand.speed + speed) / 2
            hand.last, hand.streak = part.frames, 0
        hand.speed = hand.speed or 1e-3  # nothing is known but that it is there
        self.alone = self.alone and found["failed"] is not None
        job.take(found)
        if found["failed"] is not None:
            text, own = found["failed"]
            hand.streak += own and not found["made"]
            self._put_back(hand, part, text, True, counted=True)
            if hand.streak >= STREAK:
                self._refuse(hand, f"failed {STREAK} times in a row: {text}")

    def _put_back(self, hand, part, why, blame, counted=False):
        """Take back what is not made of a part; the first of it is to blame, if something in it is, and goes alone."""
        left = [unit for unit in part.units if not self.job.is_made(unit)]
        frames = sum(map(len, left))
        if not counted:
            self.found.made += part.frames - frames
            hand.frames += part.frames - frames
        self.left += frames
        if blame and left:
            suspect = left.pop(0)
            self.tries[suspect] += 1
            if self.tries[suspect] < TRIES:
                self.suspects.append((suspect, hand.address))
            else:
                self.left -= len(suspect)
                self.found.lost[suspect] = why
                if self.alone:
                    raise FastupError(self.found.words(self.job.name))
        self.todo.extendleft(reversed(left))

    # -- workers ---------------------------------------------------------------------------------------------------

    def _meet(self):
        """Greet all workers that are there, of which each must be able to help."""
        self._look()
        while not any(hand.ready for hand in self.hands.values()) or any(
            not hand.ready and not hand.refused for hand in self.hands.values()
        ):
            self._hear(_LOOK)
            for hand in self.hands.values():
                if hand.refused:
                    raise FastupError(f"cluster: worker {hand.name or hand.address} {hand.refused}")
            self._look()

    def _look(self):
        """See who is there: workers that came are greeted, what those had that are gone goes to others."""
        self.looked = time.monotonic()
        client = self.cluster.client
        try:
            there = client.nthreads() if client.status == "running" else None
        except (OSError, RuntimeError, TimeoutError):
            there = None
        if there is None:
            self._wait_for_scheduler()
            return
        for address in self.hands.keys() - there.keys():
            self._lose(self.hands.pop(address), blame=True)
        for address in there.keys() - self.hands.keys():
            hand = self.hands[address] = _Hand(address)
            self._submit(hand, _Part([], 0), worker.greet, self.wanted)
        if any(not hand.refused for hand in self.hands.values()):
            self.missed, self.waiting = time.monotonic(), False
            return
        if self.hands:
            hand = next(iter(self.hands.values()))
            raise FastupError(f"cluster: no worker is left: {hand.name or hand.address} {hand.refused}")
        if not self.waiting:
            self.waiting = True
            self.cluster.note(f"there are no workers at {self.cluster.where}; waiting for some: dask worker ADDRESS")
        if time.monotonic() - self.missed > PATIENCE:
            raise FastupError(f"cluster: no workers at {self.cluster.where} for {PATIENCE:.0f} s")

    def _lose(self, hand, blame):
        """Take back what a worker had that is gone; of a death what it was making is to blame, not what came next."""
        for part in hand.parts.values():
            if part.units:
                self._put_back(hand, part, "its worker died twice", blame)
                blame = False
        hand.parts.clear()
        self.gone.append(hand)

    def _refuse(self, hand, why):
        """Give a worker nothing more."""
        if not hand.refused and self.found.made:
            self.cluster.note(f"worker {hand.name or hand.address} {why}; it gets no frames")
        hand.ready, hand.refused = False, why
        self._forget(hand)

    def _forget(self, hand):
        parts, hand.parts = list(hand.parts.values()), {}
        if parts:
            with contextlib.suppress(Exception):
                self.cluster.client.cancel([part.future for part in parts if part.future], force=True)
        for part in parts:
            if part.units:
                self._put_back(hand, part, "", False)

    def _greeted(self, hand, found):
        hand.name = found["name"]
        if found["faults"]:
            self._refuse(hand, found["faults"][0])
        else:
            hand.ready = True

    def _wait_for_scheduler(self):
        """Take back what workers had, and wait until a scheduler is there again."""
        for hand in self.hands.values():
            self._lose(hand, blame=False)
        self.hands.clear()
        cluster = self.cluster
        cluster.note(f"the scheduler at {cluster.where} is gone; waiting for it")
        with contextlib.suppress(Exception):
            cluster.client.close(timeout=1)
        until = time.monotonic() + PATIENCE
        while True:
            try:
                cluster.connect()
                break
            except FastupError:
                if time.monotonic() > until or cluster.own:
                    raise
                time.sleep(_LOOK)
        self._subscribe()

    def _subscribe(self):
        self.cluster.client.subscribe_topic(self.topic, lambda event: self.events.put(("made", event[1])))

    def _cancel(self):
        """End what is under way: workers stop at the next frame."""
        with contextlib.suppress(Exception):
            futures = [part.future for hand in self.hands.values() for part in hand.parts.values()]
            self.cluster.client.cancel(list(filter(None, futures)), force=True)

    # -- words -----------------------------------------------------------------------------------------------------

    def _say(self):
        if self.on_progress is not None:
            seen = sum(min(part.seen, part.frames) for hand in self.hands.values() for part in hand.parts.values())
            ready = sum(hand.ready for hand in self.hands.values())
            who = f"{self.job.what}, {ready} worker{'s' * (ready != 1)}"
            self.on_progress(min(self.found.made + self.found.skipped + seen, self.total), self.total, who)

    @property
    def workers(self) -> list[dict[str, Any]]:
        """What each worker made, and how fast."""
        all_of = defaultdict(list)
        for hand in sorted([*self.gone, *self.hands.values()], key=lambda hand: hand.name):
            if hand.frames:
                all_of[hand.name].append(hand)  # of one name: of a worker that was started again
        return [
            {
                "worker": name, "frames": sum(hand.frames for hand in hands),
                "frames_per_second": sum(hand.timed for hand in hands) / max(sum(hand.seconds for hand in hands), 1e-6),
            }
            for name, hands in all_of.items()
        ]  # fmt: skip

    @contextlib.contextmanager
    def _token(self) -> Iterator[tuple[str, str] | None]:
        """A file in the output folder, by which workers see that it is the same."""
        if self.job.output is None:
            yield None
            return
        self.job.output.mkdir(parents=True, exist_ok=True)
        path, text = self.job.output.absolute() / f".{self.topic}.token", secrets.token_hex(16)
        path.write_text(text)
        try:
            yield str(path), text
        finally:
            path.unlink(missing_ok=True)


def line(error: BaseException) -> str:
    """The first line of what an error says."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
