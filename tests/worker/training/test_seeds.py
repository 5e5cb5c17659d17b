"""Streams of random numbers."""

import torch

from worker.training.seeds import Stream, stream_generator, stream_seed


def test_streams_and_seeds_all_differ() -> None:
    parts = [(), (0,), (1,), (0, 1)]
    seeds = {stream_seed(seed, stream, *part) for seed in range(100) for stream in Stream for part in parts}
    assert len(seeds) == 100 * 4 * 4


def test_a_stream_repeats_and_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    draws = [torch.rand(3, generator=stream_generator(2**40, Stream.ORDER)) for _ in range(2)]
    assert torch.equal(*draws)
    assert torch.equal(torch.get_rng_state(), before)


def test_what_a_seed_means_does_not_change() -> None:
    assert torch.randperm(6, generator=stream_generator(0, Stream.ORDER)).tolist() == [3, 4, 0, 2, 5, 1]
