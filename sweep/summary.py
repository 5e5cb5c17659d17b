"""A sweep's summary run in MLflow: its results as a picture, a table and JSON."""

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict

from .errors import NotFound
from .figures import results_figure
from .predictions import is_dense, predictions_picture
from .results import Contender, Results, results
from .slots import Slot
from .store import Sweep
from .tracking import RESULTS_TAG, SUMMARY, SWEEP_TAG, TRIAL_TAG, Tracking

_log = logging.getLogger(__name__)


def write_summary(sweep: Sweep, slots: list[Slot], *, experiment_id: str, tracking: Tracking) -> None:
    """Writes the summary run, unless it is there already; one of other results, before a retry, goes."""
    found = results(sweep, slots)
    files = dict(artifacts(found, sweep))
    mark = hashlib.sha256(files["results.json"]).hexdigest()[:16]
    written = tracking.summaries(experiment_id)
    if mark in written.values():
        _delete(tracking, [run_id for run_id, other in written.items() if other != mark])
        return
    if is_dense(sweep) and any(scenario.best or scenario.baselines for scenario in found.scenarios):
        try:
            files["predictions.png"] = predictions_picture(sweep, slots, tracking)
        except NotFound as missing:  # somebody deleted a run's files; the rest is worth keeping
            _log.warning("no picture", extra={"action": "no_picture", "sweep": sweep.id, "reason": str(missing)})
    run_id = tracking.start(
        experiment_id,
        name=f"summary {sweep.name}",
        params={
            "dataset": sweep.spec.dataset.name,
            "loss": sweep.spec.loss.name,
            "objective": sweep.spec.objective,
        },
        tags={SWEEP_TAG: sweep.id, TRIAL_TAG: SUMMARY, RESULTS_TAG: mark, "mlflow.note.content": markdown(found)},
    )
    tracking.add_artifacts(run_id, files)
    tracking.end(run_id, "FINISHED")
    _delete(tracking, written)


def _delete(tracking: Tracking, outdated: Iterable[str]) -> None:
    for run_id in outdated:
        tracking.delete(run_id)


def artifacts(found: Results, sweep: Sweep) -> Mapping[str, bytes]:
    """The files of the summary run by name."""
    return {
        "results.json": json.dumps(asdict(found), indent=1).encode(),
        "results.md": markdown(found).encode(),
        "results.png": results_figure(found),
        "spec.json": sweep.spec.model_dump_json(indent=1).encode(),
    }


def markdown(found: Results) -> str:
    """The results as a Markdown table a scenario, with the verdicts and what they cannot tell."""
    parts = [f"# {found.name}", ""]
    for scenario in found.scenarios:
        parts += [
            f"## {scenario.profile}, ratio {scenario.ratio:g}",
            "",
            "| | validation | test |",
            "|---|---|---|",
        ]
        rows = [scenario.best, *scenario.baselines] if scenario.best else scenario.baselines
        parts += [
            f"| {_label(row)} | {_score(row, 'validation', found)} | {_score(row, 'test', found)} |" for row in rows
        ]
        parts += ["", *(f"- {gain.verdict}" for gain in scenario.gains), ""]
    return "\n".join([*parts, *(f"> {note}" for note in found.notes), ""])


def _label(contender: Contender) -> str:
    params = ", ".join(
        f"{name}={value:.3g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in contender.params.items()
    )
    return f"#{contender.trial} {contender.loss} {params}".strip()


def _score(contender: Contender, part: str, found: Results) -> str:
    score = (contender.validation if part == "validation" else contender.test)[found.objective]
    if score.low is None or score.high is None:
        return f"{score.mean:.3f}"
    return f"{score.mean:.3f} [{score.low:.3f}, {score.high:.3f}]"
