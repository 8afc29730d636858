"""Proof that a graph or an engine computes what the checkpoint does: run it, compare the maps."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from torch import nn

from export.deploy import DeployOptions
from export.half_precision import check_activations
from export.request import Proof
from export.tta import averaged
from runtime.backends.contract import OUTPUTS
from runtime.backends.onnxruntime import load_onnxruntime, settings
from runtime.damage import CLASS_NAMES
from runtime.engine import Engine
from runtime.errors import CheckpointError, DataError, ExportError
from train.inference import Maps, Runner, contradictions, predict_maps
from train.model import DualHRNet
from train.synthetic.scene import make_scene
from train.xbd import find_tiles

Pair = tuple[np.ndarray, np.ndarray]

MIN_FP32_AGREEMENT = 0.9999
"""Share of labels on which an FP32 graph must agree with PyTorch, or nothing is written."""

PARITY_SEED = 20_260
"""Of the synthetic scenes that parity is measured on where no data set is given."""


def parity_pairs(options: DeployOptions, proof: Proof) -> tuple[list[Pair], str]:
    """Image pairs of the engine's size, and a description of where they come from.

    Tiles of `proof.data` are cut at their top left corner; a smaller tile is passed over.
    """
    height, width, count, data = options.height, options.width, proof.parity_pairs, proof.data
    if data is not None:
        pairs = []
        for tile in find_tiles(data, proof.split, labelled=False):
            pre, post = tile.images()
            if pre.shape[0] >= height and pre.shape[1] >= width:
                pairs.append((pre[:height, :width], post[:height, :width]))
            if len(pairs) == count:
                break
        if not pairs:
            raise DataError(
                f"--data {data}: no tile of split {proof.split} is {height}x{width} or larger; "
                "choose a smaller --size, or leave --data out to compare on synthetic scenes"
            )
        return pairs, f"{len(pairs)} tiles of split {proof.split}"
    side = max(height, width)
    scenes = [make_scene(PARITY_SEED, index, side) for index in range(count)]
    pairs = [(s.pre[:height, :width], s.post[:height, :width]) for s in scenes]
    noun = "scene" if count == 1 else "scenes"
    return pairs, f"{count} synthetic {noun} (seed {PARITY_SEED})"


def graph_runner(model: onnx.ModelProto, options: DeployOptions) -> Runner:
    """The deploy graph itself, executed by ONNX Runtime on the processor.

    A graph that takes no single pair gets copies of it.
    """
    session = load_onnxruntime().InferenceSession(
        model.SerializeToString(), settings(), providers=["CPUExecutionProvider"]
    )
    count = options.batch[0]

    def run(pre: np.ndarray, post: np.ndarray) -> Maps:
        batch = {"pre": np.stack([pre] * count), "post": np.stack([post] * count)}
        damage, building, confidence = session.run(list(OUTPUTS), batch)
        return damage[0], building[0], confidence[0]

    return run


def engine_runner(engine: Engine) -> Runner:
    def run(pre: np.ndarray, post: np.ndarray) -> Maps:
        maps = engine.predict(pre, post)
        return maps.damage, maps.building, maps.confidence

    return run


def prove(
    what: str, run: Runner, network: DualHRNet, pairs: list[Pair], options: DeployOptions
) -> dict[str, Any]:
    """`measure`, and what FP32 owes.

    Raises:
        ExportError: FP32, and yet other labels than PyTorch's; FP16, and numbers beyond it.
    """
    if options.half:
        check_activations(network, pairs)
    parity = measure(run, averaged(network, options.tta), pairs, options.threshold)
    agreement = parity["label_agreement"]
    if options.precision == "fp32" and not agreement >= MIN_FP32_AGREEMENT:
        raise ExportError(
            f"{what} agrees with PyTorch on {agreement:.4%} of the labels, in FP32 it must on "
            f"{MIN_FP32_AGREEMENT:.2%}; nothing was written, report the checkpoint's architecture"
        )
    return parity


def measure(
    run: Runner,
    network: nn.Module,
    pairs: list[Pair],
    threshold: float,
) -> dict[str, Any]:
    """How far `run`'s maps are from PyTorch's FP32 maps on the same pairs.

    Raises:
        ExportError: either has logits that are no numbers, or PyTorch's maps show nothing but
            one value, with which anything dead agrees.

    Returns:
        label_agreement: share of pixels with the same damage label.
        class_f1: per class that occurs, F1 of the engine's labels against PyTorch's.
        max_building_difference, max_confidence_difference: in steps of 1/255, the latter
            where the labels agree.
    """
    confusion = np.zeros((len(CLASS_NAMES),) * 2, np.int64)
    building_gap = confidence_gap = 0
    shown = []
    for pre, post in pairs:
        damage, building, confidence = run(pre, post)
        off = contradictions((damage, building, confidence), threshold)
        if off:
            raise ExportError(
                f"its maps contradict each other on {off} of {damage.size} pixels, as logits that "
                "are NaN make them: numbers overflow in its precision; nothing was written, use "
                "--fp32, or another checkpoint"
            )
        try:
            reference, building_ref, confidence_ref = predict_maps(network, pre, post, threshold)
        except CheckpointError as error:
            raise ExportError(f"{error}; nothing was written") from error
        shown.append(np.stack([reference, building_ref, confidence_ref]).reshape(3, -1))
        np.add.at(confusion, (reference.ravel(), damage.ravel()), 1)
        building_gap = max(building_gap, _gap(building, building_ref).max())
        agreeing = damage == reference
        if agreeing.any():
            gap = _gap(confidence, confidence_ref)[agreeing].max()
            confidence_gap = max(confidence_gap, gap)
    maps = np.concatenate(shown, 1)
    if (maps == maps[:, :1]).all():
        raise ExportError(
            f"PyTorch's maps hold one value each on all {maps.shape[1]} pixels, so that agreeing "
            "with them shows nothing; the network is dead, nothing was written, take another "
            "checkpoint"
        )
    return {
        "label_agreement": float(np.trace(confusion) / confusion.sum()),
        "pixels": int(confusion.sum()),
        "class_f1": _class_f1(confusion),
        "max_building_difference": int(building_gap),
        "max_confidence_difference": int(confidence_gap),
    }


def _gap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.abs(a.astype(np.int16) - b.astype(np.int16))


def _class_f1(confusion: np.ndarray) -> dict[str, float]:
    hits = np.diag(confusion)
    total = confusion.sum(0) + confusion.sum(1)
    return {
        name: float(2 * hits[value] / total[value])
        for value, name in enumerate(CLASS_NAMES)
        if total[value]
    }
