"""The model card of a checkpoint: `README.md` beside a run's best.pt."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from torch import nn

from runtime.files import write_bytes
from train import card_parts as parts
from train.card_parts import NOT_MEASURED, NOT_RECORDED, Training
from train.checkpoint import Checkpoint
from train.markdown import bullets, document, fenced, yaml_text


def write_card(folder: Path, checkpoint: Checkpoint, network: nn.Module) -> None:
    """The card of `checkpoint`, which is `network`, into `folder`."""
    parameters = sum(each.numel() for each in network.parameters())
    write_bytes(folder / parts.FILE_NAME, card(Training.of(checkpoint), parameters))


def card(training: Training, parameters: int) -> bytes:
    """Markdown in UTF-8."""
    name = f"{training.model.architecture}-w{training.model.width}"
    front = parts.metadata(name, training, ["pytorch"], list(_results(training)))
    return document(front, _sections(name, training, parameters))


def _results(training: Training) -> Iterator[dict[str, object]]:
    if training.figures and training.data:
        val = training.data.val
        scored = training.scored
        exact = scored is None or scored.exact
        tiles = f"{val.tiles} tiles of split {val.split}" if exact else f"{scored}, {val.split}"
        yield parts.result(tiles, val.split, val.disasters, training.figures)


def _sections(name: str, training: Training, parameters: int) -> Iterator[str]:
    model, config = training.model, training.config
    begun = config.init.name if config and config.init else "random weights" if config else None
    begun = training.started_from or begun
    yield f"# Model card of {name}"
    yield (
        "Written by `python -m train` beside `best.pt`, from the run's configuration, its tiles "
        "and its scores."
    )
    yield "## Model Details\n\n### Model Description\n\n" + bullets(
        {
            "Model type": "semantic segmentation of a pair of images, Dual-HRNet",
            "Architecture": f"{model.architecture}, width {model.width}, {model.streams} streams",
            "Parameters": f"{parameters:,}",
            "License": f"{NOT_RECORDED}; the toolkit's code is under MIT",
            "Finetuned from": begun or NOT_RECORDED,
        }
    )
    yield parts.USES
    yield parts.limitations(training, training.pixel_m)
    yield "## How to Get Started with the Model\n\n" + fenced(_START, "sh")
    yield parts.training_details(training)
    yield "## Evaluation\n\n### Testing Data, Factors & Metrics\n\n" + parts.metrics_explained()
    yield "### Results\n\n" + parts.evaluation(training)
    yield f"INT8, FP16 and any engine: {NOT_MEASURED} here; each engine folder has its own card."
    yield parts.ENVIRONMENT
    yield "## Technical Specifications\n\n### Model Architecture and Objective\n\n" + fenced(
        yaml_text(model.model_dump(mode="json")), "yaml"
    )
    yield f"### Compute Infrastructure\n\n{NOT_RECORDED.capitalize()}."
    yield parts.CITATION


_START = """python -m train.evaluate --checkpoint best.pt --data DATA --split SPLIT
python -m export.build_engine --fp32 --checkpoint best.pt --out ENGINE
python -m runtime.predict --engine ENGINE before.png after.png --out MAP"""
