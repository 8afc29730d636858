"""One scene, one network, several ways to adapt it; each is scored on the same buildings."""

from __future__ import annotations

import copy
import math
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.adaptation.person import dealt, score, write_corrections
from runtime.damage import DAMAGE_CLASSES
from runtime.source.pair import ScenePair, open_pair
from train.adaptation.adapting import AdaptConfig, Material, adapt, gather
from train.adaptation.corrections import Correction, find_corrections
from train.adaptation.features import read_features
from train.adaptation.fit import RATES, FitConfig
from train.adaptation.statistics import estimate_statistics
from train.adaptation.windows import sample
from train.checkpoint import load_checkpoint
from train.model import DualHRNet
from train.xbd import Footprint, Tile


class Trials:
    """pool: buildings that may be corrected, in the order in which they are. scored: the others."""

    def __init__(
        self, checkpoint: Path, tile: Tile, others: Sequence[Tile], side: int, most: int
    ) -> None:
        self.network = load_checkpoint(checkpoint).network()
        self.tile, self.side = tile, side
        judged = [each for each in tile.buildings[1] if each.damage in DAMAGE_CLASSES]
        self.pool, self.scored = dealt(tile, min(most, len(judged) // 2))
        self.others = [
            (each, (), [b for b in each.buildings[1] if b.damage in DAMAGE_CLASSES])
            for each in others
        ]

    def rows(
        self,
        methods: Sequence[str],
        rates: Sequence[float] | None,
        priors: Sequence[float] | None,
        corrected: Sequence[int],
        steps: int | None,
        *,
        left_out: bool,
    ) -> Iterator[dict[str, Any]]:
        """As trained, then with new statistics alone, then fitted. `prior` is None where the
        statistics are the old ones."""
        default = AdaptConfig(self.side)
        yield self._row(self.network, time.process_time())
        with open_pair(self.tile.pre, self.tile.post, label=self.tile.labels[1]) as pair:
            patches = sample(pair, self.side, default.sample, default.seed)
            for prior in priors or (default.prior, math.inf):
                begun = time.process_time()
                base = copy.deepcopy(self.network)
                estimate_statistics(base, patches, prior)
                if prior != math.inf:
                    yield self._row(base, begun, prior=prior)
                for count in sorted({min(each, len(self.pool)) for each in corrected}):
                    corrections = self._corrections(pair, count)
                    material = gather(base, pair, corrections, patches, self.side)
                    for method in methods:
                        for rate in rates or (RATES[method],):
                            fit = FitConfig(method, rate=rate)
                            fit = replace(fit, steps=steps) if steps else fit
                            yield self._fitted(
                                base, pair, corrections, material,
                                replace(default, prior=prior, fit=fit), left_out,
                            )  # fmt: skip

    def _fitted(
        self,
        base: DualHRNet,
        pair: ScenePair,
        corrections: Sequence[Correction],
        material: Material,
        config: AdaptConfig,
        left_out: bool,
    ) -> dict[str, Any]:
        begun = time.process_time()
        network = material.fitted(base, config.fit, ())
        row = self._row(
            network, begun, prior=config.prior, corrected=len(corrections),
            method=config.fit.method, rate=config.fit.rate, steps=config.fit.steps,
        )  # fmt: skip
        if left_out:
            whole = adapt(self.network, pair, corrections, config)
            verdict = "refused: " + "; ".join(whole.refused) if whole.refused else "accepted"
            row["left_out"] = {**whole.record["left_out"], "verdict": verdict}
        return row

    def _row(
        self,
        network: DualHRNet,
        begun: float,
        prior: float | None = None,
        corrected: int = 0,
        method: str | None = None,
        rate: float | None = None,
        steps: int = 0,
    ) -> dict[str, Any]:
        spent = time.process_time() - begun
        prior = None if prior is None or math.isinf(prior) else prior
        return {
            "prior": prior,
            "corrected": corrected,
            "method": method,
            "rate": rate,
            "steps": steps,
            "cpu_s": round(spent, 1),
            "scene": score(network, [(self.tile, self.pool, self.scored)]),
            "others": score(network, self.others) if self.others else None,
        }

    def _corrections(self, pair: ScenePair, count: int) -> list[Correction]:
        """By way of a file, as a person gives them."""
        assert pair.georeference is not None
        chosen: list[Footprint] = self.pool[:count]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "corrected.gpkg"
            write_corrections(chosen, pair.georeference, path)
            return find_corrections(read_features(path, pair), None, pair.height, pair.width)
