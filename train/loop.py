"""The training loop: build, train epoch by epoch, validate, keep the best."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from runtime import cli
from runtime.errors import ConfigError, ToolkitError
from runtime.score import Counts
from train.checkpoint import Checkpoint, save_checkpoint
from train.config import TrainConfig
from train.dataset import CropDataset, EpochSampler, Reporting, collate
from train.distributed import World
from train.evaluate import score_tiles, summary
from train.losses import total_loss
from train.model import DualHRNet, build_network
from train.model.dual_hrnet import normalise
from train.schedule import learning_rate
from train.xbd import Tile, find_tiles


@dataclass
class Run:
    """What one training run holds on every rank."""

    config: TrainConfig
    world: World
    out: Path
    network: DualHRNet
    parallel: nn.Module
    optimizer: torch.optim.Optimizer
    sampler: EpochSampler
    loader: DataLoader
    val_tiles: list[Tile]
    writer: SummaryWriter | None
    step: int = 0
    best_score: float = -1.0


def train(config: TrainConfig, data: Path, out: Path, world: World) -> Path:
    """Train to the end; returns the path of the best checkpoint, `out/best.pt`."""
    if (out / "last.pt").exists():
        raise ConfigError(f"--out {out}: holds a run already; choose another folder, or remove it")
    run = _build(config, data, out, world)
    try:
        for epoch in range(config.optim.epochs):
            _train_epoch(run, epoch)
            _validate(run, epoch)
    finally:
        if run.writer:
            run.writer.close()
    return out / "best.pt"


def _build(config: TrainConfig, data: Path, out: Path, world: World) -> Run:
    train_tiles = find_tiles(data, config.data.train_split)
    val_tiles = find_tiles(data, config.data.val_split)
    dataset = CropDataset(train_tiles, config)
    sampler = EpochSampler(
        len(dataset), config.optim.batch_size, config.seed, world.rank, world.size
    )
    workers = config.data.workers
    loader = DataLoader(
        Reporting(dataset),
        batch_size=config.optim.batch_size,
        collate_fn=collate,
        sampler=sampler,
        num_workers=workers,
        persistent_workers=workers > 0,
        # A fork would copy OpenCV's locks while validation's threads hold them.
        multiprocessing_context="spawn" if workers else None,
        pin_memory=world.device.type == "cuda",
    )
    network = build_network(config.model, config.seed)
    network = network.to(world.device, memory_format=torch.channels_last)
    parallel: nn.Module = network
    if world.size > 1:
        devices = [world.device.index] if world.device.type == "cuda" else None
        parallel = DistributedDataParallel(network, device_ids=devices)
    optimizer = torch.optim.Adam(
        network.parameters(),
        lr=config.optim.learning_rate,
        weight_decay=config.optim.weight_decay,
    )
    writer = SummaryWriter(str(out / "tensorboard")) if world.leads else None
    return Run(config, world, out, network, parallel, optimizer, sampler, loader, val_tiles, writer)


def _train_epoch(run: Run, epoch: int) -> None:
    run.parallel.train()
    run.sampler.epoch = epoch
    bar = tqdm(
        run.loader,
        desc=f"epoch {epoch + 1}/{run.config.optim.epochs}",
        disable=None if run.world.leads else True,
        leave=False,
    )
    for batch_index, batch in enumerate(bar):
        if isinstance(batch, ToolkitError):
            raise batch
        rate = learning_rate(run.config.optim, epoch + batch_index / run.sampler.steps)
        for group in run.optimizer.param_groups:
            group["lr"] = rate
        losses, norm = _step(run, batch)
        run.step += 1
        bar.set_postfix(loss=f"{losses['loss']:.3f}")
        if run.writer:
            for name, value in losses.items():
                run.writer.add_scalar(f"loss/{name}", value, run.step)
            run.writer.add_scalar("optim/learning_rate", rate, run.step)
            run.writer.add_scalar("optim/gradient_norm", norm, run.step)


def _step(run: Run, batch: dict[str, torch.Tensor]) -> tuple[dict[str, float], float]:
    batch = {name: tensor.to(run.world.device, non_blocking=True) for name, tensor in batch.items()}
    images = [
        normalise(batch[name], run.config.model).contiguous(memory_format=torch.channels_last)
        for name in ("pre", "post")
    ]
    outputs = run.parallel(*images)
    losses = total_loss(outputs, batch["building"], batch["damage"], run.config.loss)
    if not torch.isfinite(losses["loss"]):
        raise ToolkitError(
            f"step {run.step}: the loss is {losses['loss'].item()}; the last checkpoint is kept, "
            "lower optim.learning_rate and start again"
        )
    run.optimizer.zero_grad(set_to_none=True)
    losses["loss"].backward()
    norm = nn.utils.clip_grad_norm_(run.network.parameters(), run.config.optim.clip_norm)
    run.optimizer.step()
    return {name: value.item() for name, value in losses.items()}, norm.item()


def _validate(run: Run, epoch: int) -> None:
    """The official score over the validation split, its tiles dealt out over the ranks."""
    run.network.eval()
    run.world.share(list(run.network.buffers()))
    mine = run.val_tiles[run.world.rank :: run.world.size]
    counts = score_tiles(run.network, mine)
    counts = Counts(run.world.sum(counts.localization), run.world.sum(counts.confusion))
    if not run.world.leads:
        return
    if run.writer:
        run.writer.add_scalar("val/score", counts.score, run.step)
        run.writer.add_scalar("val/localization_f1", counts.localization_f1, run.step)
        run.writer.add_scalar("val/damage_f1", counts.damage_f1, run.step)
    headline = summary(counts).splitlines()[0]
    cli.note(f"epoch {epoch + 1}/{run.config.optim.epochs}: {headline}")
    checkpoint = Checkpoint(
        model=run.config.model,
        model_state=run.network.state_dict(),
        config=run.config.model_dump(),
        epoch=epoch + 1,
        step=run.step,
        metrics=counts.as_dict(),
        optimizer_state=run.optimizer.state_dict(),
    )
    save_checkpoint(run.out / "last.pt", checkpoint)
    if counts.score > run.best_score:
        run.best_score = counts.score
        save_checkpoint(run.out / "best.pt", checkpoint)
