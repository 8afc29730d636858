"""Optimiser steps: the same however their pairs are spread; precision, averaging, bad numbers."""

from __future__ import annotations

import contextlib
import copy
import functools
import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.multiprocessing

from runtime.errors import ConfigError, ToolkitError
from train.config import TrainConfig
from train.convolutions import searched
from train.distributed import World, pick_device, world
from train.learner import Learner
from train.model import ModelConfig, build_network
from train.resume_checks import fault_of_optimizer

MODEL = {
    "width": 8, "stem_width": 8, "bottlenecks": 1, "modules": (1, 1, 1), "blocks": 1,
    "projection": 16, "head_widths": (16, 8),
}  # fmt: skip
ALONE = World(0, 1, torch.device("cpu"))
EXACT = {"optimizer": "sgd", "freeze_batch_norm": True, "precision": "fp32"}
EVERY_LOSS = {
    "building": {"cross_entropy": 0.4, "dice": 0.4, "lovasz": 0.2},
    "damage": {"cross_entropy": 0.4, "focal": 0.2, "lovasz": 0.2, "ordinal": 0.2},
}
STEPS, PAIRS = 10, 4


def _config(loss: dict | None = None, **optim: object) -> TrainConfig:
    return TrainConfig.model_validate({"model": MODEL, "optim": optim, "loss": loss or {}})


@functools.cache
def _batches(size: int = 64) -> list[dict]:
    """Ten batches of four pairs, whose tiles hold very different amounts of building."""
    random = np.random.default_rng(0)
    batches = []
    for _ in range(STEPS):
        images = {name: random.integers(0, 256, (PAIRS, size, size, 3)) for name in ("pre", "post")}
        damage = random.integers(0, 6, (PAIRS, size, size))
        damage[damage == 5] = 255
        damage[0, :, 5:] = damage[1, 7:] = 0
        arrays = images | {"damage": damage, "building": damage > 0}
        batch = {name: torch.from_numpy(a.astype(np.uint8)) for name, a in arrays.items()}
        batches.append(batch | {"name": [f"t{i}" for i in range(PAIRS)]})
    return batches


def _part(batch: dict, part: slice) -> dict:
    return {name: value[part] for name, value in batch.items()}


def _learn(
    config: TrainConfig, group: World = ALONE, accumulate: int = 1
) -> tuple[dict[str, torch.Tensor], list[float]]:
    """Weights after ten float64 steps, and the losses on the way."""
    network = build_network(ModelConfig.model_validate(MODEL), 3).double()
    learner = Learner(network, config, group)
    share = PAIRS // (group.size * accumulate)
    losses = []
    for batch in _batches():
        first = group.rank * share * accumulate
        parts = [
            _part(batch, slice(first + i * share, first + (i + 1) * share))
            for i in range(accumulate)
        ]
        losses.append(learner.step(parts, 0.05).losses["loss"])
    return learner.network.state_dict(), losses


def _learn_on_rank(rank: int, port: int, config: TrainConfig, accumulate: int, out: str) -> None:
    os.environ |= {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
    }  # fmt: skip
    torch.set_num_threads(1)
    with world("cpu") as group:
        torch.save(_learn(config, group, accumulate), Path(out) / f"{rank}.pt")


@pytest.mark.parametrize(
    ("accumulate", "loss"),
    [(1, {}), (1, EVERY_LOSS), (2, EVERY_LOSS)],
    ids=["default-losses", "every-loss", "every-loss-in-two-passes"],
)
def test_two_processes_learn_what_one_does(
    tmp_path: Path, free_port: int, accumulate: int, loss: dict
) -> None:
    config = _config(loss, **EXACT)
    alone, losses = _learn(config)
    torch.multiprocessing.spawn(
        _learn_on_rank, (free_port, config, accumulate, str(tmp_path)), nprocs=2
    )
    for rank in (0, 1):
        together, shared_losses = torch.load(tmp_path / f"{rank}.pt")
        for name, value in alone.items():
            torch.testing.assert_close(together[name], value, rtol=0, atol=1e-9)
        assert shared_losses == pytest.approx(losses, rel=1e-9)


@pytest.mark.parametrize(("accumulate", "loss"), [(2, {}), (2, EVERY_LOSS), (4, EVERY_LOSS)])
def test_accumulation_learns_what_one_batch_does(accumulate: int, loss: dict) -> None:
    config = _config(loss, **EXACT)
    alone, losses = _learn(config)
    spread, spread_losses = _learn(config, accumulate=accumulate)
    for name, value in alone.items():
        torch.testing.assert_close(spread[name], value, rtol=0, atol=1e-9)
    assert spread_losses == pytest.approx(losses, rel=1e-9)
    start = build_network(ModelConfig.model_validate(MODEL), 3).double().state_dict()
    assert not torch.allclose(alone["pre.conv1.weight"], start["pre.conv1.weight"], atol=1e-4)


def test_accumulation_counts_each_batch_once_in_the_running_statistics() -> None:
    config = _config(optimizer="sgd")
    network = build_network(ModelConfig.model_validate(MODEL), 0)
    learner = Learner(network, config, ALONE)
    batch = _batches()[0]
    learner.step([_part(batch, slice(0, 2)), _part(batch, slice(2, 4))], 1e-3)
    assert network.pre.bn1.num_batches_tracked == 2


