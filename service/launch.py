"""How many workers a machine gets, and of how many threads: as asked, or as measured."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from sweep.settings import Settings

from .processes import Group, Process, Stopped, running

_LOOK_EVERY_S = 0.2


def worker_environments(
    data_dir: Path, *, workers: int | None, say: Callable[[str, str], None]
) -> list[Mapping[str, str]]:
    """What each worker's environment needs beyond the others': its threads, and its GPU where there are any.

    Without a number of `workers` they are as many as were measured to be quickest here, which is done once a folder.
    """
    return [{"EVENHAND_GPU": str(n), **own} for n, own in enumerate(_alike(data_dir, workers=workers, say=say))]


def _alike(data_dir: Path, *, workers: int | None, say: Callable[[str, str], None]) -> list[Mapping[str, str]]:
    if workers is not None:
        return [{}] * workers
    settings, folder = Settings(), data_dir / "paces"
    if not (folder / "cores.json").exists():
        say("workers", "Looking once how this machine's cores are best used …")
    answer = subprocess.run([sys.executable, "-m", "worker.cores", str(folder)], stdout=subprocess.PIPE, text=True)
    cores = os.cpu_count() or 1
    if answer.returncode:
        say("workers", f"That did not work (exit code {answer.returncode}); one worker a core.")
        return [{}] * max(cores // settings.threads, 1)
    layout = json.loads(answer.stdout)
    if "threads" in settings.model_fields_set:
        return [{}] * (layout["gpus"] or max(cores // settings.threads, 1))
    return [{"EVENHAND_THREADS": str(layout["threads"])}] * layout["processes"]


def run_workers(data_dir: Path, workers: int | None, *, say: Callable[[str, str], None]) -> None:
    """Runs workers on the settings of the environment until SIGTERM or Ctrl-C; those that die are started again."""
    environments = worker_environments(data_dir, workers=workers, say=say)
    logs = data_dir / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    processes = worker_processes(environments, {}, log=lambda name: logs / f"{name}.log", on_line=say)
    group = Group(processes, workers=[process.name for process in processes])
    drain_timeout_s = Settings().drain_timeout_s
    with contextlib.suppress(Stopped), running(group, drain_timeout_s=drain_timeout_s, say=say):
        while True:
            group.look(say, is_healthy=True)
            time.sleep(_LOOK_EVERY_S)


def worker_processes(
    environments: list[Mapping[str, str]],
    environment: Mapping[str, str],
    *,
    log: Callable[[str], Path],
    on_line: Callable[[str, str], None],
) -> list[Process]:
    """Worker processes called worker-0, worker-1, …, not started yet."""
    return [
        Process(
            f"worker-{n}",
            [sys.executable, "-m", "worker"],
            environment={**environment, **own},
            log=log(f"worker-{n}"),
            on_line=on_line,
        )
        for n, own in enumerate(environments)
    ]
