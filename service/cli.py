"""The `evenhand` command."""

import sys
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.text import Text

from .client import Answer, ApiError, Client
from .console import Json, err, out, show
from .machine import machine
from .processes import Stopped
from .terminal import results_view, sweep_view, sweeps_table
from .up import UpError
from .watch import watch as watch_sweep

_FAILED, _BAD_USAGE = 1, 2
_REFUSALS = (413, 422)
"""Of what was sent."""

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    help="Evenhand finds out which alpha of the adaptive loss suits which imbalance, on your data.\n\n"
    "Start with `evenhand demo`, or `evenhand up` and then `evenhand submit FILE`.",
    epilog="Exit codes: 0 well, 1 failed, 2 bad usage.",
)
app.add_typer(machine)

Url = Annotated[str, typer.Option("--url", envvar="EVENHAND_URL", help="The API's address.")]
SweepId = Annotated[str, typer.Argument(help="The sweep's id, as `evenhand list` shows it.")]
_URL = "http://127.0.0.1:8000"


def main() -> None:
    """Runs the command; what users did wrong is one line, never a traceback."""
    try:
        app()
    except ApiError as error:
        _say_refusal(error)
        sys.exit(_BAD_USAGE if error.status in _REFUSALS else _FAILED)
    except ValidationError as error:
        said: dict[str, list[str]] = {}
        for problem in error.errors():
            said.setdefault(f"EVENHAND_{problem['loc'][0]}".upper(), []).append(problem["msg"])
        for name, problems in said.items():
            err.print(Text(f"Setting {name}: {', or '.join(problems)}.", style="red"))
        sys.exit(_BAD_USAGE)
    except UpError as error:
        err.print(Text(str(error), style="red"), soft_wrap=True)
        sys.exit(_FAILED)
    except (Stopped, KeyboardInterrupt):
        err.print("Stopped before the end.")
        sys.exit(_FAILED)


@app.command()
def submit(
    file: Annotated[typer.FileBinaryRead, typer.Argument(help="A sweep as JSON; `-` reads standard input.")],
    url: Url = _URL,
    watch: Annotated[bool, typer.Option("--watch", help="Stay until the sweep has ended.")] = False,
    key: Annotated[
        str | None, typer.Option(help="Sends it under this Idempotency-Key, as an earlier try said.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Submits a sweep.

    The smallest is `{"dataset": "digits", "imbalance": {"profile": "exponential", "ratios": [1, 10, 50]}}`; the
    answer shows it with every default filled in.
    """
    with Client(url) as client:
        sweep = client.submit(file.read(), key=key)
        if not watch:
            show(sweep, as_json, f"Submitted {sweep['id']} with {sweep['progress']['total']} trials.")
            return
        _watch(client, sweep["id"], as_json)


@app.command("list")
def list_(
    url: Url = _URL,
    state: Annotated[str | None, typer.Option(help="Only sweeps of this state.")] = None,
    name: Annotated[str | None, typer.Option(help="Only sweeps whose name contains this.")] = None,
    as_json: Json = False,
) -> None:
    """Lists sweeps, the newest first."""
    with Client(url) as client:
        sweeps = list(client.sweeps(state=state, name=name))
    show(sweeps, as_json, sweeps_table(sweeps))


@app.command("show")
def show_(sweep_id: SweepId, url: Url = _URL, as_json: Json = False) -> None:
    """Shows a sweep: its scenarios with their class counts, and its trials."""
    with Client(url) as client:
        sweep, trials = client.sweep(sweep_id), client.trials(sweep_id)
    show({**sweep, "trials": trials}, as_json, sweep_view(sweep, trials))


@app.command()
def watch(sweep_id: SweepId, url: Url = _URL, as_json: Json = False) -> None:
    """Watches a sweep until it has ended, then shows its results; Ctrl-C leaves the sweep running."""
    with Client(url) as client:
        _watch(client, sweep_id, as_json)


@app.command()
def results(sweep_id: SweepId, url: Url = _URL, as_json: Json = False) -> None:
    """Shows what a sweep says so far: per scenario the best point, the baselines, and how sure that is."""
    with Client(url) as client:
        _show_results(client.results(sweep_id), as_json)


@app.command()
def pause(
    sweep_id: SweepId,
    now: Annotated[
        bool, typer.Option("--now", help="Queue running trials again instead of letting them finish.")
    ] = False,
    url: Url = _URL,
    as_json: Json = False,
) -> None:
    """Pauses a sweep: nothing begins any more, until `evenhand resume`."""
    with Client(url) as client:
        sweep = client.act(sweep_id, "pause", running="requeue" if now else "finish")
    show(sweep, as_json, f"Pausing {sweep_id}; running trials {'are queued again' if now else 'finish'}.")


@app.command()
def resume(sweep_id: SweepId, url: Url = _URL, as_json: Json = False) -> None:
    """Goes on with a paused sweep."""
    with Client(url) as client:
        sweep = client.act(sweep_id, "resume")
    show(sweep, as_json, f"{sweep_id} goes on.")


@app.command()
def retry(sweep_id: SweepId, url: Url = _URL, as_json: Json = False) -> None:
    """Tries the failed trials of a sweep again, each at its point; it is open again if it had ended."""
    with Client(url) as client:
        sweep = client.act(sweep_id, "retry")
    show(sweep, as_json, f"Trying again; {sweep['progress']['waiting']} trials of {sweep_id} wait.")


@app.command()
def cancel(sweep_id: SweepId, url: Url = _URL, as_json: Json = False) -> None:
    """Cancels a sweep; what was recorded stays."""
    with Client(url) as client:
        sweep = client.act(sweep_id, "cancel")
    show(sweep, as_json, f"Cancelling {sweep_id}; running trials end within seconds.")


def _watch(client: Client, sweep_id: str, as_json: bool) -> None:
    try:
        sweep = watch_sweep(client, sweep_id, err if as_json else out)
    except KeyboardInterrupt:
        err.print(f"The sweep goes on. `evenhand watch {sweep_id}` looks again, `evenhand cancel {sweep_id}` ends it.")
        raise
    _show_results(client.results(sweep_id), as_json)
    if sweep["state"] != "finished":
        raise typer.Exit(_FAILED)


def _show_results(found: Answer, as_json: bool) -> None:
    show(found, as_json, results_view(found))


def _say_refusal(error: ApiError) -> None:
    fields = error.problem.get("errors", [])
    for field in fields:
        sentence = f": {field['problem']} Expected {field['expected']}."
        err.print(Text.assemble((field["field"], "bold"), sentence), soft_wrap=True)
    if not fields:
        err.print(Text(str(error), style="red"), soft_wrap=True)
