"""Files that are written whole or not at all."""

import os
from pathlib import Path

import pytest

from worker.whole import whole


def test_what_is_written_takes_the_place_of_what_was_and_others_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file"
    umask = os.umask(0o022)
    try:
        for content in (b"first", b"second"):
            with whole(path) as file:
                file.write(content)
                assert not path.exists() or path.read_bytes() == b"first"
            assert path.read_bytes() == content
    finally:
        os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(path.parent.iterdir()) == [path]


def test_two_may_write_one_file_at_a_time(tmp_path: Path) -> None:
    with whole(tmp_path / "file") as first, whole(tmp_path / "file") as second:
        first.write(b"the first")
        second.write(b"second")
    assert (tmp_path / "file").read_bytes() == b"the first"


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"before")
    with pytest.raises(KeyError), whole(tmp_path / "file") as file:
        file.write(b"half of")
        raise KeyError
    assert (tmp_path / "file").read_bytes() == b"before"
    (tmp_path / "a folder").mkdir()
    with pytest.raises(OSError, match="a folder"), whole(tmp_path / "a folder") as file:
        file.write(b"all of it")
    assert {path.name for path in tmp_path.iterdir()} == {"file", "a folder"}
