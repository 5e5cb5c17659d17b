"""A plant for every test, dice whose seed is printed, and a table of what was done at the end."""

import os
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from random import Random

import httpx
import pytest

from sweep.store import Sweep

from ..postgres import own_database
from .aftermath import Figures, check
from .plant import Plant

_ROWS = pytest.StashKey[list[tuple[str, Figures, float]]]()
Note = Callable[..., Figures]


@pytest.fixture
def soak() -> int:
    """By how much the numbers are multiplied: `make soak` sets EVENHAND_SOAK."""
    return int(os.environ.get("EVENHAND_SOAK", "1"))


def only_sqlite_unless_soaking(plant: Plant, soak: int) -> None:
    """Skips what takes too long to do it on both databases every time."""
    if soak == 1 and not plant.database.startswith("sqlite"):
        pytest.skip("on SQLite alone, for the time it takes; make soak has both")


@pytest.fixture
def dice(request: pytest.FixtureRequest) -> Random:
    """Chance, whose seed is shown where a test fails; EVENHAND_CHAOS_SEED sets it."""
    seed = os.environ.get("EVENHAND_CHAOS_SEED") or secrets.token_hex(4)
    request.node.add_report_section("setup", "chaos", f"EVENHAND_CHAOS_SEED={seed}")
    return Random(seed)


@pytest.fixture
def plant(tmp_path: Path, database: str, mlflow_url: str, dice: Random) -> Iterator[Plant]:
    """A plant on SQLite, or on PostgreSQL where the test is parametrised by `database`."""
    plant = Plant(tmp_path, database, mlflow_url, dice)
    yield plant
    plant.close()


@pytest.fixture
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of an empty database."""
    yield from own_database(getattr(request, "param", "sqlite"), request, tmp_path)


@pytest.fixture
def note(request: pytest.FixtureRequest, plant: Plant, mlflow: httpx.Client) -> Note:
    """Checks what is left of the given sweeps and writes the figures down."""
    began = time.monotonic()

    def note(*sweeps: Sweep) -> Figures:
        figures = check(plant, sweeps, mlflow)
        rows = request.config.stash.setdefault(_ROWS, [])
        rows.append((request.node.name, figures, time.monotonic() - began))
        return figures

    return note


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The figures as a table for docs/reliability.md."""
    rows = config.stash.get(_ROWS, [])
    if rows:
        terminalreporter.section("chaos")
        terminalreporter.write_line("| test | kills | trials | lost attempts | doubled | lost | s |")
        terminalreporter.write_line("|---|---|---|---|---|---|---|")
        for name, figures, took_s in rows:
            cells = " | ".join(str(value) for value in asdict(figures).values())
            terminalreporter.write_line(f"| {name} | {cells} | {took_s:.0f} |")
