"""The network as one ONNX file for Deepness, a plugin of QGIS that maps a layer with a model.

Deepness takes a model with one input, float32 [1,C,S,S] of values 0 to 1, and one output of
[1,classes,S,S], of which it takes the largest; what it should know besides stands in the file's
metadata. So the two images are one raster of six bands: red, green and blue before, then after.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from export.deploy import DeployOptions, deploy_graph
from export.onnx_graph import trace
from export.parity import MIN_FP32_AGREEMENT
from export.parity_pairs import ParityPair, described
from runtime.backends.onnxruntime import load_onnxruntime, settings
from runtime.damage import CLASS_NAMES
from runtime.errors import ExportError
from train.model import DualHRNet
from train.model.decode import decode_planes

BANDS = 6

INPUT, OUTPUT = "image", "scores"

HALO = 64
"""Pixels of a tile's edge, within which labels depend on where the tile lies."""


class DeepnessGraph(nn.Module):
    """image: float32 [N,6,S,S], 0 to 1 -> scores: float32 [N,5,S,S], which sum to 1.

    Where the network sees no building, background has all; elsewhere the four classes have their
    probabilities and background none. The largest is so the label of the deploy graph, whatever
    the threshold of a building is.
    """

    def __init__(self, network: DualHRNet, options: DeployOptions) -> None:
        super().__init__()
        self.deploy = deploy_graph(network, options)

    def forward(self, image: Tensor) -> Tensor:
        # Whole numbers again, as the deploy graph takes them: x / 255 * 255 is not always x.
        levels = torch.round(image * 255.0)
        pre, post = (
            levels[:, bands] * self.deploy.gain + self.deploy.offset
            for bands in (slice(0, 3), slice(3, BANDS))
        )
        building, *damage = self.deploy.logits_upsampling(self.deploy.core(pre, post).float())
        label, *_ = decode_planes(building, damage, self.deploy.threshold)
        there = (label > 0).float().unsqueeze(1)
        classes = torch.softmax(torch.stack(damage, 1), 1)
        return torch.cat([1.0 - there, there * classes], 1)


def export_deepness(
    network: DualHRNet, options: DeployOptions, gsd_m: Sequence[float] | None
) -> onnx.ModelProto:
    """FP32, with the metadata that Deepness reads.

    options: a square size, one pair. gsd_m: metres a pixel that the network was trained on, if
    that is known: Deepness resamples the raster to their mean.
    """
    image = torch.zeros(1, BANDS, options.height, options.width)
    graph = DeepnessGraph(network, options).eval()
    model = trace(graph, (image,), (INPUT,), (OUTPUT,), options.opset)
    onnx.helper.set_model_props(model, metadata(options.height, gsd_m))
    onnx.checker.check_model(model)
    return model


def metadata(side: int, gsd_m: Sequence[float] | None) -> dict[str, str]:
    """JSON by the names that Deepness knows; its resolution is in centimetres.

    Every score is taken, and nothing is smoothed away: a threshold or a filter of its own would
    turn buildings into background.
    """
    values: dict[str, object] = {
        "model_type": "Segmentor",
        "class_names": {str(value): name for value, name in enumerate(CLASS_NAMES)},
        "tile_size": side,
        "tiles_overlap": min(50, -(-2 * HALO * 100 // side)),
        "seg_thresh": 0.0,
        "seg_small_segment": 0,
    }
    if gsd_m:
        values["resolution"] = round(100 * sum(gsd_m) / len(gsd_m), 2)
    return {name: json.dumps(value) for name, value in values.items()}


def check(model: onnx.ModelProto, pairs: Sequence[ParityPair]) -> str:
    """Compare its labels with FP32's on pairs of its size; what that gave, in words.

    Raises ExportError where they are others.
    """
    session = load_onnxruntime().InferenceSession(
        model.SerializeToString(), settings(), providers=["CPUExecutionProvider"]
    )
    same = total = built = built_same = 0
    for pair in pairs:
        stacked = np.concatenate([pair.pre, pair.post], 2).transpose(2, 0, 1)[None]
        image = np.float32(stacked * (1.0 / 255.0))  # as Deepness makes it of bytes
        (scores,) = session.run([OUTPUT], {INPUT: image})
        label, expected = scores[0].argmax(0), pair.maps[0]
        equal, building = label == expected, (label > 0) | (expected > 0)
        same, total = same + int(equal.sum()), total + equal.size
        built_same, built = built_same + int((equal & building).sum()), built + int(building.sum())
    if not built or same < MIN_FP32_AGREEMENT * total or built_same < MIN_FP32_AGREEMENT * built:
        raise ExportError(
            f"{same} of {total} labels, and {built_same} of {built} on buildings, are PyTorch's "
            f"({described(pairs)}); expected {MIN_FP32_AGREEMENT:.2%} of both, nothing was written"
        )
    return f"{same / total:.4%} of its labels are PyTorch's ({described(pairs)})"
