"""Files of an attempt in training: none is dropped but those that were sent."""

from types import SimpleNamespace
from typing import Any, cast

from sweep.studies import Claim
from worker.journal import Journal


def test_what_came_while_others_were_sent_is_still_to_be_sent() -> None:
    claim = cast("Claim", SimpleNamespace(number=0, attempt=1))
    journal = Journal(claim=claim, sweep=cast("Any", None), trial=["a"], name="a trial", params={}, tags={})
    journal.keep({"checkpoint.pt": b"old", "note.txt": b"seen"})
    sent = journal.files
    journal.keep({"checkpoint.pt": b"new"})
    journal.let_go(sent)
    assert journal.files == {"checkpoint.pt": b"new"}
