"""The network and everything that changes it, one optimiser step at a time."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from runtime.errors import ConfigError, ToolkitError
from train.config import OptimConfig, TrainConfig
from train.convolutions import searched
from train.distributed import World
from train.ema import AveragedWeights
from train.losses import StepSums, dice_sums, step_losses, target_sums
from train.model import DualHRNet
from train.model.dual_hrnet import normalise
from train.model.statistics import still_statistics
from train.precision import choose_precision
from train.quantisation.artefact import Artefact
from train.quantisation.qat import quantised_training_graph
from train.resume_checks import MEANS

Batch = dict[str, Any]
"""`pre`, `post` uint8 [N, H, W, 3]; `building`, `damage` uint8 [N, H, W]; `name`, N tiles."""

_TENSORS = ("pre", "post", "building", "damage")


@dataclass(frozen=True)
class StepReport:
    """Losses of the whole step, over all its pairs and ranks; the gradient before clipping."""

    losses: dict[str, float]
    gradient_norm: float


class Learner:
    """Steps whose result depends on the pairs alone, not on how they are spread over forward
    passes and ranks (batch norm's statistics aside, which are those of one forward pass)."""

    def __init__(
        self,
        network: DualHRNet,
        config: TrainConfig,
        world: World,
        teacher: DualHRNet | None = None,
        calibration: Artefact | None = None,
        began: str | None = None,
        started_from: str | None = None,
    ) -> None:
        """
        Args:
            calibration: with it, forward passes round as the INT8 engine of these ranges does.
            began: `Precision.record` of the run that goes on.
            started_from: the weights that `network` had at first, in words.
        """
        optim = config.optim
        self.config, self.world = config, world
        self.started_from = started_from
        layout = torch.channels_last if optim.channels_last else torch.contiguous_format
        self.layout = layout
        network = network.to(world.device, memory_format=layout)
        if optim.sync_batch_norm:
            if world.device.type != "cuda":
                raise ConfigError("optim.sync_batch_norm: PyTorch has it on GPUs only")
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
        network.recompute = optim.checkpointing
        self.network = network
        self.teacher = None
        if teacher:
            self.teacher = teacher.to(world.device, memory_format=layout).requires_grad_(False)
        self.average = AveragedWeights(network, optim.ema) if optim.ema else None
        self.calibration = calibration
        self.forward = self.as_computed(network)
        if optim.compile:
            self.forward.compile()
        self.parallel: nn.Module = self.forward
        if world.size > 1:
            devices = [world.device.index] if world.device.type == "cuda" else None
            self.parallel = DistributedDataParallel(self.forward, device_ids=devices)
        self.optimizer = build_optimizer(network, config)
        self.precision = choose_precision(optim.precision, world, began)
        self.scaler = torch.amp.GradScaler(
            world.device.type, enabled=self.precision.dtype is torch.float16
        )

    @property
    def deployed(self) -> DualHRNet:
        """The network to save: the averaged one where there is one."""
        return self.average.network if self.average else self.network

    @property
    def validated(self) -> nn.Module:
        """The deployed network as it is computed once deployed, with INT8's rounding if any."""
        return self.as_computed(self.average.network) if self.average else self.forward

    def step(self, batches: Sequence[Batch], rate: float) -> StepReport:
        """One optimiser step over `batches`, one forward pass each.

        Raises:
            ToolkitError: the loss or its gradient is not finite; no weight was changed.
        """
        with searched(self.world.device):
            return self._step([self._on_device(batch) for batch in batches], rate)

    def _step(self, batches: Sequence[Batch], rate: float) -> StepReport:
        """`step` of batches on the network's device."""
        self.network.train()
        # Engines fold the running statistics, so rounding is learnt with those.
        if self.config.optim.freeze_batch_norm or self.calibration:
            _freeze_batch_norm(self.network)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        sums = self._sums(batches)
        self.optimizer.zero_grad(set_to_none=True)
        shares, sound = [], []
        for index, batch in enumerate(batches):
            last = index == len(batches) - 1
            with self._exchange(last=last):
                losses, finite = self._share(batch, sums)
                # DDP divides by the ranks; the shares are to be added up instead.
                self.scaler.scale(losses["loss"] * self.world.size).backward()
            shares.append({name: value.detach() for name, value in losses.items()})
            sound.append(finite)
        report = self._checked(batches, shares, sound)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        # With loss scaling, a step whose gradient overflows is left out.
        if self.average and math.isfinite(report.gradient_norm):
            self.average.update()
        return report

    def state(self) -> dict[str, Any]:
        """What `restore` needs besides the deployed weights and the optimiser's state."""
        if self.average is None:
            return {"scaler": self.scaler.state_dict()}
        return {
            "scaler": self.scaler.state_dict(),
            "updates": self.average.updates,
            "network": self.network.state_dict(),
        }

    def restore(
        self, deployed: dict[str, Tensor], optimizer: dict[str, Any], state: dict[str, Any]
    ) -> None:
        """Go on exactly where a learner of the same configuration was."""
        self.network.load_state_dict(state.get("network", deployed))
        if self.average:
            self.average.network.load_state_dict(deployed)
            self.average.updates = state["updates"]
        defaults = self.optimizer.defaults
        own = {key: defaults[key] for key in MEANS if key in defaults}
        groups = [{**group, **own} for group in optimizer["param_groups"]]
        self.optimizer.load_state_dict({**optimizer, "param_groups": groups})
        self.scaler.load_state_dict(state["scaler"])

    def as_computed(self, network: DualHRNet) -> nn.Module:
        """One like this learner's: itself, or the graph over its parameters that rounds as INT8
        does."""
        if self.calibration is None:
            return network
        return quantised_training_graph(network, self.calibration.ranges)

    def _share(self, batch: Batch, sums: StepSums) -> tuple[dict[str, Tensor], Tensor]:
        """Losses of one forward pass, and whether its logits are finite."""
        images = self._images(batch)
        building, damage = batch["building"], batch["damage"]
        with self._autocast():
            outputs = self.parallel(*images)
        guide = None
        if self.teacher and self.config.distill:
            with self._autocast(), torch.no_grad():
                guide = (self.teacher(*images), self.config.distill)
        if self.config.loss.building.dice and sums.overlap is None:
            overlap, predicted = self.world.total(dice_sums(outputs[0], building))
            sums = replace(sums, overlap=overlap, predicted=predicted)
        finite = torch.stack([logits.isfinite().all() for logits in outputs]).all()
        return step_losses(outputs, building, damage, self.config.loss, sums, guide), finite

    def _sums(self, batches: Sequence[Batch]) -> StepSums:
        """Of all pairs of the step. Dice's depend on the predictions, so that accumulation
        needs a forward pass ahead; without it they come with the one there is."""
        loss = self.config.loss
        targets = [target_sums(batch["building"], batch["damage"], loss) for batch in batches]
        sums = StepSums(
            *self.world.total(torch.stack(targets).sum(0)), parts=len(batches) * self.world.size
        )
        if len(batches) == 1 or not loss.building.dice:
            return sums
        ahead = []
        with torch.no_grad(), still_statistics(self.network), self._autocast():
            for batch in batches:
                logits, _ = self.forward(*self._images(batch))
                ahead.append(dice_sums(logits, batch["building"]))
        overlap, predicted = self.world.total(torch.stack(ahead).sum(0))
        return replace(sums, overlap=overlap, predicted=predicted)

    def _checked(
        self, batches: Sequence[Batch], shares: list[dict[str, Tensor]], sound: list[Tensor]
    ) -> StepReport:
        """The step's figures, after unscaling and clipping the gradient."""
        names = list(shares[0])
        mine = torch.stack([torch.stack([share[name] for name in names]) for share in shares])
        totals = self.world.total(mine.double().sum(0))
        if not totals.isfinite().all():
            # Dice's sums carry one bad number to every pass, so the logits are asked.
            bad = [batch for batch, ok in zip(batches, sound, strict=True) if not ok]
            raise ToolkitError(f"the loss is {totals[0].item()} on {self._tiles(bad, batches)}")
        self.scaler.unscale_(self.optimizer)
        limit = self.config.optim.clip_norm or math.inf
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), limit).item()
        scale = self.scaler.get_scale() if self.scaler.is_enabled() else 0
        if not math.isfinite(norm) and scale < 1:
            raise ToolkitError(f"the gradient's norm is {norm} on {self._tiles(batches, batches)}")
        return StepReport(dict(zip(names, totals.tolist(), strict=True)), norm)

    def _tiles(self, bad: Sequence[Batch], batches: Sequence[Batch]) -> str:
        """Names of the tiles of `bad` on all ranks; of the whole step if there is none."""
        found = [
            self.world.gather([name for batch in each for name in batch["name"]])
            for each in (bad, batches)
        ]
        chosen = next((names for names in found if any(names)), [])
        return ", ".join(sorted({name for rank in chosen for name in rank}))

    def _on_device(self, batch: Batch) -> Batch:
        """Moved once a step, as bytes; pinned memory is copied while the processor goes on."""
        device = self.world.device
        tensors = {name: batch[name].to(device, non_blocking=True) for name in _TENSORS}
        return {**batch, **tensors}

    def _images(self, batch: Batch) -> list[Tensor]:
        dtype = next(self.network.parameters()).dtype
        return [
            normalise(batch[name], self.network.config)
            .to(dtype)
            .contiguous(memory_format=self.layout)
            for name in ("pre", "post")
        ]

    def _autocast(self) -> torch.autocast:
        dtype = self.precision.dtype
        return torch.autocast(self.world.device.type, dtype, enabled=dtype is not None)

    def _exchange(self, *, last: bool) -> contextlib.AbstractContextManager[None]:
        """Gradients stay on this rank until the last forward pass of a step exchanges them all."""
        ddp = self.parallel
        waits = isinstance(ddp, DistributedDataParallel) and not last
        return ddp.no_sync() if waits else contextlib.nullcontext()


def build_optimizer(network: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    optim: OptimConfig = config.optim
    rate = config.schedule[0].rates[0]
    parameters = network.parameters()
    if optim.optimizer == "sgd":
        return torch.optim.SGD(
            parameters, rate, momentum=optim.momentum, weight_decay=optim.weight_decay
        )
    kind = torch.optim.AdamW if optim.optimizer == "adamw" else torch.optim.Adam
    # One kernel for all tensors, on GPUs and on processors.
    return kind(parameters, rate, weight_decay=optim.weight_decay, fused=True)


def _freeze_batch_norm(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
