"""What ended attempts leave on disk until MLflow has it, and who finds it."""

import random
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from sweep.slots import Replicate
from sweep.tracking import Point
from worker.journal import Journal, Record
from worker.spool import Spool

from .bench import Bench

REPLICATES = [
    Replicate(seed=seed, value=0.1 + seed / 3, validation={"recall/a": 1 / 3}, test={"recall/a": 2 / 3})
    for seed in (1, 2)
]
RECORD = Record(
    trial=["a trial seed 1", "a trial seed 2"], params={"alpha": 0.1, "seeds": [1, 2]},
    points=[Point("val/nll", 1 / 3, 1, 17), Point("val/nll", float("inf"), 2, 18)],
    files={"a picture.png": b"\x00\xff" * 1000, "empty": b""}, outcome="complete", value=1 / 7, replicates=REPLICATES,
)  # fmt: skip


def journal(
    *, sweep: str = "20261125-0a", number: int = 3, attempt: int = 7, trial: list[str] | None = None
) -> Journal:
    claim = cast("Any", SimpleNamespace(sweep=sweep, number=number, attempt=attempt))
    return Journal(claim=claim, sweep=cast("Any", None), trial=trial or list(RECORD.trial), name="", params={}, tags={})


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path)


def fields(record: Record | None) -> dict[str, Any]:
    assert record is not None
    return {name: getattr(record, name) for name in Record.__slots__} | {"params": None}


def test_a_record_comes_back_to_the_last_bit_with_its_parameters_as_text(spool: Spool) -> None:
    spool.keep(journal(), RECORD)
    found = spool.read(journal())
    assert fields(found) == fields(RECORD)
    assert found.params == {"alpha": "0.1", "seeds": "[1, 2]"}


def test_a_later_attempt_at_the_slot_finds_it_and_others_do_not(spool: Spool) -> None:
    spool.keep(journal(attempt=7), RECORD)
    assert fields(spool.recall(journal(attempt=9))) == fields(RECORD)
    for other in (journal(number=4), journal(number=33), journal(sweep="20261125-0b"), journal(trial=["another"])):
        assert spool.recall(other) is None


def test_what_is_torn_or_of_another_version_is_left_for_one_that_is_whole(spool: Spool, tmp_path: Path) -> None:
    spool.keep(journal(attempt=7), RECORD)
    (kept,) = tmp_path.glob("spool/*/*.zip")
    for name, content in (("3-5.zip", kept.read_bytes()[:-40]), ("3-6.zip", b""), ("3-8.zip", b"PK not one")):
        kept.with_name(name).write_bytes(content)
    assert fields(spool.recall(journal(attempt=9))) == fields(RECORD)
    kept.unlink()
    assert spool.recall(journal(attempt=9)) is None


def test_no_bit_that_flips_on_the_disk_raises_what_nobody_expects(
    spool: Spool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("CRITICAL", "worker.spool")  # to write a thousand tracebacks takes minutes
    spool.keep(journal(attempt=7), RECORD)
    (kept,) = tmp_path.glob("spool/*/*.zip")
    whole, left = kept.read_bytes(), 0
    for bit in random.Random(0).sample(range(8 * len(whole)), 2_000):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        kept.write_bytes(damaged)
        left += spool.recall(journal(attempt=9)) is None
    assert left > 1_000


def test_what_is_forgotten_is_gone_with_what_earlier_attempts_left(spool: Spool, tmp_path: Path) -> None:
    for attempt in (7, 9):
        spool.keep(journal(attempt=attempt), RECORD)
    spool.keep(journal(number=4), RECORD)
    spool.forget(journal(attempt=9))
    assert [path.name for path in tmp_path.glob("spool/*/*")] == ["4-7.zip"]


def test_a_disk_that_takes_no_more_leaves_nothing_half_written(spool: Spool, tmp_path: Path) -> None:
    full = SimpleNamespace(items=lambda: iter([("a", b"1"), ("b", None)]))
    with pytest.raises(TypeError):
        spool.keep(journal(), replace(RECORD, files=cast("Any", full)))
    assert list(tmp_path.glob("spool/*/*")) == []


def test_what_is_left_of_sweeps_that_have_ended_or_never_were_is_cleared(bench: Bench) -> None:
    spool, folder = Spool(bench.settings.data_dir), bench.settings.data_dir / "spool"
    open_one, ended = bench.submit(), bench.submit()
    bench.parts.store.close(ended.id, state="finished", progress={}, wanted="run")
    for sweep in (open_one.id, ended.id, "20200101-00"):
        spool.keep(journal(sweep=sweep), RECORD)
    spool.clear(bench.parts.store)
    assert [path.name for path in folder.glob("*")] == [open_one.id]
