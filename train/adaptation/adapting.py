"""One network, one scene, corrections or none: the adapted network, and what was measured of it."""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from runtime.damage import CLASS_NAMES, IGNORE, UNCLASSIFIED
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


@dataclass(frozen=True, eq=False)
class Material:
    """What is learnt from and judged on. window_of: of each correction its number in `examples`."""

    corrections: Sequence[Correction]
    examples: Sequence[Example]
    window_of: Sequence[int]
    rest: Sequence[Example]

    def fitted(self, base: DualHRNet, config: FitConfig, left_out: Sequence[int]) -> DualHRNet:
        """`base` fitted to all corrections but these (their indices)."""
        corrected, _ = _taught(self.examples, left_out)
        _, rest = _taught(self.rest, left_out)
        return fit(base, corrected, rest, self.corrections, config)

    def judged(self, network: DualHRNet, which: Iterable[int] | None = None) -> Judged:
        """How it does on these corrections, or on all."""
        indices = range(len(self.corrections)) if which is None else which
        return judge(network, self.corrections, self.examples, self.window_of, indices)


def gather(
    base: DualHRNet,
    pair: ScenePair,
    corrections: Sequence[Correction],
    patches: Sequence[Patch],
    side: int,
) -> Material:
    """What `base` is fitted to.

    Where nothing is corrected it is held to its own predictions, with the scene's statistics: with
    the old ones it may see next to nothing there.

    patches: a sample of the scene.
    """
    windows, window_of = around(corrections, pair.height, pair.width, side)
    examples = corrected_examples(base, pair, windows, side, corrections)
    for index, each in enumerate(corrections):
        if not (np.abs(examples[window_of[index]].owner) == index + 1).any():
            raise ConfigError(
                f"{each.name}: lies where one of the images is not known, or under another "
                "correction; remove it"
            )
    return Material(corrections, examples, window_of, examples_of(base, patches, corrections))


def adapt(
    network: DualHRNet,
    pair: ScenePair,
    corrections: Sequence[Correction],
    config: AdaptConfig,
    bar: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> Adapted:
    """The network adapted to a scene; `network` itself stays as it was.

    Args:
        network: in eval mode.
        corrections: none for new statistics alone.
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
    known = estimate_statistics(base, patches, config.prior)
    # None where they were kept: JSON has no infinity.
    prior = None if math.isinf(config.prior) else config.prior
    statistics = {"prior": prior, "windows": len(patches), "known": round(known, 2)}
    record = {"window": config.side, "statistics": statistics, "corrections": len(corrections)}
    if not corrections:
        record |= {"method": "statistics", "map": compared(network, base, patches)}
        return Adapted(base, record)
    material = gather(base, pair, corrections, patches, config.side)
    folds = folds_of(material.window_of)
    before, after = material.judged(network), Judged()
    for left_out in bar(folds):
        after += material.judged(material.fitted(base, config.fit, left_out), left_out)
    refused = tuple(worse(before, after))
    adapted = base if refused else material.fitted(base, config.fit, ())
    record |= {
        "method": config.fit.method,
        "steps": config.fit.steps,
        "rate": config.fit.rate,
        "classes": _by_class(corrections),
        "left_out": {
            "folds": len(folds),
            "before": before.as_dict(),
            "statistics_alone": material.judged(base).as_dict(),
            "after": after.as_dict(),
        },
        "map": compared(network, adapted, patches),
    }
    return Adapted(adapted, record, refused)


def _by_class(corrections: Sequence[Correction]) -> dict[str, int]:
    names = dict(enumerate(CLASS_NAMES)) | {IGNORE: UNCLASSIFIED}
    counts = Counter(each.damage for each in corrections)
    return {name: counts[value] for value, name in names.items()}


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
