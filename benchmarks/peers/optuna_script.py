"""A sweep over alpha as Optuna's documentation has it: one process, `study.optimize`, optionally logged to MLflow.

python -m benchmarks.peers.optuna_script FOLDER --trials N --jobs 1|2 --out result.json
    [--tuned] [--threads T] [--mlflow URI]
"""

import time
from collections.abc import Callable
from functools import partial

import optuna
import torch

from .command import Result, peer_parser, write
from .practice import flat, train
from .work import Data, Work, read

Objective = Callable[[optuna.Trial], float]


def objective_of(work: Work, data: Data, *, tuned: bool, threads: int | None) -> Objective:
    """Trains one model and answers its balanced accuracy on the validation set."""

    def objective(trial: optuna.Trial) -> float:
        if threads:
            torch.set_num_threads(threads)
        result = train(work, data, suggest(trial, work), tuned=tuned)
        return finish(trial, result)

    return objective


def logged_objective_of(work: Work, data: Data, *, tuned: bool, threads: int | None, uri: str) -> Objective:
    """The same with one MLflow run a trial."""
    import mlflow  # two seconds, which a sweep that logs nothing does not need

    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment(work.dataset)

    def objective(trial: optuna.Trial) -> float:
        if threads:
            torch.set_num_threads(threads)
        alpha = suggest(trial, work)
        with mlflow.start_run(run_name=f"trial-{trial.number}"):
            mlflow.log_params(
                {
                    "alpha": alpha,
                    "dataset": work.dataset,
                    "model": work.model,
                    "epochs": work.epochs,
                    "batch_size": work.batch_size,
                    "lr": work.lr,
                    "weight_decay": work.weight_decay,
                    "seed": work.seed,
                }
            )
            result = train(
                work, data, alpha, lambda epoch, scores: mlflow.log_metrics(flat(scores), step=epoch), tuned=tuned
            )
        return finish(trial, result)

    return objective


def suggest(trial: optuna.Trial, work: Work) -> float:
    """This trial's alpha."""
    return trial.suggest_float("alpha", work.alpha.low, work.alpha.high, log=work.alpha.log)


def finish(trial: optuna.Trial, result: Result) -> float:
    """The number to maximise; the rest is kept with the trial."""
    trial.set_user_attr("result", result)
    balanced_accuracy = result["final"]["balanced_accuracy"]
    assert isinstance(balanced_accuracy, float)
    return balanced_accuracy


def main() -> None:
    """Runs the sweep."""
    arguments = peer_parser(__doc__)
    arguments.add_argument("--jobs", type=int, default=1, help="threads that train, each its own trial")
    arguments.add_argument("--mlflow", metavar="URI", help="the tracking server to log to")
    args = arguments.parse_args()
    work, data = read(args.folder)
    threads = args.threads or (1 if args.jobs > 1 else None)
    make = partial(logged_objective_of, uri=args.mlflow) if args.mlflow else objective_of
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=work.seed))
    objective = make(work, data, tuned=args.tuned, threads=threads)
    began = time.perf_counter()
    study.optimize(objective, n_trials=args.trials or work.trials, n_jobs=args.jobs)
    seconds = time.perf_counter() - began
    form = ", tuned" if args.tuned else ""
    logged = ", mlflow" if args.mlflow else ""
    side = f"optuna{form}, {args.jobs} job{'s' if args.jobs > 1 else ''}{logged}"
    write(args.out, side=side, seconds=seconds, trials=[trial.user_attrs["result"] for trial in study.trials])


if __name__ == "__main__":
    main()
