"""The shape of the house: small modules with their docstrings, arrows that hold, rows beside their functions."""

import ast
import doctest
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from sweep.losses import LOSSES
from sweep.models import MODELS, SMALLEST_IMAGE
from sweep.spec import OBJECTIVES
from worker.training import models
from worker.training.criterion import check_loss, loss_names
from worker.training.metrics import SCORES

ROOT = Path(__file__).parents[2]
MODULES = sorted(
    file.relative_to(ROOT)
    for package in ("loss", "service", "sweep", "worker")
    for file in (ROOT / package).rglob("*.py")
)
TESTS = sorted(file.relative_to(ROOT) for file in (ROOT / "tests").rglob("*.py"))
MAX_LINES = 250
NO_NOUNS = {"utils", "util", "helpers", "common", "manager", "misc"}


@pytest.mark.parametrize("path", MODULES + TESTS, ids=str)
def test_every_module_is_short_and_has_a_noun_for_a_name(path: Path) -> None:
    assert len((ROOT / path).read_text().splitlines()) <= MAX_LINES
    assert path.stem not in NO_NOUNS


@pytest.mark.parametrize("path", [path for path in MODULES if path.name != "__main__.py"], ids=str)
def test_imports_stand_at_the_top_and_docstrings_head_the_file(path: Path) -> None:
    tree = ast.parse((ROOT / path).read_text())
    assert ast.get_docstring(tree)
    inside = [
        getattr(node, "module", None)
        for function in ast.walk(tree)
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))
        for node in ast.walk(function)
        if isinstance(node, ast.ImportFrom | ast.Import)
    ]
    # torchvision may be missing on a GPU machine, and one model alone needs it.
    assert inside == (["torchvision.models"] if path == Path("worker/training/models.py") else [])


def test_the_arrows_between_the_packages_hold() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports")], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


@pytest.mark.parametrize("path", [p for p in MODULES if ">>>" in (ROOT / p).read_text()], ids=str)
def test_the_examples_in_docstrings_run(path: Path) -> None:
    found = doctest.testmod(importlib.import_module(".".join(path.with_suffix("").parts)))
    assert found.attempted > 0
    assert found.failed == 0


def test_every_loss_has_a_row_and_a_function_with_the_same_parameters() -> None:
    assert set(LOSSES) == set(loss_names())
    for name, row in LOSSES.items():
        numbers = {parameter.name: parameter.default for parameter in row.parameters}
        check_loss(name, numbers | {option.name: option.default for option in row.options})


def test_the_defaults_of_a_row_are_those_of_its_function() -> None:
    for name, row in LOSSES.items():
        taken = inspect.signature(_function(name)).parameters
        for known in (*row.parameters, *row.options):
            assert taken[known.name].default == known.default, f"{name}.{known.name}"


def test_every_model_has_a_row_and_a_builder_with_the_same_numbers() -> None:
    assert set(MODELS) == set(models.MODELS)
    for name, row in MODELS.items():
        taken = inspect.signature(models.MODELS[name]).parameters
        numbers = {known: p.default for known, p in taken.items() if p.kind is inspect.Parameter.KEYWORD_ONLY}
        assert numbers == {parameter.name: parameter.default for parameter in row.parameters}, name
    assert models.SMALLEST_IMAGE == SMALLEST_IMAGE


def test_every_objective_is_a_metric() -> None:
    assert set(OBJECTIVES) <= {*SCORES, "mean_iou"}


def _function(name: str) -> object:
    package = importlib.import_module("loss")
    return package.AdaptiveLoss if name == "adaptive" else getattr(package, name)
