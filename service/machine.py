"""The commands that run something on this machine: everything, a demo, or a worker."""

import contextlib
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from sweep.settings import MAX_THREADS, Settings

from .console import Json, err, out, say_line, show
from .demo import demo as run_demo
from .launch import run_workers
from .processes import Stopped
from .terminal import addresses_view, results_view
from .up import Ports, Services

machine = typer.Typer()


@machine.command()
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
    console = err if as_json else out

    services = Services(data, Ports(api=port, mlflow=mlflow_port), workers=workers, say=say_line(console))
    console.print(f"Starting on {services.data_dir} …")
    with contextlib.suppress(Stopped), services.running() as group:
        addresses = {
            "api": f"{services.ports.api_url}/docs",
            "mlflow": services.ports.mlflow_page,
            "datasets": str(services.data_dir / "datasets"),
        }
        show(addresses, as_json, addresses_view(addresses))
        services.watch(group)


@machine.command()
def demo(
    data: Annotated[Path, typer.Option(help="Folder of everything that is kept.")] = Path("evenhand-demo"),
    workers: Annotated[int | None, typer.Option(min=0, help="Worker processes; default: as measured once.")] = None,
    exit: Annotated[bool, typer.Option("--exit", help="End with the answer instead of serving on.")] = False,
    as_json: Json = False,
) -> None:
    """Runs a real sweep on real data, from HTTP to MLflow, and shows its answer (under two minutes on two cores)."""
    well = run_demo(
        data,
        err if as_json else out,
        show=lambda found: show(found, as_json, results_view(found)),
        workers=workers,
        keep=out.is_terminal and not exit,
    )
    if not well:
        err.print("[red]Not every trial ended well.[/red]")
        raise typer.Exit(1)


@machine.command()
def worker(
    width: Annotated[
        str | None, typer.Option(help="Trials to train at once: a number, or auto (measured). Default: EVENHAND_WIDTH.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, max=MAX_THREADS, help="Threads of each. Default: EVENHAND_THREADS.")
    ] = None,
    drain_timeout: Annotated[
        float | None,
        typer.Option(
            min=0, metavar="SECONDS", help="Time to leave in, once asked to. Default: EVENHAND_DRAIN_TIMEOUT_S."
        ),
    ] = None,
    processes: Annotated[
        str, typer.Option(help="Worker processes on this machine: a number, or auto (measured once; one a GPU).")
    ] = "1",
) -> None:
    """Runs a worker on the settings of the environment, until SIGTERM or Ctrl-C.

    Asked to leave, it finishes the epoch at hand, if the time allows, and its trials are tried again by others.
    Many trials are trained at once where that was measured to pay; what cannot be stacked is trained one by one.
    """
    _check_numbers({"--width": "auto" if width is None else width, "--processes": processes})
    given = {
        "EVENHAND_WIDTH": width,
        "EVENHAND_THREADS": threads,
        "EVENHAND_DRAIN_TIMEOUT_S": drain_timeout,
    }
    os.environ.update({name: str(value) for name, value in given.items() if value is not None})
    settings = Settings()  # what is wrong with them is said here in a line
    if processes == "1":
        os.execv(sys.executable, [sys.executable, "-m", "worker"])  # signals reach the worker itself
    run_workers(settings.data_dir.resolve(), None if processes == "auto" else int(processes), say=say_line(err))


@machine.command()
def migrate(as_json: Json = False) -> None:
    """Brings the database to the newest version and says which it was and is; every process does so as it starts."""
    Settings()  # what is wrong with them is said here in a line
    os.execv(sys.executable, [sys.executable, "-m", "sweep.upgrade", *(["--json"] if as_json else [])])


def _check_numbers(given: dict[str, str]) -> None:
    for option, text in given.items():
        if text != "auto" and not (text.isdecimal() and int(text)):
            raise typer.BadParameter(f"Expected a number above 0, or auto, got {text!r}.", param_hint=option)
