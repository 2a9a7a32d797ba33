"""Graphs drawn in a terminal: a line for each node, beside lanes of what is still to be taken."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastup.networks.graph import Node

Row = tuple[str, str]  # lanes, and what stands beside them


def drawn(nodes: "Sequence[Node]") -> list[str]:
    """The lines of a graph, inputs first; what repeats is drawn once, with how often it is there.

    A node is a dot in a lane, and what it gives goes down in that lane until it was taken for the last time. A line to
    the dot from another lane is of an input, too: of its last use where that lane ends.
    """
    rows = list(zip(_lanes(nodes), (f"{node.channels:>4}  {node.words}" for node in nodes), strict=True))
    wide = max(len(lanes) for lanes, _ in rows)
    lines = []
    for block, times in _repeats(rows):
        texts = [f"{lanes:<{wide}}{words}" for lanes, words in block]
        if times > 1:
            right = max(map(len, texts))
            texts = [f"{text:<{right}}  │" for text in texts]
            texts[-1] += f" {times} times"
        lines += texts
    return lines


def _lanes(nodes: "Sequence[Node]") -> Iterator[str]:
    """The lanes beside each node."""
    uses = Counter(source for node in nodes for source in set(node.inputs))
    lanes: list[Any] = []  # the place of the node that gave what is in each, or None
    for number, node in enumerate(nodes):
        uses.subtract(set(node.inputs))
        taken = {lane: source for lane, source in enumerate(lanes) if source in node.inputs}
        ended = [lane for lane, source in taken.items() if not uses[source]]
        if not ended and None not in lanes:
            lanes.append(None)
        at = ended[0] if ended else lanes.index(None)
        first, last = min([at, *taken]), max([at, *taken])
        text = ""
        for lane, source in enumerate(lanes):
            if lane == at:
                text += "●"
            elif lane in taken:  # by whether it ends, and whether the line goes to the left, to the right or on
                text += ("├┤┼", "╰╯┴")[lane in ended][0 if lane == first else 1 if lane == last else 2]
            else:
                text += " " if source is None else "│"
            text += "─" if first <= lane < last else " "
        yield text
        for lane in ended:
            lanes[lane] = None
        lanes[at] = number if uses[number] else None
        while lanes and lanes[-1] is None:
            lanes.pop()


def _repeats(rows: Sequence[Row]) -> Iterator[tuple[Sequence[Row], int]]:
    """The rows in blocks, each with how often it comes one after another: what spares the most, the last of equals."""

    def best(start):
        """How many rows the best block at a place spares, how long it is, and how often it comes."""
        found = 0, 1, 1
        for size in range(1, (len(rows) - start) // 2 + 1):
            times = 1
            while rows[start + times * size : start + (times + 1) * size] == rows[start : start + size]:
                times += 1
            found = max(found, ((times - 1) * size, size, times), key=lambda each: each[0])
        return found

    start = 0
    while start < len(rows):
        spared, size, times = best(start)
        if spared and best(start + 1)[0] >= spared:
            size = times = 1
        yield rows[start : start + size], times
        start += size * times
