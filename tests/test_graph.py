"""Drawings of networks: which layers there are, what each takes, and that the lanes say the same."""

import json
import random
import re
from pathlib import Path

import pytest
from test_cli import fails

from fastup.cli import graph
from fastup.networks.graph import Node, nodes, notes
from fastup.networks.models import MODELS, Network

SCALE = [[9, 4], [2, 1]]
SUB_PIXEL = "sub-pixel 6x3 convolution at steps of 4x1, 9x2 target pixels of each"


def test_a_chain_with_a_skip():
    network = Network({"model": "compact", "scale": SCALE, "features": 5, "depth": 1, "border": [18, 4]})
    assert nodes(network) == [
        Node("input", 3, ()), Node("bicubic enlargement, 9/4 x 2", 3, (0,)),
        Node("3x3 convolution, PReLU", 5, (0,)), Node("3x3 convolution, PReLU", 5, (2,)), Node(SUB_PIXEL, 3, (3,)),
        Node("sum", 3, (1, 4)), Node("crop of 18 rows above and below, 4 columns on the left and right", 3, (5,)),
    ]  # fmt: skip
    assert notes(network) == []
    plain = nodes(Network({"model": "srcnn", "scale": [[2, 1], [2, 1]], "residual": False}))
    assert [node.words for node in plain] == [
        "input", "bicubic enlargement, 2 x 2", "9x9 convolution, ReLU", "5x5 convolution, ReLU", "5x5 convolution",
    ]  # fmt: skip
    whole = nodes(Network({"model": "espcn", "scale": [[2, 1], [3, 1]], "residual": False}))
    assert whole[-1] == Node("sub-pixel 3x3 convolution, 2x3 target pixels of each", 3, (2,))


def test_branches_and_gates():
    """As the paper has them: three convolutions, what was made and the input, times what was made as an attention."""
    network = Network({"model": "span", "scale": SCALE, "features": 4, "depth": 2})
    swift = "3x3 convolution of swift branches"
    assert nodes(network) == [
        Node("input", 3, ()), Node("bicubic enlargement, 9/4 x 2", 3, (0,)), Node("times 255 less 127.5", 3, (0,)),
        Node(swift, 4, (2,)),
        Node(f"{swift}, SiLU", 4, (3,)), Node(f"{swift}, SiLU", 4, (4,)), Node(swift, 4, (5,)),
        Node("sum", 4, (6, 3)), Node("sigmoid, less 0.5", 4, (6,)), Node("product", 4, (7, 8)),
        Node(swift, 4, (9,)), Node("SiLU", 4, (10,)), Node(f"{swift}, SiLU", 4, (11,)), Node(swift, 4, (12,)),
        Node("sum", 4, (13, 9)), Node("sigmoid, less 0.5", 4, (13,)), Node("product", 4, (14, 15)),
        Node(swift, 4, (16,)), Node("all channels, one after another", 16, (3, 17, 9, 10)),
        Node("1x1 convolution", 4, (18,)), Node(SUB_PIXEL, 3, (19,)), Node("sum", 3, (1, 20)),
    ]  # fmt: skip
    (note,) = notes(network)
    assert note.startswith("swift branches: trained as a sum, folded for use. Of 1x1 ")
    assert notes(network.folded()) == []
    assert nodes(network.folded())[3] == Node("3x3 convolution", 4, (2,))


def random_graph(draw):
    """Nodes that are all taken by later ones, but for the last; some alike."""
    count = draw.randint(1, 12)
    inputs = [{draw.randrange(n) for _ in range(draw.randint(1, 4))} if n else set() for n in range(count)]
    for n in range(count - 1):
        if not any(n in each for each in inputs):
            inputs[draw.randrange(n + 1, count)].add(n)
    return [Node(draw.choice("ab"), 3, tuple(sorted(each))) for each in inputs]


def read_back(rows):
    """What each node takes, by the lanes beside it."""
    held, found = {}, []  # what is in each lane
    for number, lanes in enumerate(rows):
        at = lanes.index("●")
        start, end = at, at
        while lanes[start - 1 : start] == "─":
            start -= 2
        while lanes[end + 1 : end + 2] == "─":
            end += 2
        taken = {column for column in range(start, end + 1, 2) if lanes[column] in "├┤┼╰╯┴"}
        assert {column for column in held if lanes[column : column + 1] not in ("", " ")} == held.keys()
        passing = {column for column in held if column not in taken and column != at}
        assert {column for column in range(0, len(lanes), 2) if lanes[column] == "│"} == passing
        inputs = {held[column] for column in taken} | ({held[at]} if at in held else set())
        for column in taken:
            if lanes[column] in "╰╯┴":
                del held[column]
        held[at] = number
        found.append(tuple(sorted(inputs)))
    return found, held


