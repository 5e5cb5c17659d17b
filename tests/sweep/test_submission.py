"""Submissions: which bodies are the same, and what a key may be."""

import pytest
from pydantic_core import PydanticCustomError

from sweep.submission import Submission, checked_key

BODY = b'{"dataset": "digits", "imbalance": {"profile": "step", "ratios": [1, 10]}}'


def digest(body: bytes) -> str:
    return Submission(key="k", body=body).digest


@pytest.mark.parametrize(
    "same",
    [
        b'{"imbalance":{"ratios":[1,10],"profile":"step"},"dataset":"digits"}',
        BODY.replace(b" ", b"\n"),
        BODY.replace(b"digits", b"d\\u0069gits"),
    ],
)
def test_the_order_of_keys_and_the_way_of_writing_make_no_other_body(same: bytes) -> None:
    assert same != BODY
    assert digest(same) == digest(BODY)


@pytest.mark.parametrize(
    "other",
    [
        BODY.replace(b"[1, 10]", b"[10, 1]"),
        BODY.replace(b"digits", b"toy2d"),
        BODY[:-1] + b', "replicates": 3}',
        BODY[:-1] + b', "name": null}',
    ],
)
def test_another_body_is_told_from_the_first_though_it_may_ask_for_the_same(other: bytes) -> None:
    assert digest(other) != digest(BODY)


@pytest.mark.parametrize("key", ["a", "4f1c3f5e-61e0-4c57-9f0a-4d8f4f3d7e21", '"quoted"', "two words", "~" * 255])
def test_a_key_is_what_can_be_printed(key: str) -> None:
    assert checked_key(key) == key


@pytest.mark.parametrize("key", ["", " ", " a", "a ", "a" * 256, "a\tb", "a\n", "\x7f", "schlüssel", "\N{SNOWMAN}"])
def test_anything_else_is_none_and_is_told_what_one_is(key: str) -> None:
    with pytest.raises(PydanticCustomError) as refused:
        checked_key(key)
    assert (refused.value.context or {})["expected"].startswith("1 to 255 printable ASCII characters")