def test_frozen_batch_norms_keep_their_statistics() -> None:
    network = build_network(ModelConfig.model_validate(MODEL), 0)
    learner = Learner(network, _config(freeze_batch_norm=True), ALONE)
    before = {name: buffer.clone() for name, buffer in network.named_buffers()}
    learner.step(_batches()[:1], 1e-3)
    assert all(torch.equal(before[name], buffer) for name, buffer in network.named_buffers())


def test_the_average_follows_the_weights_by_its_rule() -> None:
    network = build_network(ModelConfig.model_validate(MODEL), 0)
    learner = Learner(network, _config(ema=0.5), ALONE)
    expected = network.heads.damage[-1].weight.detach().clone()
    for done, batch in enumerate(_batches()[:3], start=1):
        learner.step([batch], 1e-2)
        keep = min(0.5, (1 + done) / (10 + done))
        expected = keep * expected + (1 - keep) * network.heads.damage[-1].weight.detach()
    found = learner.deployed.heads.damage[-1].weight
    torch.testing.assert_close(found, expected)
    assert not torch.allclose(found, network.heads.damage[-1].weight)
    assert learner.deployed.pre.bn1.num_batches_tracked == 3


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_lower_precision_gives_nearly_the_same_loss(precision: str) -> None:
    losses = []
    for each in ("fp32", precision):
        network = build_network(ModelConfig.model_validate(MODEL), 0)
        learner = Learner(network, _config(precision=each), ALONE)
        losses.append(learner.step(_batches()[:1], 1e-3).losses["loss"])
        assert all(p.dtype == torch.float32 for p in network.parameters())
    assert learner.scaler.is_enabled() == (precision == "fp16")
    exact, found = losses
    assert found == pytest.approx(exact, rel=0.03)
    assert found != exact


def test_fp16_skips_a_step_whose_scaled_gradient_overflows_and_goes_on() -> None:
    network = build_network(ModelConfig.model_validate(MODEL), 0)
    learner = Learner(network, _config(precision="fp16"), ALONE)
    learner.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**120)
    before = network.pre.conv1.weight.detach().clone()
    learner.step(_batches()[:1], 1e-3)
    assert torch.equal(network.pre.conv1.weight, before)
    assert learner.scaler.get_scale() == 2.0**119


def test_the_gradient_is_clipped_to_its_largest_norm() -> None:
    config = _config(optimizer="sgd", momentum=0, weight_decay=0, clip_norm=0.01)
    network = build_network(ModelConfig.model_validate(MODEL), 0)
    before = [p.detach().clone() for p in network.parameters()]
    report = Learner(network, config, ALONE).step(_batches()[:1], 1.0)
    moved = torch.cat(
        [(p - b).flatten() for p, b in zip(network.parameters(), before, strict=True)]
    )
    assert report.gradient_norm > 0.01
    assert moved.norm().item() == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_every_optimizer_learns(optimizer: str) -> None:
    network = build_network(ModelConfig.model_validate(MODEL), 0)
    learner = Learner(network, _config(optimizer=optimizer), ALONE)
    batch = _batches()[:1]
    losses = [learner.step(batch, 0.01).losses["loss"] for _ in range(8)]
    assert losses[-1] < 0.9 * losses[0]


def test_a_loss_that_is_no_number_names_the_tiles_and_changes_nothing() -> None:
    network = build_network(ModelConfig.model_validate(MODEL), 0)
    learner = Learner(network, _config(), ALONE)
    with torch.no_grad():
        network.heads.damage[-1].bias[2] = float("nan")
    before = network.pre.conv1.weight.detach().clone()
    with pytest.raises(ToolkitError, match="the loss is nan on t0, t1, t2, t3"):
        learner.step(_batches()[:1], 1e-3)
    assert torch.equal(before, network.pre.conv1.weight)


def test_of_several_passes_the_one_with_the_bad_number_is_named() -> None:
    network = build_network(ModelConfig.model_validate(MODEL), 0).eval()
    learner = Learner(network, _config(freeze_batch_norm=True), ALONE)
    batch = _batches()[0]
    broken = _part(batch, slice(2, 3))
    normal = learner._images
    learner._images = lambda b: [x * float("nan") if b["name"] == ["t2"] else x for x in normal(b)]
    with pytest.raises(ToolkitError, match="the loss is nan on t2$"):
        learner.step([_part(batch, slice(0, 2)), broken], 1e-3)


def test_a_gradient_that_stays_unusable_in_fp16_ends_the_run() -> None:
    network = build_network(ModelConfig.model_validate(MODEL), 0)
    learner = Learner(network, _config(precision="fp16", ema=0.5), ALONE)
    learner.scaler = torch.amp.GradScaler("cpu", init_scale=2.0)
    network.pre.conv1.weight.register_hook(lambda gradient: gradient * float("inf"))
    batch = _batches()[:1]
    for scale in (1.0, 0.5):  # left out, and the scale is halved
        learner.step(batch, 1e-3)
        assert learner.scaler.get_scale() == scale
    with pytest.raises(ToolkitError, match="the gradient's norm is (nan|inf) on t0, t1, t2, t3"):
        learner.step(batch, 1e-3)
    assert learner.average.updates == 0  # a step left out moves no average


