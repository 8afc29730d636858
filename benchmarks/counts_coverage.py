"""How often the intervals of counts hold the truth, on towns whose truth is known."""

from __future__ import annotations

import argparse
import itertools
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from runtime import cli
from runtime.counts import estimator, intervals, strata
from runtime.damage import CLASS_NAMES, DAMAGE_CLASSES

CLASSES = (*(CLASS_NAMES[each] for each in DAMAGE_CLASSES), "not-a-building")
SHARES = {
    "even": (0.25, 0.25, 0.25, 0.25),
    "skewed": (0.6, 0.2, 0.12, 0.08),
    "rare": (0.85, 0.08, 0.05, 0.02),
}
METHODS = ("prediction-powered", "stratified")

FEWEST = 30
"""Buildings of a class whose interval is judged."""


@dataclass(frozen=True)
class Setting:
    accuracy: float
    shares: str
    checked: int
    cells: int
    buildings: int
    grouping: float = 1.0
    """Shape of the gamma distribution of missed buildings' density; less: fewer, denser groups."""


@dataclass(frozen=True, eq=False)
class Town:
    """truth, mapped: class indices [N]. shares [N,C]: what the map says.

    missed [M,C]: buildings of a cell that the map has not. suspicion [M].
    """

    truth: np.ndarray
    mapped: np.ndarray
    confidence: np.ndarray
    shares: np.ndarray
    missed: np.ndarray
    suspicion: np.ndarray


@dataclass(frozen=True)
class Outcome:
    """Of one class in one setting, over all draws.

    errors: wrong buildings that a sample holds of the class, mapped as it or not, on average.
    """

    setting: Setting
    name: str
    truth: float
    coverage: float
    above: float
    below: float
    width: float
    plain_width: float
    errors: float
    method: str


def town(random: np.random.Generator, setting: Setting) -> Town:
    """Errors go to a neighbouring class mostly, and confidence tells a part of them.

    One building in twenty is none, as many are missing from the map; they stand in groups.
    """
    count, number = setting.buildings, len(CLASSES)
    truth = random.choice(4, count, p=SHARES[setting.shares])
    wrong = random.random(count) > setting.accuracy
    step = random.choice([-1, 1], count)
    beside = np.where((truth + step < 0) | (truth + step > 3), truth - step, truth + step)
    beside = np.where(random.random(count) < 0.15, random.integers(0, 4, count), beside)
    mapped = np.where(wrong, beside, truth)
    alarm = random.random(count) < 0.05
    mapped[alarm] = random.choice(4, int(alarm.sum()), p=[0.5, 0.2, 0.15, 0.15])
    truth = np.where(alarm, 4, truth)
    sure = np.where(truth == mapped, random.beta(6, 1.5, count), random.beta(3, 2, count))
    confidence = 0.3 + 0.7 * sure
    rows = np.arange(count)
    shares = np.zeros((count, number))
    others = random.dirichlet([0.7] * 4, count)
    others[rows, mapped] = 0
    shares[:, :4] = others / others.sum(axis=1, keepdims=True) * (1 - confidence)[:, None]
    shares[rows, mapped] = confidence
    ground = 4 * setting.cells
    density = random.gamma(setting.grouping, 1, (ground, 1))
    expected = 0.05 * count * np.array(SHARES[setting.shares]) * density / density.sum()
    missed = np.zeros((ground, number))
    missed[:, :4] = random.poisson(expected)
    return Town(
        truth, mapped, confidence, shares, missed, density[:, 0] * random.gamma(1, 1, ground)
    )


