"""Optuna's storage as the queue needs it: patient with a database that is away, and exact about who ended a trial."""

from collections.abc import Mapping

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage, get_storage
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from .database import engine_options, prepare
from .errors import LateTell, OtherVersion
from .patience import Patience, patiently
from .plan import StudyPlan
from .samplers import pruner_for, sampler_for, suggest
from .store import Sweep

_LATE = "The trial was ended by somebody else meanwhile."


class Trials:
    """The trials of every study, each change of which may be done twice; adding one may not, and is tried once.

    Raises:
        DatabaseAway: from every method, where the database stays away.
    """

    def __init__(self, url: str, *, patience: Patience) -> None:
        """Connects, making Optuna's tables or bringing them up to date: call it under `database.exclusive`."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        storage = RDBStorage(url, engine_kwargs=engine_options(url), skip_compatibility_check=True)
        prepare(storage.engine)
        storage.engine.dispose()
        _upgrade(storage)
        self.patience = patience
        self.version = storage.get_current_version()
        """Of Optuna's tables."""
        self._engine = storage.engine
        self._storage = get_storage(storage)

    def close(self) -> None:
        """Closes the connections that lie ready."""
        self._engine.dispose()

    def add(self, sweep: Sweep, plan: StudyPlan, *, slot: int, point: dict[str, float], **attrs: object) -> None:
        """Queues an attempt at a slot. It is not tried again: it may have been queued."""
        self._make(sweep, plan).enqueue_trial(point, user_attrs={"slot": slot, **attrs})

    @patiently
    def of(self, sweep: Sweep, plan: StudyPlan, *, states: tuple[TrialState, ...] | None = None) -> list[FrozenTrial]:
        """The trials of a study, or those in `states`; none where nothing of it is laid yet."""
        try:
            return self._study(sweep, plan).get_trials(deepcopy=False, states=states)
        except KeyError:
            return []

    @patiently
    def take(self, trial_id: int) -> bool:
        """True where the trial waited and runs now. After an outage in between it is nobody's: it has no name yet."""
        try:
            return self._storage.set_trial_state_values(trial_id, TrialState.RUNNING)
        except UpdateFinishedTrialError:
            return False

    @patiently
    def suggest(self, sweep: Sweep, plan: StudyPlan, waiting: FrozenTrial) -> tuple[Trial, dict[str, float]]:
        """A taken trial and its point; what was suggested before an outage stays."""
        number = waiting.user_attrs["slot"]
        trial = Trial(self._study(sweep, plan, number=number), waiting._trial_id)
        return trial, suggest(trial, plan.space)

    @patiently
    def note(self, trial_id: int, attrs: Mapping[str, object]) -> None:
        """Writes user attributes of a trial that has not ended. Raises LateTell."""
        self._note(trial_id, attrs)

    @patiently
    def report(self, trial: Trial, value: float, *, epoch: int) -> bool:
        """Reports the value after an epoch; True where the study's pruner would end the trial. Raises LateTell."""
        try:
            trial.report(value, epoch)
        except UpdateFinishedTrialError as error:
            raise LateTell(_LATE) from error
        return trial.should_prune()

    @patiently
    def tell(self, trial: Trial, state: TrialState, value: float | None, attrs: Mapping[str, object]) -> None:
        """Ends a running trial; well where it has just this end already, told before an outage. Raises LateTell."""
        try:
            self._note(trial._trial_id, attrs)
            trial.study.tell(trial, value, state=state)
        except (LateTell, ValueError) as error:  # Optuna says ValueError of a value that it cannot take, too
            found = self._storage.get_trial(trial._trial_id)
            if not found.state.is_finished():
                raise
            if not _is_as_told(found, state, attrs):
                raise LateTell(_LATE) from error

    @patiently
    def fail(self, trial_id: int, attrs: Mapping[str, object]) -> bool:
        """Ends a trial that waits or runs as failed; False where it has ended."""
        try:
            self._note(trial_id, attrs)
            return self._storage.set_trial_state_values(trial_id, TrialState.FAIL)
        except (LateTell, UpdateFinishedTrialError):
            return False

    def _study(self, sweep: Sweep, plan: StudyPlan, *, number: int | None = None) -> Study:
        return optuna.load_study(
            study_name=_name(sweep, plan),
            storage=self._storage,
            sampler=None if number is None else sampler_for(sweep.spec, number),
            pruner=pruner_for(sweep.spec, plan.key),
        )

    def _make(self, sweep: Sweep, plan: StudyPlan) -> Study:
        return optuna.create_study(
            study_name=_name(sweep, plan), storage=self._storage, direction="maximize", load_if_exists=True
        )

    def _note(self, trial_id: int, attrs: Mapping[str, object]) -> None:
        try:
            for name, content in attrs.items():
                self._storage.set_trial_user_attr(trial_id, name, content)
        except UpdateFinishedTrialError as error:
            raise LateTell(_LATE) from error


def _upgrade(storage: RDBStorage) -> None:
    known = storage.get_all_versions()  # the newest first; each question reads all of Optuna's migrations
    found, newest = storage.get_current_version(), known[0]
    if found not in known:
        raise OtherVersion(
            f"Optuna's tables are of version {found}, and this Optuna {optuna.__version__} knows versions up to"
            f" {newest}. Update Evenhand, or name another database in EVENHAND_DATABASE_URL."
        )
    if found != newest:
        storage.upgrade()


def _name(sweep: Sweep, plan: StudyPlan) -> str:
    return f"{sweep.id}/{plan.key}"


def _is_as_told(found: FrozenTrial, state: TrialState, attrs: Mapping[str, object]) -> bool:
    """Whether a finished trial has the end that its holder tells: nobody else completes it, others may fail it."""
    if found.state != state:
        return False
    return state == TrialState.COMPLETE or all(found.user_attrs.get(name) == attrs[name] for name in attrs)
