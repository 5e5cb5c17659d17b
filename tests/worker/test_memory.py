"""The memory of a container is its limit's, not the machine's."""

from pathlib import Path

import psutil
import pytest

from worker.memory import free_bytes


@pytest.mark.parametrize("names", [("memory.max", "memory.current"),
                                   ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes")])  # fmt: skip
@pytest.mark.parametrize(("limit", "used", "free"), [("1000", "300", 700), ("1000", "1001", 0)])
def test_a_containers_limit_counts(names: tuple[str, str], limit: str, used: str, free: int, tmp_path: Path) -> None:
    for name, content in zip(names, (limit, used), strict=True):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content + "\n")
    assert free_bytes(tmp_path) == free


def test_without_a_limit_it_is_the_machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": 5}))
    assert free_bytes(tmp_path) == 5
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("3\n")
    assert free_bytes(tmp_path) == 5
