"""Draws are functions of (seed, step, stream, index) and have the distribution they should."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gnn.sampling import Batches, NegativeSampler, Stream, normal, permutation, uniform

CPU = torch.device("cpu")


def splitmix(index: int, seed: int, step: int, stream: int) -> float:
    """The same function in Python's unbounded integers."""
    mask = (1 << 64) - 1

    def finish(x: int) -> int:
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
        return x ^ (x >> 31)

    def mix(x: int) -> int:
        return finish((x + 0x9E3779B97F4A7C15) & mask)

    key = mix((mix((mix(seed & mask) + step) & mask) + stream) & mask)
    return (finish((index * 0x9E3779B97F4A7C15 + key) & mask) >> 11) / 2**53


@pytest.mark.parametrize("seed", [0, 7, -3, 2**62])
def test_a_draw_depends_on_its_place_alone(seed: int) -> None:
    index = torch.tensor([0, 1, 5, 10**12])
    drawn = uniform(index, seed=seed, step=4, stream=Stream.NEGATIVES)
    assert drawn.tolist() == [splitmix(int(i), seed, 4, Stream.NEGATIVES) for i in index]
    assert uniform(index.flip(0), seed=seed, step=4, stream=Stream.NEGATIVES).flip(0).tolist() == drawn.tolist()


def test_draws_are_uniform_and_streams_apart() -> None:
    index = torch.arange(50_000)
    first = uniform(index, seed=0, step=1, stream=Stream.NEGATIVES).numpy()
    others = [
        uniform(index, seed=1, step=1, stream=Stream.NEGATIVES),
        uniform(index, seed=0, step=2, stream=Stream.NEGATIVES),
        uniform(index, seed=0, step=1, stream=Stream.COLD_ITEMS),
        uniform(index + 1, seed=0, step=1, stream=Stream.NEGATIVES),
    ]
    counts = np.histogram(first, bins=20, range=(0, 1))[0]
    assert ((counts - 2500) ** 2 / 2500).sum() < 50  # chi squared, 19 degrees of freedom: p below 0.0002
    for other in others:
        assert abs(np.corrcoef(first, other.numpy())[0, 1]) < 0.02


def test_normal_columns_do_not_depend_on_who_holds_them() -> None:
    rows, columns = torch.arange(4000), torch.arange(8)
    whole = normal(rows, columns, seed=1, stream=Stream.START)
    torch.testing.assert_close(normal(rows, columns[3:5], seed=1, stream=Stream.START), whole[:, 3:5], rtol=0, atol=0)
    assert float(whole.mean()) == pytest.approx(0, abs=0.02)
    assert float(whole.std()) == pytest.approx(1, abs=0.02)


def test_a_permutation_has_everything_once() -> None:
    order = permutation(torch.arange(1000), seed=0, step=3, stream=Stream.SHUFFLE)
    assert sorted(order.tolist()) == list(range(1000))
    assert order.tolist() != list(range(1000))


@pytest.mark.parametrize(("count", "size"), [(10, 3), (10, 5), (4, 9), (7, 7)])
def test_batches_walk_through_all_pairs_pass_by_pass(count: int, size: int) -> None:
    batches = Batches(count, size, seed=0, device=CPU)
    steps = [batches(step).tolist() for step in range(4 * count)]
    assert {len(step) for step in steps} == {min(count, size)}
    flat = [pair for step in steps for pair in step]
    for start in range(0, len(flat) - count + 1, count):
        assert sorted(flat[start : start + count]) == list(range(count))
    again = Batches(count, size, seed=0, device=CPU)
    assert again(9).tolist() == steps[9]  # a resumed training starts in the middle


def test_what_belongs_together_is_cut_at_the_ends_of_a_batch_alone() -> None:
    groups = torch.tensor([7, 7, 7, 0, 3, 3, 9, 9, 9, 9, 2, 2])
    batches = Batches(len(groups), 5, seed=1, device=CPU, together=groups)
    flat = torch.cat([batches(step) for step in range(12)])
    orders = set()
    for start in range(0, 60, 12):
        order = groups[flat[start : start + 12]]
        runs = order.unique_consecutive().tolist()
        assert sorted(runs) == [0, 2, 3, 7, 9]
        orders.add(tuple(runs))
        assert sorted(flat[start : start + 12].tolist()) == list(range(12))
    assert len(orders) > 1


def test_negatives_follow_popularity() -> None:
    popularity = np.array([100, 50, 0, 10, 1])
    sampler = NegativeSampler(popularity, power=1.0, allowed=np.array([0, 1, 3, 4]), device=CPU)
    drawn = sampler(100_000, seed=0, step=0, stream=Stream.NEGATIVES)
    share = torch.bincount(drawn, minlength=5).numpy() / 100_000
    np.testing.assert_allclose(share, np.array([100, 50, 0, 10, 1]) / 161, atol=0.01)
    np.testing.assert_allclose(sampler.log_q.exp().numpy(), np.array([100, 50, 0, 10, 1]) / 161)
    flat = NegativeSampler(popularity, power=0.0, allowed=None, device=CPU)
    assert flat.log_q.exp().numpy() == pytest.approx([0.2] * 5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_draws_the_same() -> None:
    index = torch.arange(1000)
    here = uniform(index, seed=5, step=2, stream=Stream.START)
    there = uniform(index.to("cuda"), seed=5, step=2, stream=Stream.START)
    assert torch.equal(here, there.cpu())