def measured(
    place: Town, setting: Setting, draws: int, random: np.random.Generator, method: str
) -> dict[str, np.ndarray]:
    """Estimates, limits and truth of the classes and, last, of all missed ones."""
    z = intervals.quantile(0.95)
    labels = strata.by_class_and_confidence(place.mapped, place.confidence, setting.checked)
    size = np.bincount(labels)
    numbers = strata.allocated(size, strata.spread_of(labels, place.confidence), setting.checked)
    one = np.eye(len(CLASSES))[place.truth]
    own = np.zeros((len(size), len(CLASSES)), bool)
    sums: dict[str, list[np.ndarray]] = {"found": [], "seen": [], "variance": [], "covariance": []}
    for each, number in enumerate(numbers.tolist()):
        here = np.flatnonzero(labels == each)
        own[each, place.mapped[here[0]]] = True
        picked = here[_picked(random, draws, len(here), number)]
        true, said = one[picked], place.shares[picked]
        mean = said.mean(axis=1, keepdims=True)
        sums["found"].append(true.sum(axis=1))
        sums["seen"].append(mean[:, 0])
        sums["variance"].append(said.var(axis=1, ddof=1))
        sums["covariance"].append((true * (said - mean)).sum(axis=1) / (number - 1))
    stacked = {name: np.stack(each, axis=1) for name, each in sums.items()}
    found = stacked.pop("found")
    overall = np.stack([place.shares[labels == each].mean(axis=0) for each in range(len(size))])
    predicted = estimator.Predicted(overall, **stacked) if method == METHODS[0] else None
    sampled = estimator.Strata(size.astype(float), numbers.astype(float), own)
    parts = list(estimator.parts(found, sampled, z, predicted))
    missing = _missed(place, setting, draws, random, z)
    of_classes = estimator.Part(
        *(each[:, :-1] * [1, 1, 1, 1, 0] for each in (missing.total, missing.low, missing.high))
    )
    total, low, high = intervals.of_sum(
        [(each.total, (each.low, each.high)) for each in (*parts, of_classes)]
    )
    truth = one.sum(axis=0) + place.missed.sum(axis=0)
    wrong = np.where(own, numbers[:, None] - found, found).sum(axis=1)
    return {
        "total": np.column_stack([total, missing.total[:, -1]]),
        "low": np.column_stack([low, missing.low[:, -1]]),
        "high": np.column_stack([high, missing.high[:, -1]]),
        "truth": np.append(truth, place.missed.sum()),
        "errors": np.append(wrong.mean(axis=0), np.nan),
    }


def _missed(
    place: Town, setting: Setting, draws: int, random: np.random.Generator, z: float
) -> estimator.Part:
    """Of each class and, last, of all together."""
    labels = strata.by_suspicion(place.suspicion)
    size = np.bincount(labels)
    numbers = strata.allocated(size, 1 / size, setting.cells)
    every = np.column_stack([place.missed, place.missed.sum(axis=1)])
    found, squares = [], []
    for each, number in enumerate(numbers.tolist()):
        here = np.flatnonzero(labels == each)
        values = every[here[_picked(random, draws, len(here), number)]]
        found.append(values.sum(axis=1))
        squares.append((values**2).sum(axis=1))
    return estimator.missed(
        np.stack(found, axis=1), np.stack(squares, axis=1), size.astype(float),
        numbers.astype(float), z,
    )  # fmt: skip


def plain_width(place: Town, setting: Setting) -> np.ndarray:
    """Expected width from a plain random sample of as many buildings and cells, without a map."""
    z = intervals.quantile(0.95)
    count, cells = len(place.truth), len(place.missed)
    share = np.bincount(place.truth, minlength=len(CLASSES)) / count
    units = np.full(len(CLASSES), setting.checked / (1 - setting.checked / count))
    low, high = intervals.of_share(share, units, z)
    every = np.column_stack([place.missed, place.missed.sum(axis=1)])
    total = every.sum(axis=0)
    rest = 1 - setting.cells / cells
    spread = cells**2 * rest * every.var(axis=0, ddof=1) / setting.cells
    below, above = intervals.of_number(total, spread / np.maximum(total, 1e-9), z)
    half = [(share - low) * count, (high - share) * count]
    both = [
        np.hypot(each, more[:-1] * [1, 1, 1, 1, 0])
        for each, more in zip(half, (total - below, above - total), strict=True)
    ]
    return np.append(both[0] + both[1], above[-1] - below[-1])


def _picked(random: np.random.Generator, draws: int, count: int, number: int) -> np.ndarray:
    """[draws, number] different indices below `count`."""
    if number == count:
        return np.broadcast_to(np.arange(count), (draws, count))
    return np.argpartition(random.random((draws, count)), number - 1, axis=1)[:, :number]


