"""Training on a GPU: members' steps a second over the width of the stack, and how far from the hardware's limit.

Needs torch and numpy alone, beside this repository's loss and worker.training, and makes its own data. Prints tables,
and keeps them with the same numbers as JSON in benchmarks/results/gpu*, but for a quick run. Under five minutes on one
GPU:

python -m benchmarks.gpu
python -m benchmarks.gpu --device cpu --quick   # only to see it run
"""

import argparse
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from statistics import median

import torch

from worker.training.cohort import Cohort
from worker.training.trial import Precision

from .gpu_sides import SHAPES, Apart, Gone, Plan, Side, made_up, members, rates
from .hardware import ADAMW_BYTES, copy_rate, flops_of, matmul_rate, parameters_of
from .measure import Ratio, keep

AIMS = {"mlp": 15.0, "small_cnn": 15.0, "resnet32": 5.0}
"""How many times one at a time the best width shall reach."""
PRECISIONS: Sequence[Precision] = ("float32", "tf32", "bfloat16")
RECORDED = "as by width, steps recorded as CUDA graphs"
RATE = "members × steps / s"
OVER_ONE = "over one at a time"
Row = dict[str, object]


def attempted(row: Row, work: Callable[[], Row], plan: Plan) -> Row:
    """The row with what the work found, or with a remark why it found nothing."""
    print(*row.values(), "...", file=sys.stderr)
    if plan.is_late:
        return row | {"remark": "no time was left"}
    try:
        return row | work()
    except (torch.OutOfMemoryError, Gone) as error:
        return row | {"remark": str(error).split(".")[0]}


def by_width(model: str, apart: Apart, plan: Plan) -> list[Row]:
    """Stacks of every width, one member at a time, and one in each of the processes apart, in turns."""
    data = made_up(model, rows=plan.steps * plan.batch, device=plan.device)
    alone = Side(model, 1, data, plan, precision=plan.precision)
    on_gpu = plan.device.type == "cuda"
    if apart.is_there:
        with suppress(Gone):  # the others are timed without
            apart.turn_to(model)

    def cell(width: int) -> Row:
        before = torch.cuda.memory_allocated() if on_gpu else 0
        if on_gpu:
            torch.cuda.reset_peak_memory_stats()
        together = Side(model, width, data, plan, precision=plan.precision)
        peak_mib = (torch.cuda.max_memory_allocated() - before) / 2**20 if on_gpu else 0
        found = rates({"alone": alone, "together": together} | ({"apart": apart} if apart.is_there else {}), plan)
        row: Row = {RATE: median(found["together"]), OVER_ONE: Ratio.of(found["together"], found["alone"])}
        if "apart" in found:
            row[f"over {plan.processes} processes"] = Ratio.of(found["together"], found["apart"])
        return row | ({"peak MiB": peak_mib, "MiB a member": peak_mib / width} if on_gpu else {})

    return [attempted({"model": model, "width": width}, partial(cell, width), plan) for width in plan.widths]


def by_precision(model: str, width: int, plan: Plan) -> list[Row]:
    """A stack in every precision that the device has, in turns."""
    data = made_up(model, rows=plan.steps * plan.batch, device=plan.device)
    names = [name for name in PRECISIONS if plan.device.type == "cuda" or name != "tf32"]

    def cell() -> Row:
        sides = {name: Side(model, width, data, plan, precision=name) for name in names}
        if plan.device.type == "cuda":
            sides[RECORDED] = Side(model, width, data, plan, precision=plan.precision, graphs=True)
        return {"found": rates(sides, plan)}

    row = attempted({"model": model, "width": width}, cell, plan)
    found = row.pop("found", None)
    if not isinstance(found, dict):
        return [row]
    return [
        row | {"precision": name, RATE: median(found[name]), "over float32": Ratio.of(found[name], found["float32"])}
        for name in found
    ]


def limits(model: str, widths: Sequence[Row], plan: Plan, *, matmul: float, copy: float) -> list[Row]:
    """How the rates of `by_width` stand to the arithmetic and the memory traffic that the device can do."""
    data = made_up(model, rows=plan.batch, device=torch.device("cpu"))
    (member,) = members(model, 1, batch=plan.batch, steps=1, precision="float32")
    flops, parameters = flops_of(Cohort([member], data).train_epoch), parameters_of(member, data)
    rows: list[Row] = []
    for row in widths:
        if isinstance(rate := row.get(RATE), float):
            rows.append({
                "model": model,
                "width": row["width"],
                "MFLOP a step": flops / 1e6,
                "TFLOP/s": rate * flops / 1e12,
                "% of a large product's": 100 * rate * flops / matmul,
                "AdamW's GB/s": rate * parameters * ADAMW_BYTES / 1e9,
                "% of a large copy's": 100 * rate * parameters * ADAMW_BYTES / copy,
            })  # fmt: skip
    return rows


def waits(model: str, precision: Precision, plan: Plan) -> Row:
    """Whether a training epoch of a stack of four makes the host wait for the GPU, and where in the code."""
    row: Row = {"model": model, "precision": precision}
    if plan.device.type != "cuda":
        return row | {"an epoch without waiting": "no GPU to wait for", "waits at": ""}
    data = made_up(model, rows=4 * plan.batch, device=plan.device)
    cohort = Cohort(members(model, 4, batch=plan.batch, steps=4, precision=precision), data)
    cohort.train_epoch()
    try:
        torch.cuda.set_sync_debug_mode("error")
        cohort.train_epoch()
        verdict, places = "yes", ""
    except RuntimeError:
        trace = [frame for frame in traceback.extract_tb(sys.exc_info()[2]) if "-packages" not in frame.filename]
        verdict, places = f"no: {Path(trace[-1].filename).name}:{trace[-1].lineno}", _all_waits(cohort)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return row | {"an epoch without waiting": verdict, "waits at": places}


