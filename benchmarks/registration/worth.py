"""What it is worth to an engine: the official score of pairs that lie apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from benchmarks.registration.pairs import still

SHIFTS = (8, 16)
EDGE = 24
"""Pixels of a tile's border that are not scored: a moved image shows nothing there."""


def scores(engine_folder: Path, scratch: Path, tiles: int) -> list[dict[str, Any]]:
    """The official score, by shift and with or without --register, of the same pixels."""
    import cv2

    from runtime.engine import load_engine
    from runtime.mapping import map_pair
    from runtime.options import MapOptions
    from runtime.output.png import write_png
    from runtime.score import Counts
    from train.synthetic.scene import make_scene

    rows, reach, side = [], max(SHIFTS), 512
    lying: dict[str, list[NDArray[np.uint8]]] = {}
    with (
        load_engine(engine_folder) as engine,
        mock.patch("train.synthetic.photo.misregister", still),
    ):
        scenes = [make_scene(11, index, side + 2 * reach) for index in range(tiles)]
        for shift in (0, *SHIFTS):
            for register in (False, True):
                counts, moved = Counts(), 0
                for number, scene in enumerate(scenes):
                    pre, post = scratch / "pre.png", scratch / "post.png"
                    inner, away = (
                        slice(reach, reach + side),
                        slice(reach - shift, reach - shift + side),
                    )
                    write_png(pre, scene.pre[inner, inner])
                    write_png(post, scene.post[away, inner])
                    out = scratch / f"map-{shift}-{register}-{number}"
                    summary = map_pair(engine, pre, post, out, MapOptions(register=register))
                    moved += summary["registration"]["applied"]
                    damage = cv2.imread(str(out / "damage.png"), cv2.IMREAD_UNCHANGED)
                    truth = np.zeros((side + 2 * reach,) * 2, np.uint8)
                    for each in scene.buildings:
                        cv2.fillPoly(truth, [np.rint(each.polygon).astype(np.int32)], each.damage)
                    kept = (slice(EDGE, side - EDGE),) * 2
                    target, damage = truth[inner, inner][kept], damage[kept]
                    counts.add(damage, damage, target, target)
                    lying.setdefault(f"{shift} {register}", []).append(damage)
                alike = [
                    float((one == other).mean())
                    for one, other in zip(
                        lying[f"{shift} {register}"], lying["0 False"], strict=True
                    )
                ]
                rows.append({
                    "shift": shift, "register": register, "score": counts.score,
                    "localization_f1": counts.localization_f1, "moved": moved,
                    "labels_as_unshifted": float(np.mean(alike)),
                })  # fmt: skip
    return rows
