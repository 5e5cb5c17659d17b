"""A sweep over alpha as Ray Tune's documentation has it: OptunaSearch, as many processes as `--jobs`, a trial each.

python -m benchmarks.peers.ray_tune FOLDER --trials N --jobs 2 --out result.json [--tuned] [--threads T]

Ray starts the processes when a sweep begins. As imports are timed nowhere, the clock goes from the first trial's first
line to the last one's last.
"""

import sys
import tempfile
import time

import torch

try:
    import ray
    from ray import tune
    from ray.tune.search.optuna import OptunaSearch
except ImportError:
    ray = None

from .command import Result, peer_parser, write
from .practice import train
from .work import Data, Work, read


def trainable(config: dict[str, float], work: Work, data: Data, *, tuned: bool, threads: int | None) -> None:
    """Trains one model in a process of Ray's, and reports every epoch."""
    began = time.time()
    if threads:
        torch.set_num_threads(threads)
    result = train(work, data, config["alpha"], lambda epoch, scores: tune.report(dict(scores)), tuned=tuned)
    tune.report({**result, **result["final"], "began": began, "ended": time.time()})


def main() -> None:
    """Runs the sweep."""
    arguments = peer_parser(__doc__)
    arguments.add_argument("--jobs", type=int, default=2, help="processes that train, each its own trial")
    args = arguments.parse_args()
    if ray is None:
        sys.exit("Ray is not installed: pip install --require-hashes -r benchmarks/requirements.txt")
    work, data = read(args.folder)
    distribution = tune.loguniform if work.alpha.log else tune.uniform
    ray.init(num_cpus=args.jobs, include_dashboard=False, log_to_driver=False)
    with tempfile.TemporaryDirectory() as storage:
        # Ray gives a trial of one CPU OMP_NUM_THREADS=1, so torch has one thread unless --threads says otherwise.
        tuner = tune.Tuner(
            tune.with_resources(
                tune.with_parameters(trainable, work=work, data=data, tuned=args.tuned, threads=args.threads),
                {"cpu": 1},
            ),
            param_space={"alpha": distribution(work.alpha.low, work.alpha.high)},
            tune_config=tune.TuneConfig(
                metric="balanced_accuracy",
                mode="max",
                search_alg=OptunaSearch(seed=work.seed),
                num_samples=args.trials or work.trials,
                max_concurrent_trials=args.jobs,
                reuse_actors=True,  # else every trial starts a Python of its own
            ),
            run_config=tune.RunConfig(storage_path=storage, verbose=0),
        )
        results = tuner.fit()
    if results.errors:
        raise results.errors[0]
    ends = [result.metrics for result in results]
    trials = [Result(**{name: end[name] for name in Result.__annotations__}) for end in ends]
    seconds = max(end["ended"] for end in ends) - min(end["began"] for end in ends)
    side = f"ray tune{', tuned' if args.tuned else ''}, {args.jobs} jobs"
    write(args.out, side=side, seconds=seconds, trials=trials)
    ray.shutdown()


if __name__ == "__main__":
    main()
