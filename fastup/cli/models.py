"""List networks: models."""

from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

from rich import box
from rich.markup import escape
from rich.table import Table
from typer import Argument, Option

from fastup._scales import parsed
from fastup.cli import show
from fastup.cli.graph import drawn
from fastup.cli.options import Json
from fastup.networks import start
from fastup.upscale import shipped


def models(
    names: Annotated[
        list[str] | None,
        Argument(metavar="[NAME|MODEL]...", help="Of networks, or .keras files.  [default: all names]"),
    ] = None,
    scale: Annotated[str, Option(metavar="V[,H]", help="Of those given by name (vertical, horizontal).")] = "9/4,2",
    graph: Annotated[bool, Option("--graph", help="Draw the layers.")] = False,
    timed: Annotated[
        bool, Option("--time", help="Time a frame of 720x480 with every engine that is installed; takes minutes.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List the networks that can be trained: what they cost and see, and where they come from."""
    scales = [list(factor.as_integer_ratio()) for factor in parsed(scale)]
    start()
    from fastup.networks.graph import nodes, notes
    from fastup.networks.models import MODELS, Network, facts
    from fastup.train.config import Config
    from fastup.upscale.model import load
    from fastup.upscale.timing import SETTINGS, times

    files = {name: shipped.file(name, keras=True) for name in names or MODELS}
    networks = {
        name: load(file, compile=False)
        if Path(file).suffix.lower() == ".keras"
        else Network({**SETTINGS, "model": name, "scale": scales})
        for name, file in files.items()
    }
    rows: list[dict[str, Any]] = []
    for name, network in networks.items():
        found, architecture = facts(network), MODELS[network.settings["model"]]
        settings = {"optimizer": Config.optimizer, **architecture.defaults, **network.settings}
        row = {"model": name, "scale": network.settings["scale"], "parameters": found.parameters}
        row |= {"multiply_adds": found.macs, "receptive": list(found.receptive)}
        row |= {key: settings[key] for key in architecture.size}
        row |= {key: settings[key] for key in ("loss", "optimizer", "learning_rate")}
        rows.append(row | {"summary": architecture.summary})
    words: dict[str, str] = {}
    if timed:
        with show.progress("timing", "timings") as advance:
            words, seconds = times(networks, advance)
        for row in rows:
            row["seconds"] = seconds[row["model"]]
    if as_json:
        if graph:
            for row in rows:
                row["graph"] = [vars(node) for node in nodes(networks[row["model"]])]
        show.data(rows)
        return
    if graph:
        for name, network in networks.items():
            show.say(f"{name}: channels of each layer, and what it is")
            for line in [*drawn(nodes(network)), *notes(network), ""]:
                show.say(line)
    else:
        _print_table(rows)
        if not names:
            show.table(shipped.WORDS, "those that come along, trained: compact")
    if timed:
        caption = "\n".join(f"{name}: {escape(text)}" for name, text in words.items())
        table = show.figures("seconds a frame", *words, caption=caption)
        for row in rows:
            each = (row["seconds"][name] for name in words)
            table.add_row(row["model"], *("-" if found is None else f"{found:.3g}" for found in each))
        show.out.print(table)


def _print_table(rows):
    """What networks cost and see, and under it where each comes from."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("model", overflow="fold")
    table.add_column("scale", justify="right", no_wrap=True)
    for column in ("parameters", "multiply-adds\na target pixel", "sees input\npixels", "features,\ndepth"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("loss")
    table.add_column("optimizer,\nrate", justify="right")
    for row in rows:
        scale = " x ".join(str(Fraction(*factor)) for factor in row["scale"])
        sees = " x ".join(str(q + 2 * reach) for (_, q), reach in zip(row["scale"], row["receptive"], strict=True))
        size = ", ".join(str(row[key]) for key in ("features", "depth") if key in row)
        figures = f"{row['parameters']:,}", f"{row['multiply_adds']:,.0f}"
        steps = f"{row['optimizer']}, {row['learning_rate']:g}"
        table.add_row(escape(row["model"]), scale, *figures, sees, size, row["loss"], steps)
    show.out.print(table)
    show.table([(row["model"], row["summary"]) for row in rows], "where they come from")
