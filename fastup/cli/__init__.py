"""The command line: parsing and printing only. What a command needs is imported when it runs."""

import os
import signal
import sys
from typing import Annotated

import typer

import fastup
from fastup.cli import demo, footage, match, models, pairs, show, train, upscale
from fastup.errors import FastupError, OptionError

app = typer.Typer(
    name="fastup",
    help="Restore old animation: train a small network on pairs of SD and HD frames, and run films through it.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for command in (
    demo.demo, footage.info, footage.convert, footage.extract, footage.detelecine, footage.degrade, footage.dehalo,
    match.match, pairs.pairs, pairs.rank, train.train, models.models, upscale.upscale, upscale.evaluate,
    upscale.export,
):  # fmt: skip
    app.command(cls=upscale.ModelFirst if command is upscale.upscale else None)(command)


def main() -> None:
    """Run the command line and exit: 0 if all went well, 1 if not, 2 if the arguments are wrong."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends a command as Ctrl-C does
    os.environ["_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION"] = "1"  # so --show-completion takes a shell's name
    _open_streams()
    code = _run()
    try:
        sys.stdout.flush()  # at the end of the process it is too late to say that it failed
    except OSError as error:
        code = _output_lost(error)
    sys.exit(code)


def _run():
    """Run the command line; print its error, if any; give the exit code."""
    try:
        code = app(standalone_mode=False) or 0
        if code == 130:  # how Typer says that Ctrl-C was pressed
            raise KeyboardInterrupt
        return code
    except typer.TyperException as error:
        return show.complain(error.format_message(), error.exit_code)
    except OptionError as error:
        return show.complain(error, 2)
    except FastupError as error:
        return show.complain(error, 1)
    except OSError as error:
        if error.filename:
            return show.complain(f"{error.filename}: {error.strerror}", 1)
        if isinstance(error, BrokenPipeError):  # nobody reads the frames
            return _output_lost(error)
        try:  # whether it was what we print, of which only another try can tell
            sys.stdout.flush()
            os.write(sys.stdout.fileno(), b"\n")
        except OSError as same:
            return _output_lost(same)
        return show.complain(error, 1)
    except MemoryError as error:
        return show.complain(f"there is too little memory: {error or 'none is left'}; close other programs", 1)
    except (KeyboardInterrupt, typer.Abort):
        commands = {each.callback.__name__: each.callback for each in app.registered_commands}
        going_on = hasattr(commands.get("".join(sys.argv[1:2])), "carries_on") and "-" not in sys.argv
        return show.complain("stopped" + "; the same command carries on" * going_on, 1)
    except ModuleNotFoundError as error:
        extras = (
            "keras",
            "tensorflow",
            "tensorboard",
            "skimage",
            "matplotlib",
            "jax",
            "torch",
            "onnx",
            "av",
            "scipy",
            "xxhash",
            "jinja2",
            "PIL",
        )
        if error.name not in extras:
            raise
        extra = {"av": "video", "scipy": "video", "jinja2": "report", "PIL": "report"}.get(error.name, "train")
        return show.complain(f"{error.name} is not installed; this command needs: pip install 'fastup[{extra}]'", 1)


def _open_streams():
    """Make standard streams that were closed (``>&-``) go nowhere, and characters that they lack come as escapes."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number, or the next file would be what we print to
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 -- as long as the process
        if hasattr(getattr(sys, name), "reconfigure"):
            getattr(sys, name).reconfigure(errors="backslashreplace")


def _output_lost(error):
    """Print that the output could not be written, unless its reader has closed the pipe; give the exit code."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is not yet written
    return 1 if isinstance(error, BrokenPipeError) else show.complain(f"standard output: {error.strerror}", 1)


@app.callback(invoke_without_command=True)
def _fastup(
    context: typer.Context, version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False
) -> None:
    if version:
        print(f"fastup {fastup.__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit(2)