def test_lanes_say_what_each_node_takes():
    for seed in range(300):
        made = random_graph(random.Random(seed))
        found, held = read_back([f"{lanes} " for lanes in graph._lanes(made)])
        assert found == [node.inputs for node in made], seed
        assert list(held.values()) == [len(made) - 1], seed  # no lane is left but the output's


def test_what_repeats_is_drawn_once():
    for seed in range(300):
        rows = random.Random(seed).choices("abc", k=seed % 20)
        blocks = list(graph._repeats(rows))
        assert [row for block, times in blocks for row in block * times] == rows


def test_repeats():
    assert list(graph._repeats(list("xababababy"))) == [(["x"], 1), (["a", "b"], 4), (["y"], 1)]
    assert list(graph._repeats(list("abcabcabca"))) == [(["a"], 1), (["b", "c", "a"], 3)]


def test_a_drawing(run):
    code, out, err = run("models", "sesr", "--graph")
    assert (code, err) == (0, "")
    assert out.splitlines()[:9] == [
        "sesr: channels of each layer, and what it is",
        "●        3  input",
        "├─●      3  bicubic enlargement, 9/4 x 2",
        "● │     16  5x5 convolution of linear branches, PReLU",
        "├─│─●   16  3x3 convolution of linear branches, PReLU",
        "│ │ ●   16  3x3 convolution of linear branches, PReLU  │ 10 times",
        "●─│─╯   16  sum",
        "● │      3  sub-pixel 8x5 convolution at steps of 4x1, 9x2 target pixels of each",
        "●─╯      3  sum",
    ]
    assert out.splitlines()[9].startswith("linear branches: ")


def test_the_drawing_that_the_page_shows(run):
    page = (Path(__file__).parents[1] / "docs" / "training.md").read_text()
    code, out, _ = run("models", "compact", "--graph")
    assert code == 0
    assert f"$ fastup models compact --graph\n{out.rstrip()}\n```" in page


def test_every_architecture_is_listed(run):
    code, out, _ = run("models", "--json")
    rows = json.loads(out)
    assert code == 0
    assert [row["model"] for row in rows] == list(MODELS)
    assert all(row["parameters"] > 1000 and row["multiply_adds"] > 1000 for row in rows)
    steps = {row["model"]: (row["optimizer"], row["learning_rate"]) for row in rows}
    assert (steps["compact"], steps["espcn"]) == (("muon", 4e-3), ("adam", 1e-3))
    code, out, _ = run("models")
    assert code == 0
    table, papers = out.split("where they come from")
    assert all(f"{row['parameters']:,}" in table and row["model"] in papers for row in rows)


def test_networks_by_name_scale_and_file(run, trained):
    path = str(trained / "best.keras")
    code, out, err = run("models", "compact", path, "--scale", "2", "--graph", "--json")
    assert (code, err) == (0, "")
    named, saved = json.loads(out)
    # Nine layers of 24 features and their slopes; 12 target values of a cell.
    assert named["parameters"] == 9 * (9 * 24 + 1) * 24 - (24 - 3) * 9 * 24 + 9 * 24 + (9 * 24 + 1) * 12
    assert named["multiply_adds"] == (9 * 3 * 24 + 8 * 9 * 24 * 24 + 9 * 24 * 12) / 4
    assert (named["scale"], saved["scale"], saved["model"]) == ([[2, 1], [2, 1]], SCALE, path)
    assert (named["features"], named["depth"], saved["learning_rate"]) == (24, 8, 3e-4)
    assert [node["words"] for node in saved["graph"]][-1:] == ["sum"]
    code, out, _ = run("models", "vdsr", "compact")
    assert code == 0
    # A cell is 4 rows and a column of input: what is seen of it, and ten more on every side.
    assert re.findall(r"^ *(\w+) +9/4 x 2 .* (\d+ x \d+) ", out, re.MULTILINE) == [
        ("vdsr", "26 x 25"), ("compact", "24 x 21"),
    ]  # fmt: skip
    fails(run("models", "nope"), 2, "model is 'nope', expected one of srcnn, ")
    fails(run("models", "nope.keras"), 1, "nope.keras", "No such file")
    fails(run("models", "--scale", "1/2"), 2, "scale is '1/2'")


@pytest.mark.parametrize("name", MODELS)
def test_every_layer_has_words(name):
    network = Network({"model": name, "scale": SCALE, "border": [9, 2]})
    for node in nodes(network):
        assert not re.search(
            r"[A-Z][a-z]+[A-Z]|\d[dD]\b", node.words.replace("PReLU", "").replace("SiLU", "").replace("ReLU", "")
        )
