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
    if workers is not None:
        return [{}] * workers
    settings = Settings()
    if "threads" in settings.model_fields_set:
        return [{}] * max((os.cpu_count() or 1) // settings.threads, 1)
    folder = data_dir / "paces"
    if not (folder / "cores.json").exists():
        say("workers", "Measuring once how this machine's cores are best used …")
    answer = subprocess.run(
        [sys.executable, "-m", "worker.cores", str(folder)], stdout=subprocess.PIPE, text=True, check=True
    )
    layout = json.loads(answer.stdout)
    alike = {"EVENHAND_THREADS": str(layout["threads"])}
    if layout["gpus"]:
        return [alike | {"CUDA_VISIBLE_DEVICES": str(n)} for n in range(layout["processes"])]
    return [alike] * layout["processes"]


def run_workers(data_dir: Path, workers: int | None, *, say: Callable[[str, str], None]) -> None:
    """Runs workers on the settings of the environment until SIGTERM or Ctrl-C; those that die are started again."""
    environments = worker_environments(data_dir, workers=workers, say=say)
    logs = data_dir / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    processes = worker_processes(environments, {}, log=lambda name: logs / f"{name}.log", on_line=say)
    group = Group(processes, restarted=[process.name for process in processes])
    with contextlib.suppress(Stopped), running(group):
        while True:
            group.look(say)
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
