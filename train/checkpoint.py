"""Checkpoints: written whole or not at all, read without executing anything."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from runtime.errors import CheckpointError, reason
from runtime.files import replacing
from train.config import describe
from train.model import DualHRNet, ModelConfig

FORMAT = "dual-hrnet-edge/1"


@dataclass
class Checkpoint:
    """`model_state` and `optimizer_state` are state dicts; the rest is plain data.

    model_state: the weights to deploy; with an average, the averaged ones.
    epoch, step: epochs completed and optimiser steps taken.
    resume: what else a run needs to go on from here (`train.resume`).
    """

    model: ModelConfig
    model_state: dict[str, Tensor]
    config: dict[str, Any] | None = None
    epoch: int = 0
    step: int = 0
    metrics: dict[str, Any] = field(default_factory=dict)
    optimizer_state: dict[str, Any] | None = None
    resume: dict[str, Any] | None = None
    path: Path | None = None

    def network(self) -> DualHRNet:
        """The network with these weights, in eval mode.

        Raises:
            CheckpointError: the weights do not belong to the architecture they claim.
        """
        with torch.device("meta"):
            network = DualHRNet(self.model)
        expected = {name: tensor.shape for name, tensor in network.state_dict().items()}
        found = {name: tensor.shape for name, tensor in self.model_state.items()}
        if expected != found:
            wrong = sorted(
                k for k in expected.keys() | found.keys() if expected.get(k) != found.get(k)
            )
            first = wrong[0]
            was, wanted = _shape(found.get(first)), _shape(expected.get(first))
            raise CheckpointError(
                f"{self.path or 'checkpoint'}: weights of another architecture: "
                f"{len(wrong)} tensors differ from {self.model.architecture} "
                f"W{self.model.width}, first {first} (found {was}, expected {wanted})"
            )
        network.load_state_dict(self.model_state, assign=True)
        return network.eval()


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    content = {
        "format": FORMAT,
        "model": checkpoint.model.model_dump(),
        "config": checkpoint.config,
        "epoch": checkpoint.epoch,
        "step": checkpoint.step,
        "metrics": checkpoint.metrics,
        "model_state": checkpoint.model_state,
        "optimizer_state": checkpoint.optimizer_state,
        "resume": checkpoint.resume,
    }
    with replacing(path) as temporary:
        try:
            torch.save(content, temporary)
        except RuntimeError as error:  # the writer's own, for a full disk too
            raise CheckpointError(
                f"{path}: cannot be written ({reason(error)[:120]}); see to the disk's space, the "
                "checkpoint that was there before is kept"
            ) from error


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint of this toolkit.

    Raises:
        CheckpointError: missing, truncated, foreign, or of another format version.
    """
    path = Path(path)
    content = read_torch_file(path)
    if not isinstance(content, dict) or not {"format", "model", "model_state"} <= content.keys():
        raise CheckpointError(
            f"{path}: not a checkpoint of this toolkit; for published weights run "
            f"`python -m train.import_weights --source si-analytics|hrnet {path} --out CKPT`"
        )
    if content["format"] != FORMAT:
        raise CheckpointError(
            f"{path}: checkpoint format {content['format']!r}, expected {FORMAT!r}; "
            "use the toolkit version that wrote it"
        )
    try:
        model = ModelConfig.model_validate(content["model"])
    except ValidationError as error:
        raise CheckpointError(f"{path}: {describe(error)}") from error
    return Checkpoint(
        model=model,
        model_state=content["model_state"],
        config=content.get("config"),
        epoch=content.get("epoch", 0),
        step=content.get("step", 0),
        metrics=content.get("metrics", {}),
        optimizer_state=content.get("optimizer_state"),
        resume=content.get("resume"),
        path=path,
    )


def read_torch_file(
    path: Path,
    absent: str = "no such checkpoint; expected a file written by `python -m train`",
    unreadable: str = "not a readable checkpoint",
    advice: str = "it is truncated or of another program",
) -> Any:
    """`torch.load` with `weights_only=True`, its failures as one line in the caller's words."""
    if not path.is_file():
        raise CheckpointError(f"{path}: {absent}")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # the unpickler fails in whatever way the bytes suggest
        raise CheckpointError(f"{path}: {unreadable} ({reason(error)[:120]}); {advice}") from error


def newest_checkpoint(runs: Path) -> Path:
    """The most recently written best.pt (or last.pt) under `runs`."""
    found = [p for name in ("best.pt", "last.pt") for p in Path(runs).rglob(name)]
    if not found:
        raise CheckpointError(
            f"{runs}/: holds no checkpoint; train one with `python -m train`, "
            "or name one with --checkpoint"
        )
    # Of one run, best.pt is the one to deploy, although last.pt is written after it.
    newest_run = max(found, key=lambda p: p.stat().st_mtime).parent
    best = newest_run / "best.pt"
    return best if best.exists() else newest_run / "last.pt"


def _shape(shape: torch.Size | None) -> str:
    return "missing" if shape is None else str(tuple(shape))
