"""A run that goes on as if it had never stopped.

Which tiles, crops and augmentations a step sees depends on (seed, epoch, position) alone,
so the sampler's place is a number of batches and the loader has nothing to save.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from runtime.errors import CheckpointError, reason
from train.checkpoint import Checkpoint, load_checkpoint
from train.config import TrainConfig
from train.data_summary import DataSummary
from train.distributed import World
from train.learner import Learner
from train.resume_checks import (
    fault_of_moments,
    fault_of_optimizer,
    fault_of_place,
    fault_of_types,
)
from train.validation import Score

FREE = (
    *(("data", key) for key in ("workers", "masks", "cache", "cache_folder")),
    ("optim", "save_every"),
)
"""Keys that may change between a run's parts: no figure depends on them."""
_VAL_SPLIT = ("data", "val_split")

_NEEDED = {
    *("batches", "best_score", "world_size", "tiles", "precision", "random_states", "learner")
}
_ALTERED = "it was altered since the run wrote it, take the original or start another run"


@dataclass
class Progress:
    """How far a run has come. `batches`: of the epoch that is under way."""

    epoch: int = 0
    batches: int = 0
    step: int = 0
    best_score: float = -1.0

    def turn_epoch(self) -> None:
        """The epoch under way is done, the next one begins."""
        self.epoch += 1
        self.batches = 0


def weights_of(
    learner: Learner, progress: Progress, data: DataSummary, score: Score | None
) -> Checkpoint:
    """The weights to deploy, with what is known of them."""
    return Checkpoint(
        model=learner.network.config,
        model_state=learner.deployed.state_dict(),
        config=learner.config.model_dump(mode="json"),
        epoch=progress.epoch,
        step=progress.step,
        metrics=score.counts.as_dict() if score else {},
        scored=score.scored if score else None,
        precision=learner.precision.record,
        started_from=learner.started_from,
        data=data,
    )


def checkpoint_of(
    learner: Learner, progress: Progress, tiles: str, data: DataSummary, score: Score | None
) -> Checkpoint:
    """Everything to go on from here; on every rank, because each one's random state is in it.

    tiles: the fingerprint of what is trained and validated on.
    """
    device = learner.world.device
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return replace(
        weights_of(learner, progress, data, score),
        optimizer_state=learner.optimizer.state_dict(),
        resume={
            "batches": progress.batches,
            "best_score": progress.best_score,
            "world_size": learner.world.size,
            "tiles": tiles,
            "precision": learner.precision.record,
            "calibration": _ranges_of(learner),
            "random_states": learner.world.gather(states),
            "learner": learner.state(),
        },
    )


def find_run(path: Path, config: TrainConfig, world: World) -> Checkpoint | None:
    """The checkpoint to go on from, where there is one.

    Raises:
        CheckpointError: not every process finds it; it is no training run's, or one of
            another configuration or number of processes.
    """
    found = world.gather(path.exists())
    if not all(found):
        if any(found):
            raise CheckpointError(
                f"{path}: some of the {world.size} processes find it and others do not; --out has "
                "to be on storage that all nodes share"
            )
        return None
    checkpoint = load_checkpoint(path)
    saved = checkpoint.resume
    if saved is None or checkpoint.optimizer_state is None:
        raise CheckpointError(f"{path}: holds weights alone; a run resumes from its last.pt")
    if missing := sorted(_NEEDED - saved.keys()):
        raise CheckpointError(f"{path}: has no {', '.join(missing)} to resume with; {_ALTERED}")
    if fault := fault_of_types(saved):
        raise CheckpointError(f"{path}: {fault}; {_ALTERED}")
    if saved["world_size"] != world.size:
        raise CheckpointError(
            f"{path}: written by {saved['world_size']} processes, this run has {world.size}; "
            f"start it with as many, or train anew from it with init={path}"
        )
    try:
        _same_config(path, checkpoint.config or {}, config)
    except RecursionError as error:
        raise CheckpointError(f"{path}: its config is nested too deeply; {_ALTERED}") from error
    return checkpoint


