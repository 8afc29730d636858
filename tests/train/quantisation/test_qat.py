"""Training through INT8's rounding: what the engine will compute, and what it wins back."""

from __future__ import annotations

import copy
import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.multiprocessing
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from runtime.errors import CalibrationError
from runtime.files import sha256
from train.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from train.config import TrainConfig
from train.distributed import World, world
from train.learner import Learner
from train.losses import StepSums, dice_sums, step_losses, target_sums
from train.model import DualHRNet, ModelConfig
from train.model.decode import building_logit, class_logits
from train.model.dual_hrnet import normalise
from train.model.hrnet import upsample
from train.model.inference_form import inference_form
from train.prepare import build_learner
from train.quantisation.artefact import Artefact, read_artefact
from train.quantisation.equalisation import equalised
from train.quantisation.fake import Range, quantise
from train.quantisation.placement import sites
from train.quantisation.qat import quantised_training_graph, traced
from train.xbd import Tile, find_tiles

REPOSITORY = Path(__file__).parents[3]
ALONE = World(0, 1, torch.device("cpu"))
SI_ANALYTICS = {"architecture": "si-analytics"}
OPTIONS = [
    {}, {"bottlenecks": 2, "blocks": 2}, {"exchange_stages": ()}, {"fusion": "conv"},
    {"squeeze_excitation": False}, {"streams": "siamese"}, {"streams": "single"}, SI_ANALYTICS,
]  # fmt: skip


@pytest.fixture
def network_of(plausible: Callable, small_config: ModelConfig) -> Callable[..., DualHRNet]:
    """The small network with other options."""

    def make(**options: object) -> DualHRNet:
        given = small_config.model_dump(exclude_defaults=True)
        return plausible(ModelConfig.model_validate({**given, **options}))

    return make


@pytest.fixture
def network(small_checkpoint: Path) -> DualHRNet:
    """What `artefact` is the calibration of."""
    return load_checkpoint(small_checkpoint).network()


@pytest.fixture
def batch(synthetic: Path) -> dict:
    return _batch(find_tiles(synthetic, "train")[:4])


def _batch(tiles: list[Tile]) -> dict:
    pairs = [tile.images() for tile in tiles]
    targets = [tile.targets(*pre.shape[:2]) for tile, (pre, _) in zip(tiles, pairs, strict=True)]
    arrays = zip(*[(*p, *t) for p, t in zip(pairs, targets, strict=True)], strict=True)
    names = ("pre", "post", "building", "damage")
    stacked = {
        name: torch.stack([torch.from_numpy(each.copy()) for each in array])
        for name, array in zip(names, arrays, strict=True)
    }
    return stacked | {"name": [tile.name for tile in tiles]}


def _config(network: DualHRNet, **optim: object) -> TrainConfig:
    return TrainConfig.model_validate({"model": network.config.model_dump(), "optim": optim})


def _fixed_ranges(network: DualHRNet) -> dict[str, Range]:
    """The same for every tensor; some values are cut off."""
    return {site.name: Range(6.0, False) for site in sites(inference_form(network))}


