"""The `evenhand` command."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from .client import ApiError, Client
from .demo import demo as run_demo
from .terminal import results_view, sweep_view, sweeps_table
from .up import Ports, Services, Stopped, UpError
from .watch import watch as watch_sweep

_FAILED, _BAD_USAGE = 1, 2

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    help="Evenhand finds out which alpha of the adaptive loss suits which imbalance, on your data.\n\n"
    "Start with `evenhand demo`, or `evenhand up` and then `evenhand submit FILE`.",
    epilog="Exit codes: 0 well, 1 failed, 2 bad usage.",
)
_out = Console()
_err = Console(stderr=True)

Url = Annotated[str, typer.Option("--url", envvar="EVENHAND_URL", help="The API's address.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
SweepId = Annotated[str, typer.Argument(help="The sweep's id, as `evenhand list` shows it.")]
_URL = "http://127.0.0.1:8000"


def main() -> None:
    """Runs the command; what users did wrong is one line, never a traceback."""
    try:
        app()
    except ApiError as error:
        _say_refusal(error)
        sys.exit(_BAD_USAGE if error.status == 422 else _FAILED)
    except UpError as error:
        _err.print(f"[red]{error}[/red]", soft_wrap=True)
        sys.exit(_FAILED)
    except (Stopped, KeyboardInterrupt):
        sys.exit(0)


@app.command()
def up(
    data: Annotated[Path, typer.Option(help="Folder of everything that is kept.", envvar="EVENHAND_DATA_DIR")] = Path(
        "evenhand-data"
    ),
    port: Annotated[int, typer.Option(help="Port of the API.")] = 8000,
    mlflow_port: Annotated[int, typer.Option(help="Port of MLflow.")] = 5000,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Worker processes of one thread each; default: one a core.")
    ] = None,
) -> None:
    """Starts API, MLflow and workers on this machine, and serves until Ctrl-C.

    Started again on the same folder, it goes on where it was.
    """
    services = Services(data, Ports(api=port, mlflow=mlflow_port), workers=_workers(workers), say=_say_line)
    _out.print(f"Starting on {services.data_dir} …")
    with services.running() as group:
        _out.print(f"API     {services.ports.api_url}/docs", soft_wrap=True)
        _out.print(f"MLflow  {services.ports.mlflow_page}", soft_wrap=True)
        _out.print(f"Data    your own sets go into {services.data_dir / 'datasets'}", soft_wrap=True)
        _out.print("Ready. Ctrl-C stops everything.")
        services.watch(group)


@app.command()
def demo(
    data: Annotated[Path, typer.Option(help="Folder of everything that is kept.")] = Path("evenhand-demo"),
    workers: Annotated[int | None, typer.Option(min=0, help="Worker processes; default: one a core.")] = None,
    exit: Annotated[bool, typer.Option("--exit", help="End with the answer instead of serving on.")] = False,
) -> None:
    """Runs a real sweep on real data, from HTTP to MLflow, and shows its answer (under two minutes on two cores)."""
    keep = _out.is_terminal and not exit
    if not run_demo(data, _out, workers=_workers(workers), keep=keep):
        _err.print("[red]Not every trial ended well.[/red]")
        raise typer.Exit(_FAILED)


@app.command()
def worker() -> None:
    """Runs one worker on the settings of the environment, until SIGTERM or Ctrl-C."""
    os.execv(sys.executable, [sys.executable, "-m", "worker"])  # signals reach the worker itself


@app.command()
def submit(
    file: Annotated[typer.FileBinaryRead, typer.Argument(help="A sweep as JSON; `-` reads standard input.")],
    url: Url = _URL,
    watch: Annotated[bool, typer.Option("--watch", help="Stay until the sweep has ended.")] = False,
    as_json: Json = False,
) -> None:
    """Submits a sweep.

    The smallest: `{"dataset": "digits", "imbalance": {"profile": "exponential", "ratios": [1, 10, 50]}}`
    """
    with Client(url) as client:
        sweep = client.submit(file.read())
        if not watch:
            _show(sweep, as_json, f"Submitted {sweep['id']} with {sweep['progress']['total']} trials.")
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
    _show(sweeps, as_json, sweeps_table(sweeps))


@app.command()
def show(sweep_id: SweepId, url: Url = _URL, as_json: Json = False) -> None:
    """Shows a sweep: its scenarios with their class counts, and its trials."""
    with Client(url) as client:
        sweep, trials = client.sweep(sweep_id), client.trials(sweep_id)
    _show({**sweep, "trials": trials}, as_json, sweep_view(sweep, trials))


@app.command()
def watch(sweep_id: SweepId, url: Url = _URL, as_json: Json = False) -> None:
    """Watches a sweep until it has ended, then shows its results; Ctrl-C leaves the sweep running."""
    with Client(url) as client:
        _watch(client, sweep_id, as_json)


@app.command()
def results(sweep_id: SweepId, url: Url = _URL, as_json: Json = False) -> None:
    """Shows what a sweep says so far: per scenario the best point, the baselines, and how sure that is."""
    with Client(url) as client:
        found = client.results(sweep_id)
    _show(found, as_json, results_view(found))


@app.command()
def cancel(sweep_id: SweepId, url: Url = _URL, as_json: Json = False) -> None:
    """Cancels a sweep; what was recorded stays."""
    with Client(url) as client:
        sweep = client.cancel(sweep_id)
    _show(sweep, as_json, f"Cancelling {sweep_id}; running trials end after the epoch at hand.")


def _watch(client: Client, sweep_id: str, as_json: bool) -> None:
    sweep = watch_sweep(client, sweep_id, _err if as_json else _out)
    found = client.results(sweep_id)
    _show(found, as_json, results_view(found))
    if sweep["state"] != "finished":
        raise typer.Exit(_FAILED)


def _show(answer: Any, as_json: bool, view: Any) -> None:
    if as_json:
        print(json.dumps(answer, indent=2))
    else:
        _out.print(view)


def _say_line(name: str, line: str) -> None:
    _out.print(f"{name:<9}│ {line}", markup=False, highlight=False, soft_wrap=True)


def _say_refusal(error: ApiError) -> None:
    fields = error.problem.get("errors", [])
    for field in fields:
        _err.print(f"[bold]{field['field']}[/bold]: {field['problem']} Expected {field['expected']}.", soft_wrap=True)
    if not fields:
        _err.print(f"[red]{error}[/red]", soft_wrap=True)


def _workers(asked: int | None) -> int:
    return (os.cpu_count() or 1) if asked is None else asked
