"""The `evenhand` command."""

import contextlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console, RenderableType
from rich.text import Text

from sweep.settings import Settings

from .client import Answer, ApiError, Client
from .demo import demo as run_demo
from .launch import run_workers
from .processes import Stopped
from .terminal import results_view, sweep_view, sweeps_table
from .up import Ports, Services, UpError
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
    except ValidationError as error:
        said: dict[str, list[str]] = {}
        for problem in error.errors():
            said.setdefault(f"EVENHAND_{problem['loc'][0]}".upper(), []).append(problem["msg"])
        for name, problems in said.items():
            _err.print(Text(f"Setting {name}: {', or '.join(problems)}.", style="red"))
        sys.exit(_BAD_USAGE)
    except UpError as error:
        _err.print(Text(str(error), style="red"), soft_wrap=True)
        sys.exit(_FAILED)
    except (Stopped, KeyboardInterrupt):
        _err.print("Stopped before the end.")
        sys.exit(_FAILED)


@app.command()
def up(
    data: Annotated[Path, typer.Option(help="Folder of everything that is kept.", envvar="EVENHAND_DATA_DIR")] = Path(
        "evenhand-data"
    ),
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Port of the API.")] = 8000,
    mlflow_port: Annotated[int, typer.Option(min=1, max=65_535, help="Port of MLflow.")] = 5000,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Worker processes; default: as many as are quickest here, measured once.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Starts API, MLflow and workers on this machine, and serves until Ctrl-C.

    Started again on the same folder, it goes on where it was. With `--json` the addresses are printed once all is
    ready, and the log goes to standard error.
    """
    console = _err if as_json else _out

    services = Services(data, Ports(api=port, mlflow=mlflow_port), workers=workers, say=_say_line(console))
    console.print(f"Starting on {services.data_dir} …")
    with contextlib.suppress(Stopped), services.running() as group:
        addresses = {
            "api": f"{services.ports.api_url}/docs",
            "mlflow": services.ports.mlflow_page,
            "datasets": str(services.data_dir / "datasets"),
        }
        _show(addresses, as_json, _addresses(addresses))
        services.watch(group)


@app.command()
def demo(
    data: Annotated[Path, typer.Option(help="Folder of everything that is kept.")] = Path("evenhand-demo"),
    workers: Annotated[int | None, typer.Option(min=0, help="Worker processes; default: as measured once.")] = None,
    exit: Annotated[bool, typer.Option("--exit", help="End with the answer instead of serving on.")] = False,
    as_json: Json = False,
) -> None:
    """Runs a real sweep on real data, from HTTP to MLflow, and shows its answer (under two minutes on two cores)."""
    well = run_demo(
        data,
        _err if as_json else _out,
        show=lambda found: _show_results(found, as_json),
        workers=workers,
        keep=_out.is_terminal and not exit,
    )
    if not well:
        _err.print("[red]Not every trial ended well.[/red]")
        raise typer.Exit(_FAILED)


@app.command()
def worker(
    width: Annotated[
        str | None, typer.Option(help="Trials to train at once: a number, or auto (measured). Default: EVENHAND_WIDTH.")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of each. Default: EVENHAND_THREADS.")] = None,
    processes: Annotated[
        str, typer.Option(help="Worker processes on this machine: a number, or auto (measured once; one a GPU).")
    ] = "1",
) -> None:
    """Runs a worker on the settings of the environment, until SIGTERM or Ctrl-C.

    Many trials are trained at once where that was measured to pay; what cannot be stacked is trained one by one.
    """
    _check_numbers({"--width": width or "auto", "--processes": processes})
    given = {"EVENHAND_WIDTH": width or "", "EVENHAND_THREADS": str(threads or "")}
    os.environ.update({name: value for name, value in given.items() if value})
    settings = Settings()  # what is wrong with them is said here in a line
    if processes == "1":
        os.execv(sys.executable, [sys.executable, "-m", "worker"])  # signals reach the worker itself
    run_workers(settings.data_dir.resolve(), None if processes == "auto" else int(processes), say=_say_line(_err))


def _check_numbers(given: dict[str, str]) -> None:
    for option, text in given.items():
        if text != "auto" and not (text.isdecimal() and int(text)):
            raise typer.BadParameter(f"Expected a number above 0, or auto, got {text!r}.", param_hint=option)


@app.command()
def submit(
    file: Annotated[typer.FileBinaryRead, typer.Argument(help="A sweep as JSON; `-` reads standard input.")],
    url: Url = _URL,
    watch: Annotated[bool, typer.Option("--watch", help="Stay until the sweep has ended.")] = False,
    as_json: Json = False,
) -> None:
    """Submits a sweep.

    The smallest is `{"dataset": "digits", "imbalance": {"profile": "exponential", "ratios": [1, 10, 50]}}`; the
    answer shows it with every default filled in.
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
        _show_results(client.results(sweep_id), as_json)


@app.command()
def cancel(sweep_id: SweepId, url: Url = _URL, as_json: Json = False) -> None:
    """Cancels a sweep; what was recorded stays."""
    with Client(url) as client:
        sweep = client.cancel(sweep_id)
    _show(sweep, as_json, f"Cancelling {sweep_id}; running trials end after the epoch at hand.")


def _watch(client: Client, sweep_id: str, as_json: bool) -> None:
    try:
        sweep = watch_sweep(client, sweep_id, _err if as_json else _out)
    except KeyboardInterrupt:
        _err.print(f"The sweep goes on. `evenhand watch {sweep_id}` looks again, `evenhand cancel {sweep_id}` ends it.")
        raise
    _show_results(client.results(sweep_id), as_json)
    if sweep["state"] != "finished":
        raise typer.Exit(_FAILED)


def _show_results(found: Answer, as_json: bool) -> None:
    _show(found, as_json, results_view(found))


def _show(answer: Answer | list[Answer], as_json: bool, view: RenderableType) -> None:
    if as_json:
        print(json.dumps(answer, indent=2), flush=True)
    else:
        _out.print(view, soft_wrap=isinstance(view, str))


def _addresses(addresses: Answer) -> str:
    listed = "\n".join(f"{name:<9}{address}" for name, address in addresses.items())
    return f"{listed}\nReady. Your own data sets go into the last of these. Ctrl-C stops everything."


def _say_refusal(error: ApiError) -> None:
    fields = error.problem.get("errors", [])
    for field in fields:
        sentence = f": {field['problem']} Expected {field['expected']}."
        _err.print(Text.assemble((field["field"], "bold"), sentence), soft_wrap=True)
    if not fields:
        _err.print(Text(str(error), style="red"), soft_wrap=True)


def _say_line(console: Console) -> Callable[[str, str], None]:
    def say(name: str, line: str) -> None:
        console.print(f"{name:<9}│ {line}", markup=False, highlight=False, soft_wrap=True)

    return say
