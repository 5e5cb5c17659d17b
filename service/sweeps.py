"""Routes of sweeps."""

from collections.abc import Collection
from typing import Annotated, Literal, get_args

from fastapi import APIRouter, BackgroundTasks, Query, Response

from sweep.disk import check_space
from sweep.errors import Conflict
from sweep.measured import measured
from sweep.parts import Parts
from sweep.resolve import resolve
from sweep.results import results
from sweep.settings import Settings
from sweep.slots import progress
from sweep.spec import SweepSpec
from sweep.store import PAUSES, DatasetMark, Sweep, SweepState, Wanted
from sweep.submission import Submission

from .body import MAX_BODY_BYTES
from .context import PartsOf, SettingsOf, SubmissionOf
from .problem import CONTENT
from .views import ResultsView, SweepList, SweepView, sweep_state, sweep_view

router = APIRouter(prefix="/v1/sweeps", tags=["sweeps"])
_SUBMITTED: dict[int | str, dict[str, object]] = {
    201: {
        "headers": {
            "Location": {"description": "the sweep", "schema": {"type": "string"}},
            "Idempotency-Replayed": {
                "description": "true where the sweep was taken before, under the same key",
                "schema": {"type": "string"},
            },
        }
    },
    413: {"description": f"The body is larger than {MAX_BODY_BYTES:,} bytes", "content": CONTENT},
}


@router.post("", status_code=201, responses=_SUBMITTED)
def submit(
    spec: SweepSpec,
    submission: SubmissionOf,
    response: Response,
    later: BackgroundTasks,
    parts: PartsOf,
    settings: SettingsOf,
) -> SweepView:
    """Submits a sweep; the answer shows it with every default filled in.

    Once it is answered the sweep is promised: whoever reconciles next lays what a crash leaves of its slots.
    Under an `Idempotency-Key` that came before it is the sweep of then, with `Idempotency-Replayed: true`.
    """
    sweep, is_new = _taken(spec, submission, parts, settings)
    later.add_task(parts.reconciler.look_at, sweep)
    response.headers["Location"] = f"/v1/sweeps/{sweep.id}"
    if not is_new:
        response.headers["Idempotency-Replayed"] = "true"
    return _view(sweep, parts, settings)


@router.get("")
def list_sweeps(
    parts: PartsOf,
    settings: SettingsOf,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: str | None = None,
    state: SweepState | None = None,
    name: str | None = None,
) -> SweepList:
    """Lists sweeps, the newest first; `name` narrows to names that contain it."""
    stored = "open" if state in ("queued", "running", "paused") else state
    found = parts.store.page(limit=limit + 1, before=cursor, state=stored, name=name)
    views = [_view(sweep, parts, settings) for sweep in found[:limit]]
    return SweepList(
        items=[view for view in views if state in (None, view.state)],
        next_cursor=found[limit - 1].id if len(found) > limit else None,
    )


@router.get("/{sweep_id}")
def show(sweep_id: str, parts: PartsOf, settings: SettingsOf) -> SweepView:
    """One sweep with its scenarios, its progress and links to MLflow."""
    return _view(parts.store.get(sweep_id), parts, settings)


@router.post("/{sweep_id}/pause")
def pause(
    sweep_id: str,
    parts: PartsOf,
    settings: SettingsOf,
    running: Annotated[Literal["finish", "requeue"], Query(description="what becomes of running trials")] = "finish",
) -> SweepView:
    """Pauses a sweep: no trial begins; running ones finish, or are queued again within seconds."""
    wanted: Wanted = "pause" if running == "finish" else "pause_now"
    _want(wanted, sweep_id, parts, instead_of=("run", *PAUSES), can="paused")
    return _view(parts.store.get(sweep_id), parts, settings)


@router.post("/{sweep_id}/resume")
def resume(sweep_id: str, parts: PartsOf, settings: SettingsOf) -> SweepView:
    """Goes on with a paused sweep."""
    _want("run", sweep_id, parts, instead_of=PAUSES, can="resumed, where it is paused")
    return _view(parts.store.get(sweep_id), parts, settings)


@router.post("/{sweep_id}/retry")
def retry(sweep_id: str, parts: PartsOf, settings: SettingsOf) -> SweepView:
    """Tries the failed trials of a sweep again, each at its point; a sweep that had ended is open from then on."""
    parts.reconciler.retry(parts.store.get(sweep_id))
    return _view(parts.store.get(sweep_id), parts, settings)


@router.post("/{sweep_id}/cancel")
def cancel(sweep_id: str, later: BackgroundTasks, parts: PartsOf, settings: SettingsOf) -> SweepView:
    """Cancels a sweep: waiting trials end at once, running ones within seconds; what was recorded stays."""
    sweep = parts.store.get(sweep_id)
    _want("cancel", sweep_id, parts, instead_of=get_args(Wanted), can="cancelled")
    parts.studies.cancel_waiting(parts.studies.slots(sweep))
    later.add_task(parts.reconciler.look_at, sweep)
    return _view(parts.store.get(sweep_id), parts, settings)


@router.get("/{sweep_id}/results")
def show_results(sweep_id: str, parts: PartsOf) -> ResultsView:
    """Per scenario: the best point with its interval, its equals, the baselines, and the gain over each."""
    sweep = parts.store.get(sweep_id)
    slots = parts.studies.slots(sweep)
    found = results(sweep, slots)
    return ResultsView(
        sweep=found.sweep,
        name=found.name,
        state=sweep_state(sweep, progress(slots)),
        objective=found.objective,
        classes=found.classes,
        replicates=found.replicates,
        scenarios=found.scenarios,
        notes=found.notes,
    )


def _taken(spec: SweepSpec, submission: Submission | None, parts: Parts, settings: Settings) -> tuple[Sweep, bool]:
    """The sweep that is stored now, or that of an earlier request, which nothing that changed since can refuse."""
    if submission is not None:
        earlier = parts.store.submitted(submission)
        if earlier is not None:
            return earlier, False
    check_space(settings)
    info = parts.datasets.info(spec.dataset.name, options=spec.dataset.params)
    resolved = measured(resolve(spec, info), info, parts.datasets)
    return parts.store.add_once(resolved, DatasetMark(classes=info.classes, content=info.content), submission)


def _want(wanted: Wanted, sweep_id: str, parts: Parts, *, instead_of: Collection[Wanted], can: str) -> None:
    if not parts.store.want(sweep_id, wanted, instead_of=instead_of):
        sweep = parts.store.get(sweep_id)
        state = sweep.state or f"to {sweep.wanted.replace('_', ' ')}"
        raise Conflict(f"Sweep {sweep_id} is {state}; only a sweep that has not ended can be {can}.")


def _view(sweep: Sweep, parts: PartsOf, settings: SettingsOf) -> SweepView:
    counts = dict(sweep.progress) if sweep.progress else progress(parts.studies.slots(sweep))
    return sweep_view(sweep, counts, settings)
