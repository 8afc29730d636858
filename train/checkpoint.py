"""Checkpoints: written whole or not at all, read without executing anything."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ValidationError
from torch import Tensor

from runtime.errors import CheckpointError, reason
from runtime.files import replacing
from train.data_summary import DataSummary
from train.model import DualHRNet, ModelConfig
from train.scored import Scored
from train.section import describe
from train.soundness import check_weights, tensors_in
from train.torch_file import read_torch_file

FORMAT = "dual-hrnet-edge/1"

_KINDS: dict[str, type | tuple[type, ...]] = {
    "model_state": dict,
    "config": (dict, type(None)),
    "epoch": int,
    "step": int,
    "metrics": dict,
    "precision": (str, type(None)),
    "optimizer_state": (dict, type(None)),
    "resume": (dict, type(None)),
    "started_from": (str, type(None)),
}


@dataclass
class Checkpoint:
    """`model_state` and `optimizer_state` are state dicts; the rest is plain data.

    model_state: the weights to deploy; with an average, the averaged ones.
    epoch, step: epochs completed and optimiser steps taken.
    metrics, scored: the scores of these weights, and on what they were counted; None where a
        checkpoint is older than that record, or has no scores.
    precision: `Precision.record` of the training's forward passes.
    optimizer_state, resume: what else a run needs to go on from here (`train.resume`); weights
        to deploy come without.
    started_from: the weights that training began with, in words; None for random ones, and
        where nobody recorded it.
    data: what was trained and validated on, where that is known.
    """

    model: ModelConfig
    model_state: dict[str, Tensor]
    config: dict[str, Any] | None = None
    epoch: int = 0
    step: int = 0
    metrics: dict[str, Any] = field(default_factory=dict)
    scored: Scored | None = None
    precision: str | None = None
    optimizer_state: dict[str, Any] | None = None
    resume: dict[str, Any] | None = None
    started_from: str | None = None
    data: DataSummary | None = None
    path: Path | None = None

    def weights_alone(self, metrics: dict[str, Any], scored: Scored) -> Checkpoint:
        """To deploy, with other scores."""
        return replace(self, metrics=metrics, scored=scored, optimizer_state=None, resume=None)

    def network(self) -> DualHRNet:
        """The network with these weights, in eval mode.

        Raises:
            CheckpointError: the weights do not belong to the architecture they claim.
        """
        with torch.device("meta"):
            network = DualHRNet(self.model)
        expected = {name: _kind(tensor) for name, tensor in network.state_dict().items()}
        found = {name: _kind(tensor) for name, tensor in self.model_state.items()}
        if expected != found:
            wrong = sorted(
                k for k in expected.keys() | found.keys() if expected.get(k) != found.get(k)
            )
            first = wrong[0]
            was, wanted = found.get(first, "missing"), expected.get(first, "missing")
            raise CheckpointError(
                f"{self.path or 'checkpoint'}: weights of another architecture: "
                f"{len(wrong)} tensors differ from {self.model.architecture} "
                f"W{self.model.width}, first {first} (found {was}, expected {wanted})"
            )
        network.load_state_dict(self.model_state, assign=True)
        return network.eval()


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write it whole or not at all.

    Raises:
        CheckpointError: a tensor is not sound, or the disk is full; what was there stays.
    """
    advice = "not written; the last checkpoint that was saved is kept, start again from it"
    if checkpoint.config is not None:  # of a run
        advice += " with lower rates"
    check_weights(path, _tensors(checkpoint), advice)
    content = {
        "format": FORMAT,
        "model": checkpoint.model.model_dump(),
        "config": checkpoint.config,
        "epoch": checkpoint.epoch,
        "step": checkpoint.step,
        "metrics": checkpoint.metrics,
        "scored": _plain(checkpoint.scored),
        "precision": checkpoint.precision,
        "model_state": checkpoint.model_state,
        "optimizer_state": checkpoint.optimizer_state,
        "resume": checkpoint.resume,
        "started_from": checkpoint.started_from,
        "data": _plain(checkpoint.data),
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
        CheckpointError: missing, truncated, foreign, of another format version, or with a
            tensor that is not sound (see `train.soundness`).
    """
    path = Path(path)
    return checkpoint_in(path, read_torch_file(path))


def is_checkpoint(content: Any) -> bool:
    """Whether what a file was read as is meant for a checkpoint of this toolkit."""
    return isinstance(content, dict) and {"format", "model", "model_state"} <= content.keys()


def checkpoint_in(path: Path, content: Any) -> Checkpoint:
    """Like `load_checkpoint`, of what `path` was read as."""
    if not is_checkpoint(content):
        raise CheckpointError(
            f"{path}: not a checkpoint of this toolkit; for published weights run "
            f"`python -m train.import_weights --source si-analytics|hrnet {path} --out CKPT`"
        )
    if content["format"] != FORMAT:
        raise CheckpointError(
            f"{path}: checkpoint format {content['format']!r}, expected {FORMAT!r}; "
            "use the toolkit version that wrote it"
        )
    content = {"epoch": 0, "step": 0, "metrics": {}, **content}
    if "precision" not in content and isinstance(content.get("resume"), dict):
        content["precision"] = content["resume"].get("precision")  # where it was before
    for key, kind in _KINDS.items():
        value = content.get(key)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise CheckpointError(
                f"{path}: its {key} is a {type(value).__name__}; it was altered since this "
                "toolkit wrote it, take the original"
            )
    for key in ("epoch", "step"):
        if content[key] < 0:
            raise CheckpointError(
                f"{path}: its {key} is {content[key]}, expected 0 or more; it was altered since "
                "this toolkit wrote it, take the original"
            )
    try:
        model = ModelConfig.model_validate(content["model"])
        data, scored = (
            None if (given := content.get(key)) is None else kind.model_validate(given)
            for key, kind in (("data", DataSummary), ("scored", Scored))
        )
    except ValidationError as error:
        raise CheckpointError(f"{path}: {describe(error)}") from error
    checkpoint = Checkpoint(
        model, data=data, scored=scored, path=path, **{key: content.get(key) for key in _KINDS}
    )
    advice = "such a network maps nothing rightly; take another checkpoint, or train anew"
    check_weights(path, _tensors(checkpoint), advice)
    return checkpoint


def _tensors(checkpoint: Checkpoint) -> dict[str, Any]:
    """All that is computed with: the weights, and what a run goes on from."""
    resume = checkpoint.resume or {}
    return {
        **checkpoint.model_state,
        **tensors_in(checkpoint.optimizer_state, "optimizer"),
        **tensors_in(resume.get("learner"), "learner"),
    }


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


def _plain(record: BaseModel | None) -> dict[str, Any] | None:
    return record.model_dump(mode="json") if record else None


def _kind(tensor: Tensor) -> str:
    dtype = "" if tensor.dtype is torch.float32 else f"{str(tensor.dtype).removeprefix('torch.')} "
    return f"{dtype}{tuple(tensor.shape)}"
