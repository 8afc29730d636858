"""One network, one scene, corrections or none: the adapted network, and what was measured of it."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from runtime.damage import CLASS_NAMES
from runtime.errors import ConfigError
from runtime.source.pair import ScenePair
from train.adaptation.corrections import Correction
from train.adaptation.examples import Example, corrected_examples, examples_of
from train.adaptation.fit import FitConfig, fit
from train.adaptation.left_out import LEAST, Judged, folds_of, judge, worse
from train.adaptation.statistics import estimate_statistics
from train.adaptation.windows import Patch, around, sample
from train.inference import predict_maps
from train.model import DualHRNet

LOOKED_AT = 16
"""Windows of the sample whose maps are compared before and after."""


@dataclass(frozen=True)
class AdaptConfig:
    """side: of a window, pixels. sample: windows from all over the scene.

    prior: windows that the old statistics count as; infinity keeps them as they are.
    """

    side: int
    sample: int = 64
    prior: float = 16.0
    seed: int = 0
    fit: FitConfig = field(default_factory=FitConfig)


@dataclass(frozen=True, eq=False)
class Adapted:
    """record: plain data, for a checkpoint. refused: why it must not be used, one clause each."""

    network: DualHRNet
    record: dict[str, Any]
    refused: tuple[str, ...] = ()


def adapt(
    network: DualHRNet,
    pair: ScenePair,
    corrections: Sequence[Correction],
    config: AdaptConfig,
    bar: Any = iter,
) -> Adapted:
    """The network adapted to a scene; `network` itself stays as it was.

    Args:
        network: in eval mode.
        bar: takes the folds, to show how far they are.
    Raises:
        ConfigError: too few corrections, or one that lies where the images are not known.
        ImageError: the scene cannot be read, or is hardly known.
    """
    if corrections and len(corrections) < LEAST:
        raise ConfigError(
            f"{corrections[0].name}: is the only correction, and none would be left to prove the "
            f"result with; expected {LEAST} or more, better ten"
        )
    patches = sample(pair, config.side, config.sample, config.seed)
    base = copy.deepcopy(network)
    seen = estimate_statistics(base, patches, config.prior)
    record: dict[str, Any] = {
        "window": config.side,
        "statistics": {
            "prior": config.prior, "windows": len(patches), "known_windows": round(seen, 2),
        },
        "corrections": len(corrections),
    }  # fmt: skip
    if not corrections:
        record |= {"method": "statistics", "map": compared(network, base, patches)}
        return Adapted(base, record)
    windows, window_of = around(corrections, pair.height, pair.width, config.side)
    examples = corrected_examples(network, pair, windows, config.side, corrections)
    _check_seen(corrections, examples, window_of)
    rest = examples_of(network, patches, corrections)
    everything = range(len(corrections))

    def fitted(left_out: Sequence[int]) -> DualHRNet:
        here, there = (_taught(each, left_out) for each in (examples, rest))
        return fit(base, here[0], there[1], corrections, config.fit)

    folds = folds_of(window_of)
    before, statistics = (
        judge(each, corrections, examples, window_of, everything) for each in (network, base)
    )
    after = Judged()
    for left_out in bar(folds):
        after += judge(fitted(left_out), corrections, examples, window_of, left_out)
    refused = tuple(worse(before, after))
    adapted = base if refused else fitted(())
    record |= {
        "method": config.fit.method,
        "steps": config.fit.steps,
        "rate": config.fit.rate,
        "classes": {
            name: sum(each.damage == value for each in corrections)
            for value, name in enumerate(CLASS_NAMES)
        },
        "left_out": {
            "folds": len(folds),
            "before": before.as_dict(),
            "statistics_alone": statistics.as_dict(),
            "after": after.as_dict(),
        },
        "map": compared(network, adapted, patches),
    }
    return Adapted(adapted, record, refused)


def compared(before: DualHRNet, after: DualHRNet, patches: Sequence[Patch]) -> dict[str, Any]:
    """How two networks' maps of some windows differ: known pixels of building in either and in
    both, and of those in both the ones with another class."""
    counts = np.zeros(4, np.int64)
    for patch in patches[:LOOKED_AT]:
        was, now = (predict_maps(each, patch.pre, patch.post)[0] for each in (before, after))
        both = (was > 0) & (now > 0) & patch.known
        counts += [
            ((was > 0) & patch.known).sum(), ((now > 0) & patch.known).sum(), both.sum(),
            (both & (was != now)).sum(),
        ]  # fmt: skip
    names = ("building_px_before", "building_px_after", "in_both_px", "other_class_px")
    return dict(zip(names, counts.tolist(), strict=True))


def _taught(
    examples: Iterable[Example], left_out: Sequence[int]
) -> tuple[list[Example], list[Example]]:
    """Those in which a correction is left to learn from, and those without any."""
    those = [each.without(left_out) for each in examples]
    return [e for e in those if e.owner.any()], [e for e in those if not e.owner.any()]


def _check_seen(
    corrections: Sequence[Correction], examples: Sequence[Example], window_of: Sequence[int]
) -> None:
    for index, each in enumerate(corrections):
        if not (np.abs(examples[window_of[index]].owner) == index + 1).any():
            raise ConfigError(
                f"{each.name}: lies where one of the images is not known, or under another "
                "correction; remove it"
            )
