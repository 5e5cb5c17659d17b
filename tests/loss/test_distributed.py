"""AdaptiveLoss on several ranks: two real processes over gloo."""

from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from loss import AdaptiveLoss

ALPHA, CLASSES, STEPS = 0.3, 4, 5


def _batch(seed: int, *, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(10 * seed + rank)
    elements = 5 + rank  # unequal, so that a mean of the ranks' rates would be found out
    logits = torch.randn(elements, CLASSES, dtype=torch.float64, generator=generator)
    return logits, torch.randint(0, 2 + rank, (elements,), generator=generator)


def _train(rank: int, folder: Path) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    criterion = AdaptiveLoss(CLASSES, ALPHA).double()
    losses = torch.stack([criterion(*_batch(seed, rank=rank)) for seed in range(STEPS)])
    torch.save((losses, criterion.importance), folder / f"rank{rank}.pt")
    dist.destroy_process_group()


def test_two_ranks_hold_the_importance_of_the_joined_batch(tmp_path):
    mp.spawn(_train, args=(tmp_path,), nprocs=2)
    (losses0, importance0), (losses1, importance1) = (torch.load(tmp_path / f"rank{rank}.pt") for rank in (0, 1))
    joined = AdaptiveLoss(CLASSES, ALPHA).double()
    expected = []
    for seed in range(STEPS):
        parts = [_batch(seed, rank=rank) for rank in (0, 1)]
        expected.append(joined(*(torch.cat(tensors) for tensors in zip(*parts, strict=True))))
    assert torch.equal(importance0, importance1)
    assert torch.equal(importance0, joined.importance)
    torch.testing.assert_close((5 * losses0 + 6 * losses1) / 11, torch.stack(expected), rtol=1e-12, atol=0)