def test_synchronised_batch_norm_needs_gpus() -> None:
    network = build_network(ModelConfig.model_validate(MODEL), 0)
    with pytest.raises(ConfigError, match=r"optim\.sync_batch_norm: PyTorch has it on GPUs only"):
        Learner(network, _config(sync_batch_norm=True), ALONE)


@pytest.mark.slow
def test_a_compiled_network_keeps_its_names_and_learns_the_same() -> None:
    results = []
    for compiled in (False, True):
        network = build_network(ModelConfig.model_validate(MODEL), 0)
        learner = Learner(network, _config(compile=compiled), ALONE)
        report = learner.step(_batches()[:1], 1e-3)
        results.append((report.losses["loss"], network.state_dict()))
    (eager, eager_state), (found, state) = results
    assert found == pytest.approx(eager, rel=1e-4)
    assert list(state) == list(eager_state)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_step_on_a_gpu_is_that_of_the_processor(precision: str) -> None:
    losses = []
    for place in (ALONE, World(0, 1, pick_device("cuda"))):
        network = build_network(ModelConfig.model_validate(MODEL), 0)
        config = _config(precision=precision if place is not ALONE else "fp32")
        learner = Learner(network, config, place)
        losses.append([learner.step([batch], 1e-3).losses["loss"] for batch in _batches()[:2]])
    tolerance = 1e-4 if precision == "fp32" else 0.05
    assert losses[1] == pytest.approx(losses[0], rel=tolerance)


@pytest.mark.gpu
def test_synchronised_batch_norm_keeps_the_official_names() -> None:
    network = build_network(ModelConfig.model_validate(MODEL), 0)
    names = list(network.state_dict())
    learner = Learner(network, _config(sync_batch_norm=True), World(0, 1, pick_device("cuda")))
    assert list(learner.network.state_dict()) == names
    assert any(isinstance(m, torch.nn.SyncBatchNorm) for m in learner.network.modules())


def test_the_fused_optimiser_steps_as_the_plain_one_does() -> None:
    """In the layout of training too, in which weights and their gradients are strided."""
    batch = _batches()[0]
    networks, optimizers = [], []
    for plain in (False, True):
        network = build_network(ModelConfig.model_validate(MODEL), 0)
        learner = Learner(network, _config(precision="fp32", clip_norm=None), ALONE)
        assert learner.optimizer.defaults["fused"]
        if plain:
            learner.optimizer = torch.optim.Adam(
                network.parameters(), 1e-3, weight_decay=1e-4, foreach=False, fused=False
            )
        for _ in range(3):
            learner.step([batch], 1e-3)
        networks.append(learner.network.state_dict())
        optimizers.append(learner.optimizer.state_dict()["state"])
    for name, value in networks[0].items():
        torch.testing.assert_close(value, networks[1][name], rtol=1e-3, atol=2e-4)
    for fused, plain in zip(*(each.values() for each in optimizers), strict=True):
        assert fused["step"] == plain["step"] == 3


def test_a_state_of_the_plain_optimiser_goes_on_in_the_fused_one() -> None:
    config = _config(precision="fp32")
    first = Learner(build_network(config.model, 0), config, ALONE)
    first.step(_batches()[:1], 1e-3)
    state = copy.deepcopy(first.optimizer.state_dict())
    for group in state["param_groups"]:
        group.update(fused=None, foreach=None)  # as an older version saved it
    second = Learner(build_network(config.model, 1), config, ALONE)
    assert fault_of_optimizer(state, second.optimizer) is None
    second.restore(first.network.state_dict(), state, first.state())
    assert second.optimizer.param_groups[0]["fused"]
    for learner in (first, second):
        learner.step(_batches()[1:2], 1e-3)
    ours, theirs = first.network.state_dict(), second.network.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_each_tensor_of_a_batch_is_fetched_once_a_step(accumulate: int) -> None:
    """What is fetched is moved to the device."""
    fetched: list[str] = []

    class Watched(dict):
        def __getitem__(self, name: str) -> object:
            fetched.append(name)
            return super().__getitem__(name)

    config = _config({"building": {"dice": 0.5}}, precision="fp32")
    learner = Learner(build_network(config.model, 0), config, ALONE)
    learner.step([Watched(batch) for batch in _batches()[:accumulate]], 1e-3)
    assert sorted(fetched) == sorted(["pre", "post", "building", "damage"] * accumulate)


def test_cudnn_searches_in_steps_alone() -> None:
    before = torch.backends.cudnn.benchmark
    with contextlib.suppress(KeyError), searched(torch.device("cuda")):
        assert torch.backends.cudnn.benchmark
        raise KeyError
    assert torch.backends.cudnn.benchmark is before
    with searched(torch.device("cpu")):
        assert torch.backends.cudnn.benchmark is before
