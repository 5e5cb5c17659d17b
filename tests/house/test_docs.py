"""What the docs promise is there, and what is there is documented."""

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from typer.main import get_command

from service.app import create_app
from service.cli import app as cli
from service.demo import DEMO_SWEEP
from sweep.problems import parse_sweep
from sweep.settings import Settings
from sweep.spec import SweepSpec

ROOT = Path(__file__).parents[2]
REFERENCE = (ROOT / "docs/reference.md").read_text()
DOCS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "loss/README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("field", sorted(Settings.model_fields))
def test_every_setting_is_in_the_reference(field: str) -> None:
    name = "MLFLOW_TRACKING_URI" if field == "mlflow_tracking_uri" else f"EVENHAND_{field.upper()}"
    assert f"| `{name}` |" in REFERENCE


def test_every_setting_in_the_reference_exists() -> None:
    named = re.findall(r"^\| `EVENHAND_([A-Z_]+)` \|", REFERENCE, re.MULTILINE)
    assert {name.lower() for name in named} == set(Settings.model_fields) - {"mlflow_tracking_uri"}


def test_every_setting_reaches_the_containers_with_its_default_and_is_named_where_people_look() -> None:
    compose, page = (ROOT / "docker-compose.yml").read_text(), (ROOT / "docs/containers.md").read_text()
    header = compose[: compose.index("name: evenhand")]
    passed = dict(re.findall(r"^ +EVENHAND_([A-Z_]+): \$\{EVENHAND_\1:-(.*)\}$", compose, re.MULTILINE))
    ours = {"DATA_DIR", "DATABASE_URL", "ALLOWED_HOSTS", "GPU", "LOG_JSON", "MLFLOW_TRACKING_URI"}
    assert {name.lower() for name in passed.keys() | ours} == set(Settings.model_fields)
    for name in passed:
        assert f"EVENHAND_{name}" in header and f"`EVENHAND_{name}`" in page, name
    default = Settings(**{name.lower(): value for name, value in passed.items()})  # type: ignore[arg-type]
    own = {"mlflow_public_url", "heartbeat_grace_s", "drain_timeout_s"}
    assert default.model_dump(exclude=own) == Settings().model_dump(exclude=own)


def test_every_route_is_in_the_reference_and_no_other() -> None:
    documented = set(re.findall(r"`((?:GET|POST) /[^`]*)`", REFERENCE))
    routes = {
        f"{method} {path}" for path, methods in create_app().openapi()["paths"].items() for method in _upper(methods)
    }
    assert documented - routes == {"GET /docs", "GET /openapi.json"}
    assert routes <= documented


def test_every_field_of_a_sweep_is_in_the_reference() -> None:
    for field in SweepSpec.model_fields:
        assert f"| `{field}` |" in REFERENCE, field


def test_every_command_is_in_the_reference_and_its_help_teaches() -> None:
    commands = get_command(cli).commands  # type: ignore[attr-defined]
    for name, command in commands.items():
        assert re.search(rf"`{name}[` ]", REFERENCE) or f"evenhand {name}" in REFERENCE, name
        assert command.help and command.help.rstrip().endswith("."), name
        for parameter in command.params:
            assert getattr(parameter, "help", None), f"{name} {parameter.name}"


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_paths_of_modules_that_are_named_exist(page: Path) -> None:
    for name in re.findall(r"`((?:loss|service|sweep|worker|tests)/[\w/.]+)`", page.read_text()):
        assert (ROOT / name).exists(), name


def test_bodies_in_the_docs_are_sweeps() -> None:
    bodies = re.findall(r"^\s*'(\{\"dataset\".*\})'", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert bodies
    for body in [*bodies, (ROOT / "examples/digits.json").read_text(), json.dumps(DEMO_SWEEP)]:
        assert parse_sweep(body).dataset.name == "digits"


def test_commands_in_the_readme_exist() -> None:
    text = (ROOT / "README.md").read_text()
    commands = get_command(cli).commands  # type: ignore[attr-defined]
    assert {shlex.split(line)[0] for line in re.findall(r"bin/evenhand ([^`#\n]+)", text)} <= set(commands)
    targets = set(re.findall(r"\bmake ([a-z-]+)", text)) - {"it"}
    for target in targets:
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), target


def test_ci_runs_what_the_readme_names() -> None:
    script = (ROOT / ".ci/run").read_text()
    assert "make check" in script and "make test" in script
    assert subprocess.run(["bash", "-n", ROOT / ".ci/run"], check=False).returncode == 0


def _upper(methods: dict[str, object]) -> set[str]:
    return {method.upper() for method in methods}
