"""How the `evenhand` command speaks: answers on standard output, the rest on standard error."""

import json
from collections.abc import Callable
from typing import Annotated

import typer
from rich.console import Console, RenderableType

from .client import Answer

out = Console()
err = Console(stderr=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def show(answer: Answer | list[Answer], as_json: bool, view: RenderableType) -> None:
    """The answer as JSON, or its view for a person."""
    if as_json:
        print(json.dumps(answer, indent=2), flush=True)
    else:
        out.print(view, soft_wrap=isinstance(view, str))


def say_line(console: Console) -> Callable[[str, str], None]:
    """Says lines of processes on a console, each behind the name of its process."""

    def say(name: str, line: str) -> None:
        console.print(f"{name:<9}│ {line}", markup=False, highlight=False, soft_wrap=True)

    return say
