"""What the model cards of checkpoints and of engines have in common.

The form is that of Hugging Face's model cards: metadata as YAML, then the sections of their
template. Nothing is said that was not measured or recorded.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from runtime.damage import CLASS_NAMES, DAMAGE_CLASSES
from train.checkpoint import Checkpoint
from train.config import TrainConfig
from train.data_summary import DataSummary, SplitSummary, origins
from train.markdown import bullets, fenced, listed, plain, table, yaml_text
from train.model import ModelConfig
from train.precision import RECORDS
from train.scored import Scored

FILE_NAME = "README.md"
LIBRARY = "dual-hrnet-edge"
TASK = "image-segmentation"
TAGS = [
    "building-damage",
    "change-detection",
    "remote-sensing",
    "satellite-imagery",
    "xview2",
    "hrnet",
]
LICENSE = "unknown"
"""Hugging Face's word for it: no checkpoint records a licence of its weights."""

NOT_MEASURED, NOT_RECORDED = "not measured", "not recorded"

SCORE, LOCALIZATION = "xView2 score", "localization F1"

USES = f"""## Uses

### Direct Use

Two 8-bit RGB images of one place from above, before and after a disaster, become three maps: the
damage class of each pixel, the building probability, and the probability of the chosen class.
The classes are {", ".join(f"{value} {name}" for value, name in enumerate(CLASS_NAMES))}.

### Downstream Use

Buildings with a class each, counts and areas for a first overview; `runtime.predict` makes them.

### Out-of-Scope Use

Not to decide whether a building may be entered, and not as the only ground for giving or refusing
help. Not for radar or oblique images, and not for damage that cannot be seen from above."""

CITATION = """## Citation

- xBD: R. Gupta et al., "xBD: A Dataset for Assessing Building Damage from Satellite Imagery",
  2019, <https://arxiv.org/abs/1911.09296>
- HRNet: J. Wang et al., "Deep High-Resolution Representation Learning for Visual Recognition",
  2019, <https://arxiv.org/abs/1908.07919>
- Dual-HRNet: SI Analytics, fifth place of the xView2 challenge,
  <https://github.com/DIUx-xView/xView2_fifth_place>"""

ENVIRONMENT = f"## Environmental Impact\n\n{NOT_MEASURED.capitalize()}."


@dataclass(frozen=True)
class Training:
    """What a checkpoint tells of how its network was made; None where it does not.

    metrics: its scores on the split it was validated on, or nothing.
    scored: on what these were counted; None: on all tiles in FP32, by a run before that record.
    precision: that its forward passes were computed in, whatever the configuration left open.
    started_from: the weights that it began with, in words.
    """

    model: ModelConfig
    epoch: int
    step: int
    config: TrainConfig | None
    data: DataSummary | None
    metrics: Mapping[str, Any]
    precision: str | None = None
    started_from: str | None = None
    scored: Scored | None = None

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> Training:
        try:
            config = TrainConfig.model_validate(checkpoint.config) if checkpoint.config else None
        except ValidationError:  # of another version of the toolkit, which the card can do without
            config = None
        return cls(
            checkpoint.model,
            checkpoint.epoch,
            checkpoint.step,
            config,
            checkpoint.data,
            checkpoint.metrics,
            RECORDS.get(checkpoint.precision or NOT_RECORDED),
            checkpoint.started_from,
            checkpoint.scored,
        )

    @property
    def datasets(self) -> list[str]:
        return origins(self.data.train.disasters) if self.data else []

    @property
    def scale(self) -> tuple[float, float] | None:
        return self.data.scale if self.data else None

    @property
    def pixel_m(self) -> tuple[float, float] | None:
        return self.data.pixel_m if self.data else None

    @property
    def figures(self) -> dict[str, float]:
        """Score, localization F1, damage F1 and that of each class, where they were measured."""
        of_class = self.metrics.get("class_f1")
        given = {
            SCORE: self.metrics.get("score"),
            LOCALIZATION: self.metrics.get("localization_f1"),
            "damage F1": self.metrics.get("damage_f1"),
        }
        if isinstance(of_class, dict):
            classes = [CLASS_NAMES[value] for value in DAMAGE_CLASSES]
            given |= {f"F1 of {name}": of_class.get(name) for name in classes}
        return {
            name: float(value)
            for name, value in given.items()
            if isinstance(value, int | float) and math.isfinite(value)
        }


def metadata(name: str, training: Training, tags: list[str], results: list[Any]) -> dict[str, Any]:
    """The front matter. Without `results` there is no model-index: nothing was measured."""
    return {
        "license": LICENSE,
        "library_name": LIBRARY,
        "pipeline_tag": TASK,
        "tags": [*TAGS, *tags],
        "datasets": training.datasets,
        "metrics": ["f1"],
        "model-index": [{"name": name, "results": results}] if results else None,
    }


