"""Recomputation changes memory and time, and nothing else."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from train.model import DualHRNet, ModelConfig, build_network
from train.model.inference_form import inference_form
from train.model.recompute import recomputed
from train.model.statistics import still_statistics

NETWORKS = [{}, {"architecture": "si-analytics"}, {"streams": "siamese"}, {"streams": "single"}]


def _network(config: ModelConfig, **options: object) -> DualHRNet:
    """Two modules in a stage, so that one feeds another."""
    given = config.model_dump(exclude_defaults=True)
    return build_network(
        ModelConfig.model_validate({**given, "modules": (1, 2, 1), **options}), 0
    ).train()


def _gradients(network: nn.Module, images: Tensor) -> list[Tensor]:
    network.zero_grad()
    building, damage = network(*images)
    (building.float().square().mean() + damage.float().square().mean()).backward()
    return [p.grad.clone() for p in network.parameters()]


def _all_equal(ours: list[Tensor], expected: list[Tensor]) -> bool:
    return len(ours) > 0 and all(torch.equal(a, b) for a, b in zip(ours, expected, strict=True))


@pytest.mark.parametrize("options", NETWORKS)
def test_steps_are_the_same_with_and_without(small_config: ModelConfig, options: dict) -> None:
    kept = _network(small_config, **options).double()
    recomputing = copy.deepcopy(kept)
    recomputing.recompute = True
    optimizers = [torch.optim.Adam(n.parameters(), 1e-2) for n in (kept, recomputing)]
    for _ in range(3):
        images = torch.randn(2, 2, 3, 64, 64, dtype=torch.float64)
        assert _all_equal(_gradients(recomputing, images), _gradients(kept, images))
        for optimizer in optimizers:
            optimizer.step()
    ours, expected = recomputing.state_dict(), kept.state_dict()
    assert list(ours) == list(expected)
    assert _all_equal(list(ours.values()), list(expected.values()))
    assert kept.pre.bn1.num_batches_tracked == (6 if options.get("streams") == "siamese" else 3)


@pytest.mark.parametrize("options", NETWORKS)
def test_fewer_activations_are_kept_for_the_backward_pass(
    small_config: ModelConfig, options: dict
) -> None:
    network = _network(small_config, **options)
    images = torch.randn(2, 2, 3, 64, 64)
    kept = []
    for network.recompute in (False, True):
        sizes: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t, sizes=sizes: sizes.append(t.nbytes) or t, lambda t: t
        ):
            network(*images)
        kept.append(sum(sizes))
    assert kept[1] < 0.2 * kept[0]


def test_recomputing_repeats_the_autocast(small_config: ModelConfig) -> None:
    network = _network(small_config)
    images = torch.randn(2, 2, 3, 64, 64)
    found = []
    for network.recompute in (False, True):
        with torch.autocast("cpu", torch.bfloat16):
            assert network(*images)[0].dtype == torch.bfloat16
            found.append(_gradients(network, images))
    assert _all_equal(*found)
    full_precision = _gradients(network, images)
    assert not _all_equal(found[1], full_precision)


@pytest.fixture
def process_group() -> Iterator[None]:
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("process_group")
@pytest.mark.parametrize("options", NETWORKS)
def test_data_parallel_gradients_are_the_same(small_config: ModelConfig, options: dict) -> None:
    network = _network(small_config, **options)
    images = torch.randn(2, 2, 3, 64, 64)
    expected = _gradients(network, images)
    network.recompute = True
    parallel = DistributedDataParallel(network)
    for _ in range(2):
        assert _all_equal(_gradients(parallel, images), expected)


def test_a_compiled_part_counts_a_batch_once_too() -> None:
    part = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    eager = copy.deepcopy(part)
    compiled = torch.compile(lambda x: recomputed(part, part, x), backend="aot_eager")
    batch = torch.randn(2, 3, 8, 8)
    for forward in (compiled, eager):
        forward(batch).square().mean().backward()
    for ours, expected in zip(part.state_dict().values(), eager.state_dict().values(), strict=True):
        torch.testing.assert_close(ours, expected)
    for ours, expected in zip(part.parameters(), eager.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, expected.grad)


def test_inference_does_not_recompute(small_config: ModelConfig) -> None:
    network = _network(small_config)
    expected = inference_form(network)
    network.recompute = True
    form = inference_form(network)
    assert form.code == expected.code
    images = torch.randn(2, 1, 3, 64, 64)
    assert torch.equal(form(*images), expected(*images))


@pytest.mark.parametrize("kind", [nn.BatchNorm2d, nn.SyncBatchNorm])
@pytest.mark.parametrize("momentum", [0.1, None])
def test_still_statistics_are_neither_moved_nor_counted(
    kind: type[nn.Module], momentum: float | None
) -> None:
    norm = kind(3, momentum=momentum, affine=False)
    batch = 5 + 2 * torch.randn(4, 3, 8, 8)
    norm(batch)
    before = {name: tensor.clone() for name, tensor in norm.state_dict().items()}
    same = [tensor.data_ptr() for tensor in norm.buffers()]
    with still_statistics(nn.Sequential(norm)):
        y = norm(batch * 3)
    torch.testing.assert_close(y.mean((0, 2, 3)), torch.zeros(3), rtol=0, atol=1e-5)
    torch.testing.assert_close(y.var((0, 2, 3)), torch.ones(3), rtol=0, atol=1e-2)
    with pytest.raises(ZeroDivisionError):
        _fail_inside(norm, torch.full_like(batch, torch.inf))
    assert all(torch.equal(before[name], t) for name, t in norm.state_dict().items())
    assert [tensor.data_ptr() for tensor in norm.buffers()] == same
    norm(batch)
    assert norm.num_batches_tracked == 2


def _fail_inside(norm: nn.Module, batch: Tensor) -> None:
    with still_statistics(norm):
        norm(batch)
        raise ZeroDivisionError


def test_frozen_norms_keep_using_their_running_statistics() -> None:
    norm = nn.BatchNorm2d(3).eval()
    norm.running_mean.fill_(2)
    batch = torch.randn(2, 3, 4, 4)
    expected = norm(batch)
    with still_statistics(norm):
        assert torch.equal(norm(batch), expected)