def _all_waits(cohort: Cohort) -> str:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        cohort.train_epoch()
    count = Counter(
        f"{Path(one.filename).name}:{one.lineno}" for one in caught if "called a synchroniz" in str(one.message)
    )
    return ", ".join(f"{place} ({times} times in 4 steps)" for place, times in count.most_common())


def planned(device: torch.device, *, quick: bool) -> Plan:
    """How much is measured on this device."""
    if quick:
        return Plan(
            device=device, widths=(1, 2), batch=8, steps=2, cell_s=0.5, window_s=0.1, processes=2, matmul=512,
            deadline=time.monotonic() + 120,
        )  # fmt: skip
    # The last cell begins before the deadline, and ends within the five minutes.
    return Plan(
        device=device, widths=(1, 4, 16, 64, 128), batch=128, steps=20, cell_s=4.0, window_s=0.3, processes=4,
        matmul=8192 if device.type == "cuda" else 1024, deadline=time.monotonic() + 240,
    )  # fmt: skip


def squared(rows: Sequence[Row]) -> list[Row]:
    """Every row with every column, in the order in which they first come, remarks last."""
    columns = {column: "" for row in rows for column in row if column != "remark"}
    if any("remark" in row for row in rows):
        columns["remark"] = ""
    return [columns | row for row in rows]


def main() -> int:
    """Measures, prints and keeps the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"), help="cuda, the default, or cpu")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see it run: its numbers mean nothing")
    args = parser.parse_args()
    device, began = torch.device(args.device), time.monotonic()
    if device.type == "cuda" and not torch.cuda.is_available():
        built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
        print(
            f"Expected an NVIDIA GPU that torch {torch.__version__} ({built}) can use, got none. Install its driver, or"
            " a torch for CUDA; --device cpu --quick only tries the script.",
            file=sys.stderr,
        )
        return 1
    torch.set_num_threads(1)  # of the host, for all sides alike
    plan = planned(device, quick=args.quick)
    apart = Apart(plan)
    widths = {model: by_width(model, apart, plan) for model in SHAPES}
    failed = "" if apart.is_there else " (at least one of them failed, or took too long)"
    apart.leave()
    notes = [
        f"Batch {plan.batch}, AdamW, the adaptive loss, an alpha for every member, {plan.precision} (what a"
        f" worker takes), epochs of {plan.steps} steps as the trainer runs them, one batch of validation included.",
        f"{plan.processes} processes of one member each, spawned, train at the same time, in turns with the others,"
        f" for {plan.window_s:g} s a round{failed}.",
        *(_aim(model, rows) for model, rows in widths.items()),
    ]
    rows = [row for rows in widths.values() for row in rows]
    print(keep("gpu", squared(rows), notes=notes, quick=args.quick), end="\n\n")
    _limits_table(widths, plan, quick=args.quick)
    some = dict.fromkeys(plan.widths[at] for at in (0, len(plan.widths) // 2, -2))
    rows = [row for model in SHAPES for width in some for row in by_precision(model, width, plan)]
    notes = ["The precisions of a model and width in turns."]
    print(keep("gpu_precision", squared(rows), notes=notes, quick=args.quick), end="\n\n")
    rows = [waits(model, precision, plan) for model in SHAPES for precision in ("float32", "bfloat16")]
    notes = ["A training epoch under torch.cuda.set_sync_debug_mode: whether it runs with error, what warn tells."]
    print(keep("gpu_waits", rows, notes=notes, quick=args.quick))
    print(f"{time.monotonic() - began:.0f} s in all", file=sys.stderr)
    return 0


def _limits_table(widths: Mapping[str, Sequence[Row]], plan: Plan, *, quick: bool) -> None:
    torch.backends.cuda.matmul.fp32_precision = "ieee"
    dtype = torch.bfloat16 if plan.precision == "bfloat16" else torch.float32
    matmul = matmul_rate(plan.device, size=plan.matmul, dtype=dtype)
    copy = copy_rate(plan.device, mib=1024 if plan.device.type == "cuda" else 64)
    rows = [row for model in SHAPES for row in limits(model, widths[model], plan, matmul=matmul, copy=copy)]
    notes = [
        f"Measured in the same run: {matmul / 1e12:.3g} TFLOP/s in a {dtype} matrix product of {plan.matmul},"
        f" {copy / 1e9:.3g} GB/s in a copy (read and written).",
        f"FLOP of matrix products and convolutions, forward and backward; of AdamW the {ADAMW_BYTES} bytes a parameter"
        " that it must move at least.",
    ]
    if rows:
        print(keep("gpu_limits", rows, notes=notes, quick=quick), end="\n\n")


def _aim(model: str, rows: Sequence[Row]) -> str:
    reached = [ratio.median for row in rows if isinstance(ratio := row.get(OVER_ONE), Ratio)]
    best = max(reached, default=0.0)
    verdict = "met" if best >= AIMS[model] else "missed"
    return f"Aim of {model}: {AIMS[model]:g} times one at a time at some width, {verdict} ({best:.3g})."


if __name__ == "__main__":
    sys.exit(main())