def restore(checkpoint: Checkpoint, learner: Learner, tiles: Sequence[str], steps: int) -> Progress:
    """Put `learner` where the run was.

    Args:
        tiles: fingerprints of what is trained and validated on, as each version takes it.
        steps: batches an epoch.
    Raises:
        CheckpointError: the tiles or the number format are not the run's, or the processes
            read different checkpoints; or it was altered.
    """
    saved, world, path = checkpoint.resume, learner.world, checkpoint.path
    assert saved is not None
    assert checkpoint.optimizer_state is not None
    if saved["tiles"] not in tiles:
        raise CheckpointError(
            f"{path}: the run was started with other tiles than the usable ones of --data now (by "
            "their names, images and labels); restore them, or train anew from it with "
            f"init={path}"
        )
    if saved["precision"] != learner.precision.record:
        raise CheckpointError(
            f"{path}: its precision is {saved['precision']}, the run's configuration asks for "
            f"{learner.precision.name}; {_ALTERED}"
        )
    if saved.get("calibration") != _ranges_of(learner):
        raise CheckpointError(
            f"{path}: the run was started with another content of qat.calibration; restore that "
            "file, or start another run from the checkpoint that the new one belongs to"
        )
    progress = Progress(checkpoint.epoch, saved["batches"], checkpoint.step, saved["best_score"])
    fault = fault_of_place(
        *astuple(progress),
        epochs=learner.config.epochs,
        steps=steps,
        window=learner.config.optim.accumulate,
    )
    try:
        fault = fault or fault_of_optimizer(checkpoint.optimizer_state, learner.optimizer)
        if fault:
            raise CheckpointError(f"{path}: {fault}; {_ALTERED}")
        learner.restore(checkpoint.model_state, checkpoint.optimizer_state, saved["learner"])
        if fault := fault_of_moments(learner.optimizer):
            raise CheckpointError(f"{path}: {fault}; {_ALTERED}")
        states = saved["random_states"][world.rank]
        torch.set_rng_state(states["cpu"])
        if world.device.type == "cuda":
            torch.cuda.set_rng_state(states["cuda"], world.device)
    except (RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{path}: its state cannot be resumed ({reason(error)[:120]}); {_ALTERED}"
        ) from error
    if len({astuple(each) for each in world.gather(progress)}) > 1:
        raise CheckpointError(
            f"{path}: is not the same for all processes; --out has to be on storage that all "
            "nodes share"
        )
    return progress


def _ranges_of(learner: Learner) -> str | None:
    """Fingerprint of the calibration whose rounding is trained through."""
    return learner.calibration.fingerprint() if learner.calibration else None


def _same_config(path: Path, saved: dict[str, Any], config: TrainConfig) -> None:
    before, now = _flat(_with_new_keys(saved)), _flat(config.model_dump(mode="json"))
    # Where the data set decides, the fingerprint of its tiles tells whether they are the same.
    unnamed = None in (before.get(_VAL_SPLIT), now.get(_VAL_SPLIT))
    free = {*FREE, _VAL_SPLIT} if unnamed else {*FREE}
    changed = [
        f"{'.'.join(key)} (was {before.get(key)}, is {now.get(key)})"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key) and key not in free
    ]
    if changed:
        raise CheckpointError(
            f"{path}: the run was started with another configuration: {'; '.join(changed)}; "
            "resume it with the same, or start another one elsewhere"
        )


def _with_new_keys(saved: dict[str, Any]) -> dict[str, Any]:
    """A run's configuration, with the defaults of keys that its version did not have yet."""
    try:
        content = TrainConfig.model_validate(saved).model_dump(mode="json")
    except ValidationError:  # altered, or of another version: compared as it is
        return saved
    return content


def _flat(content: Any, key: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    if not isinstance(content, dict):
        return {key: content}
    return {k: v for name, each in content.items() for k, v in _flat(each, (*key, name)).items()}