def result(
    tiles: str, split: str, disasters: Iterable[str], figures: Mapping[str, float]
) -> dict[str, Any]:
    """One of the model-index: figures on the `tiles` of a split, in words."""
    kinds = list(origins(disasters))
    kind = kinds[0] if len(kinds) == 1 else "other"
    return {
        "task": {"type": TASK, "name": "building damage mapping"},
        "dataset": {"type": kind, "name": tiles, "split": split},
        "metrics": [
            {"type": "xview2-score" if name == SCORE else "f1", "name": name, "value": value}
            for name, value in figures.items()
        ],
    }


def limitations(training: Training, pixel_m: Sequence[float] | None) -> str:
    """`pixel_m`: the least and the largest pixel that it was trained on, metres."""
    if training.data:
        names = ", ".join(training.data.train.disasters)
        trained = plain(f"It was trained on images of these disasters: {names}.")
        if training.datasets == ["synthetic"]:
            trained += " All of them were drawn by a program; on real images it was not tried."
    else:
        trained = "Which disasters it was trained on is not recorded."
    return f"""## Bias, Risks, and Limitations

{trained} How well it maps other places, sensors and kinds of disaster is {NOT_MEASURED}.
Ground size of a pixel in training: {_range(pixel_m, " m")}; scale of its crops beside the tiles,
which are mapped at 1: {_range(training.scale)}.

### Recommendations

Check a sample of the buildings by eye before the counts are used, and read `summary.json`: what
could not be computed is nodata, never "no damage"."""


def _range(given: Sequence[float] | None, unit: str = "") -> str:
    return f"{given[0]:g} to {given[1]:g}{unit}" if given else NOT_RECORDED


def training_details(training: Training) -> str:
    return "\n\n".join(
        [
            "## Training Details",
            f"### Training Data\n\n{_training_data(training.data)}",
            f"### Training Procedure\n\n{_procedure(training)}",
        ]
    )


def evaluation(training: Training) -> str:
    """The checkpoint's scores, as PyTorch computed them."""
    split = training.data.val.split if training.data else NOT_RECORDED
    if not training.figures:
        return f"The checkpoint's accuracy: {NOT_MEASURED}."
    scored = training.scored
    on = "the whole tiles"
    if scored and not scored.exact:
        on = f"{scored}, which is less than the exact score takes,"
    return f"The checkpoint, computed by PyTorch on {on} of split {plain(split)}:\n\n" + table(
        ["metric", "value"], [(n, f"{value:.4f}") for n, value in training.figures.items()]
    )


def metrics_explained() -> str:
    return """#### Metrics

The official xView2 score is 0.3 x localization F1 + 0.7 x damage F1. Pixels are counted over all
tiles and F1 is taken once; damage F1 is the harmonic mean over the four classes."""


def _training_data(data: DataSummary | None) -> str:
    if data is None:
        return f"{NOT_RECORDED.capitalize()} in the checkpoint."
    rows = [
        _split_row("training", data.train),
        _split_row("validation", data.val),
    ]
    text = table(["", "split", "tiles", "disasters (tiles)", "size", *CLASS_NAMES[1:]], rows)
    text = f"Tiles in xBD's layout; under the classes the pixels of each.\n\n{text}"
    if "xbd" in origins(data.train.disasters):
        text += "\n\nxBD is published under CC BY-NC-SA 4.0, which is not for commercial use."
    if data.left_out:
        text += plain(f"\n\nLeft out of both: {', '.join(data.left_out)}.")
    if data.remarks:
        text += f"\n\nWhat is odd about them:\n\n{listed(data.remarks)}"
    return text


def _split_row(what: str, split: SplitSummary) -> list[object]:
    disasters = ", ".join(f"{name} ({count})" for name, count in split.disasters.items())
    sizes = ", ".join(f"{height}x{width}" for height, width in split.sizes)
    pixels = [split.pixels.get(name, 0) for name in CLASS_NAMES[1:]]
    return [what, split.split, split.tiles, disasters, sizes, *pixels]


def _procedure(training: Training) -> str:
    model, config = training.model, training.config
    text = "#### Preprocessing\n\n" + bullets({"Mean": model.mean, "Standard deviation": model.std})
    text += "\n\n#### Training Hyperparameters\n\n"
    if config is None:
        return f"{text}{NOT_RECORDED.capitalize()}, or by another version of the toolkit."
    regime = f", computed in {training.precision}" if training.precision else ""
    return (
        f"{text}The weights are those after epoch {training.epoch} of {config.epochs}, "
        f"{training.step} steps{regime}.\n\n" + fenced(yaml_text(_without_folders(config)), "yaml")
    )


def _without_folders(config: TrainConfig) -> dict[str, Any]:
    """The configuration but for the network; of files only the name, since their folders are one
    machine's."""
    content = config.model_dump(exclude={"model"})
    plain_types = config.model_dump(mode="json")

    def shown(value: Any, as_json: Any) -> Any:
        if isinstance(value, Path):
            return value.name
        if isinstance(value, dict):
            return {key: shown(each, as_json[key]) for key, each in value.items()}
        return as_json

    return {key: shown(value, plain_types[key]) for key, value in content.items()}