def judged(setting: Setting, draws: int, towns: int, seed: int, method: str) -> list[Outcome]:
    """Draws are shared by the towns; a class counts in the towns that have enough of it."""
    sums: dict[str, list[np.ndarray]] = {}
    for number in range(towns):
        random = np.random.default_rng([seed, number, setting.checked, int(setting.accuracy * 100)])
        place = town(random, setting)
        found = measured(place, setting, draws // towns, random, method)
        truth = found["truth"]
        enough = truth >= FEWEST
        values = {
            "above": (found["low"] > truth + 1e-6).mean(axis=0),
            "below": (found["high"] < truth - 1e-6).mean(axis=0),
            "width": (found["high"] - found["low"]).mean(axis=0),
            "plain": plain_width(place, setting),
            "truth": truth,
            "errors": found["errors"],
        }
        for name, each in values.items():
            sums.setdefault(name, []).append(np.where(enough, each, np.nan))
    outcomes = []
    for index, name in enumerate((*CLASSES, "missed")):
        column = {key: np.stack(each)[:, index] for key, each in sums.items()}
        if np.isfinite(column["truth"]).sum() < min(towns, 5):
            continue
        mean = {key: float(np.nanmean(each)) for key, each in column.items() if key != "errors"}
        errors = column["errors"]
        outcomes.append(Outcome(
            setting, name, mean["truth"], 1 - mean["above"] - mean["below"], mean["above"],
            mean["below"], mean["width"], mean["plain"],
            float(np.nanmean(errors)) if np.isfinite(errors).any() else float("nan"), method,
        ))  # fmt: skip
    return outcomes


def settings(buildings: int, grouping: float = 1.0) -> list[Setting]:
    return [
        Setting(accuracy, shares, checked, checked // 2, buildings, grouping)
        for accuracy, shares, checked in itertools.product(
            (0.6, 0.75, 0.85, 0.95), SHARES, (100, 200, 400)
        )
    ]


def table(outcomes: list[Outcome]) -> str:
    lines = [
        "| accuracy | shares | checked | class | buildings | coverage | above, below | width | "
        "plain sample's | wrong ones in a sample |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for each in outcomes:
        at = each.setting
        errors = "" if np.isnan(each.errors) else f"{each.errors:.1f}"
        lines.append(
            f"| {at.accuracy:.2f} | {at.shares} | {at.checked} | {each.name} | {each.truth:.0f} | "
            f"{100 * each.coverage:.1f} % | {100 * each.above:.1f}, {100 * each.below:.1f} | "
            f"{each.width:.0f} | {each.plain_width:.0f} | {errors} |"
        )
    return "\n".join(lines)


def summary(outcomes: list[Outcome]) -> str:
    coverage = np.array([each.coverage for each in outcomes])
    within = (coverage >= 0.93) & (coverage <= 0.97)
    ratio = np.array([each.width / each.plain_width for each in outcomes])
    return (
        f"{within.sum()} of {len(within)} intervals hold the truth in 93 to 97 % of the draws; "
        f"{(coverage < 0.93).sum()} in fewer (least {100 * coverage.min():.1f} %), "
        f"{(coverage > 0.97).sum()} in more (most {100 * coverage.max():.1f} %); median width "
        f"{np.median(ratio):.2f} of the plain sample's"
    )


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m benchmarks.counts_coverage",
        usage="%(prog)s [option ...]",
        description="How often the intervals of dual-hrnet counts hold the truth: synthetic towns, "
        "maps of them with known errors, and many samples of each.",
    )
    p.add_argument(
        "--draws", type=int, default=1000, metavar="N",
        help="samples of each setting (default: 1000)",
    )  # fmt: skip
    p.add_argument(
        "--towns", type=int, default=20, metavar="N",
        help="towns that they are drawn from (default: 20)",
    )  # fmt: skip
    p.add_argument(
        "--buildings", type=int, default=2000, metavar="N",
        help="buildings of a town's map (default: 2000)",
    )  # fmt: skip
    p.add_argument(
        "--method", choices=METHODS, default=METHODS[0],
        help=f"of the estimate (default: {METHODS[0]})",
    )  # fmt: skip
    p.add_argument(
        "--grouping", type=float, default=1.0, metavar="G",
        help="of missed buildings: less than 1, fewer and denser groups (default: 1)",
    )  # fmt: skip
    p.add_argument(
        "--seed", type=int, default=0, metavar="K", help="of what is random (default: 0)"
    )
    p.add_argument("--out", type=Path, metavar="FILE", help="write what was measured as JSON")
    return p


def main(args: argparse.Namespace) -> None:
    outcomes: list[Outcome] = []
    for each in settings(args.buildings, args.grouping):
        outcomes += judged(each, args.draws, args.towns, args.seed, args.method)
    print(table(outcomes))
    print()
    print(summary(outcomes))
    if args.out:
        from runtime.files import write_json

        content: list[dict[str, Any]] = [asdict(each) for each in outcomes]
        write_json(args.out, content)


if __name__ == "__main__":
    cli.run(parser(), main)