def _engine_logits(
    network: DualHRNet, ranges: dict[str, Range], images: list[torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """By the graph that is exported for NVIDIA targets: building and damage, full size."""
    form = inference_form(network)
    with torch.no_grad():
        core = quantise(form, ranges, "signed", scales=torch.float16)
        logits = upsample(core(*images), 4)
    return logits[:, :1], logits[:, 1:]


def _loss(network: DualHRNet, ranges: dict[str, Range] | None, batch: dict) -> float:
    """The training loss of the INT8 network; with no ranges, of the FP32 one."""
    images = [normalise(batch[name], network.config) for name in ("pre", "post")]
    config = _config(network).loss
    with torch.no_grad():
        building, damage = network.eval()(*images)
        if ranges is not None:
            # The engine has no background logit, which the loss wants; the rest is its own.
            graph = quantised_training_graph(network, ranges).eval()
            background = graph(*images)[1][:, :1]
            building, damage = _engine_logits(network, ranges, images)
            damage = torch.cat([background, damage], 1)
        sums = target_sums(batch["building"], batch["damage"], config)
        overlap, predicted = dice_sums(building, batch["building"])
        total = dataclasses.replace(StepSums(*sums, parts=1), overlap=overlap, predicted=predicted)
        losses = step_losses(
            (building, damage), batch["building"], batch["damage"], config, total, None
        )
    return losses["loss"].item()


@pytest.mark.parametrize("options", OPTIONS)
def test_training_rounds_the_tensors_that_the_engine_rounds(
    network_of: Callable, options: dict
) -> None:
    network = network_of(**options)
    deployed = sites(inference_form(network))
    trained = sites(traced(network))
    assert [site.name for site in trained] == [site.name for site in deployed]
    assert [len(s.readers) for s in trained] == [len(s.readers) for s in deployed]


@pytest.mark.parametrize("options", OPTIONS)
def test_training_computes_what_the_engine_computes(network_of: Callable, options: dict) -> None:
    # In float64, so that hardly any value lies so near a tie that folding decides it (scales
    # are float32 all the same).
    network = network_of(**options).double()
    ranges = _fixed_ranges(network)
    random = torch.Generator().manual_seed(0)
    images = list(torch.randn(2, 1, 3, 64, 64, generator=random, dtype=torch.float64))
    expected = _engine_logits(network, ranges, images)
    graph = quantised_training_graph(network, ranges).eval()
    with torch.no_grad():
        building, damage = graph(*images)
        exact = network(*images)
    for got, want, float_logits in (
        (building_logit(building), expected[0], building_logit(exact[0])),
        (class_logits(damage), expected[1], class_logits(exact[1])),
    ):
        rounding = (want - float_logits).abs().mean()
        difference = (got - want).abs()
        assert rounding > 1e-3 * want.std()
        # A weight at a tie may go the other way; the difference of two rounded rows, too.
        assert difference.mean() < 0.25 * rounding
        if options == {}:
            assert difference.median() < 1e-9 * want.std()


def test_one_parameter_serves_the_network_and_the_graph(network: DualHRNet, artefact) -> None:
    names = list(network.state_dict())
    graph = quantised_training_graph(network, artefact.ranges)
    assert list(network.state_dict()) == names
    assert type(network.pre.conv1) is nn.Conv2d
    assert {id(p) for p in graph.parameters()} == {id(p) for p in network.parameters()}


def test_every_weight_learns_and_no_statistic_moves(
    network: DualHRNet, artefact: Artefact, batch: dict
) -> None:
    before = copy.deepcopy(network.state_dict())
    learner = Learner(network, _config(network), ALONE, calibration=artefact)
    learner.step([batch], 1e-3)
    modules = {n: m for n, m in network.named_modules() if isinstance(m, nn.Conv2d | _BatchNorm)}
    for name, module in modules.items():
        for kind, parameter in module.named_parameters():
            assert parameter.grad is not None, f"{name}.{kind}"
            assert parameter.grad.abs().max() > 0, f"{name}.{kind}"
            assert not torch.equal(parameter, before[f"{name}.{kind}"]), f"{name}.{kind}"
    assert all(torch.equal(before[name], buffer) for name, buffer in network.named_buffers())


def test_values_outside_a_range_have_no_gradient(network: DualHRNet) -> None:
    ranges = {name: Range(1e-6, False) for name in _fixed_ranges(network)}
    images = [torch.randn(1, 3, 64, 64) for _ in range(2)]
    building, _ = quantised_training_graph(network, ranges).eval()(*images)
    building.sum().backward()
    assert network.pre.conv1.weight.grad.abs().max() == 0
    assert network.heads.building[-1].bias.grad.abs().max() > 0


def test_accumulation_learns_what_one_batch_does(
    network: DualHRNet, artefact: Artefact, batch: dict
) -> None:
    results = []
    for parts in ([slice(0, 4)], [slice(0, 1), slice(1, 4)]):
        learner = Learner(
            copy.deepcopy(network).double(), _config(network, optimizer="sgd"), ALONE,
            calibration=artefact,
        )  # fmt: skip
        pieces = [{name: value[part] for name, value in batch.items()} for part in parts]
        losses = [learner.step(pieces, 0.01).losses["loss"] for _ in range(3)]
        results.append((losses, learner.network.state_dict()))
    (losses, state), (spread_losses, spread) = results
    assert spread_losses == pytest.approx(losses, rel=1e-9)
    for name, value in state.items():
        torch.testing.assert_close(spread[name], value, rtol=0, atol=1e-9)


def _three_steps(group: World, checkpoint: Path, calibration: Path, batch: dict) -> dict:
    network = load_checkpoint(checkpoint).network().double()
    config = _config(network, optimizer="sgd")
    learner = Learner(network, config, group, calibration=read_artefact(calibration))
    share = 4 // group.size
    part = slice(group.rank * share, (group.rank + 1) * share)
    for _ in range(3):
        learner.step([{name: value[part] for name, value in batch.items()}], 0.01)
    return learner.network.state_dict()


def _three_steps_on_rank(rank: int, port: int, out: str, *given: object) -> None:
    os.environ |= {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
    }  # fmt: skip
    torch.set_num_threads(1)
    with world("cpu") as group:
        torch.save(_three_steps(group, *given), Path(out) / f"{rank}.pt")


@pytest.mark.slow
def test_two_processes_learn_what_one_does(
    small_checkpoint: Path, calibration_file: Path, batch: dict, tmp_path: Path, free_port: int
) -> None:
    given = (small_checkpoint, calibration_file, batch)
    alone = _three_steps(ALONE, *given)
    torch.multiprocessing.spawn(_three_steps_on_rank, (free_port, str(tmp_path), *given), nprocs=2)
    for rank in (0, 1):
        together = torch.load(tmp_path / f"{rank}.pt")
        for name, value in alone.items():
            torch.testing.assert_close(together[name], value, rtol=0, atol=1e-9)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_lower_precision_gives_nearly_the_same_loss(
    network: DualHRNet, artefact: Artefact, batch: dict, precision: str
) -> None:
    losses = []
    for each in ("fp32", precision):
        given = copy.deepcopy(network)
        learner = Learner(given, _config(given, precision=each), ALONE, calibration=artefact)
        losses.append(learner.step([batch], 1e-3).losses["loss"])
    assert losses[1] == pytest.approx(losses[0], rel=0.03)


def test_what_is_validated_is_the_averaged_network_with_rounding(
    network: DualHRNet, artefact: Artefact, batch: dict
) -> None:
    learner = Learner(network, _config(network, ema=0.9), ALONE, calibration=artefact)
    learner.step([batch], 1e-2)
    images = [normalise(batch[name], network.config) for name in ("pre", "post")]
    with torch.no_grad():
        building, damage = learner.validated.eval()(*images)
    expected = _engine_logits(learner.deployed, artefact.ranges, images)
    for got, want in ((building, expected[0]), (damage[:, 1:], expected[1])):
        assert (got - want).abs().mean() < 0.02 * want.std()
    assert learner.validated.config == network.config


@pytest.mark.slow
def test_rounding_that_costs_accuracy_is_learnt_around(
    network: DualHRNet, artefact: Artefact, batch: dict
) -> None:
    """Planted: the ranges of the heads cut off most of what they should hold."""
    ranges = {
        name: dataclasses.replace(span, amax=0.2 * span.amax) if "heads." in name else span
        for name, span in artefact.ranges.items()
    }
    narrow = dataclasses.replace(artefact, ranges=ranges)
    rounded, plain = (copy.deepcopy(network) for _ in range(2))
    at_first = _loss(network, ranges, batch)
    for given, calibration in ((rounded, narrow), (plain, None)):
        config = _config(given, freeze_batch_norm=True)
        learner = Learner(given, config, ALONE, calibration=calibration)
        for _ in range(10):
            learner.step([batch], 2e-3)
    found, without = _loss(rounded, ranges, batch), _loss(plain, ranges, batch)
    assert found < 0.9 * at_first
    assert found < without  # the same steps without rounding


def test_a_run_starts_from_the_weights_that_the_ranges_belong_to(
    network: DualHRNet, artefact: Artefact, tmp_path: Path
) -> None:
    with torch.no_grad():  # the same function, one channel 1000 times larger than others
        block = network.pre.layer1[0]
        block.bn1.weight[2] *= 1000
        block.bn1.bias[2] *= 1000
        block.conv2.weight[:, 2] /= 1000
    init, ranges = tmp_path / "init.pt", tmp_path / "calibration.json"
    save_checkpoint(init, Checkpoint(model=network.config, model_state=network.state_dict()))
    dataclasses.replace(artefact, checkpoint_sha256=sha256(init)).write(ranges)
    given = {"model": network.config.model_dump(), "init": init, "qat": {"calibration": ranges}}
    learner = build_learner(TrainConfig.model_validate(given), ALONE, None)
    expected = equalised(network).state_dict()
    assert not torch.equal(expected["pre.layer1.0.bn1.weight"], block.bn1.weight)
    for name, value in learner.network.state_dict().items():
        assert torch.equal(value, expected[name]), name


def test_a_tensor_without_a_range_is_named(network: DualHRNet, artefact: Artefact) -> None:
    ranges = {name: span for name, span in artefact.ranges.items() if name != "post.conv2"}
    fewer = dataclasses.replace(artefact, ranges=ranges)
    with pytest.raises(CalibrationError, match=r"no range for 1 of \d+ .*post\.conv2"):
        Learner(network, _config(network), ALONE, calibration=fewer)
