"""Watches a sweep in the terminal until it ends: trials, best so far, time left."""

import time
from collections.abc import Callable

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from .client import TERMINAL, Answer, ApiError, Client

_POLL_S = 0.7
_PLAIN_EVERY_S = 10.0
_AWAY_S = 300.0


def watch(client: Client, sweep_id: str, console: Console, *, meanwhile: Callable[[], None] = lambda: None) -> Answer:
    """The sweep once it has ended; `meanwhile` is called between two looks.

    On a terminal there is a bar a scenario, elsewhere a line now and then. An API that goes away is waited for.

    Raises:
        ApiError: where it is away from the start, or for five minutes.
    """
    sweep = client.sweep(sweep_id)
    titles = [f"{s['profile']} ×{s['ratio']:g}" for s in sweep["scenarios"]]
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[best]}"),
        TimeElapsedColumn(), TimeRemainingColumn(elapsed_when_finished=False),
    )  # fmt: skip
    said_at, answered_at = 0.0, time.monotonic()
    is_away = False
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        tasks = [bars.add_task(title, total=None, best="") for title in titles]
        while True:
            asked_at = time.monotonic()
            try:
                sweep, trials = client.sweep(sweep_id), client.trials(sweep_id)
            except ApiError as error:
                if not error.is_away or time.monotonic() - answered_at > _AWAY_S:
                    raise
                if not is_away:
                    console.print(f"{error} Waiting for it; the sweep goes on meanwhile.")
                is_away = True
                meanwhile()
                time.sleep(_POLL_S)
                continue
            is_away, answered_at = False, time.monotonic()
            for task, scenario in zip(tasks, sweep["scenarios"], strict=True):
                mine = [t for t in trials if _same(t["scenario"], scenario)]
                ended = [t for t in mine if t["state"] not in ("waiting", "running")]
                bars.update(task, total=len(mine), completed=len(ended), best=_best(ended, sweep))
            if not console.is_terminal and time.monotonic() - said_at > _PLAIN_EVERY_S:
                said_at = time.monotonic()
                progress = sweep["progress"]
                console.print(
                    f"{sweep['state']}: {progress['complete']} of {progress['total']} trials complete,"
                    f" {progress['running']} running, {progress['failed']} failed"
                )
            if sweep["state"] in TERMINAL:
                return sweep
            meanwhile()
            # A large sweep takes its time to be read: it is asked for less often.
            time.sleep(max(_POLL_S, 5 * (time.monotonic() - asked_at)))


def _same(one: Answer, other: Answer) -> bool:
    return bool(one["profile"] == other["profile"] and one["ratio"] == other["ratio"])


def _best(trials: list[Answer], sweep: Answer) -> str:
    """The highest value so far of the swept loss, on validation."""
    swept = [t for t in trials if t["value"] is not None and t["loss"] == sweep["spec"]["loss"]["name"]]
    best = max(swept, key=lambda trial: trial["value"], default=None)
    if best is None:
        return ""
    alpha = f" at alpha {best['params']['alpha']:.3g}" if "alpha" in best["params"] else ""
    return f"so far {best['value']:.3f}{alpha}"
