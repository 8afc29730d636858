"""What computes the three maps of a pair: the network, its ONNX graph, or the engine itself."""

from __future__ import annotations

import numpy as np
import onnx

from export.deploy import DeployOptions
from export.tta import averaged
from runtime.backends.contract import OUTPUTS
from runtime.backends.onnxruntime import load_onnxruntime, settings
from runtime.engine import Engine
from runtime.errors import CheckpointError, ExportError
from train.inference import Maps, Runner, predict_maps
from train.model import DualHRNet


def fp32_runner(network: DualHRNet, options: DeployOptions) -> Runner:
    """PyTorch's maps, on the network's device, of the views that the graph has: the reference.

    It raises ExportError for logits that are no numbers.
    """
    averaging = averaged(network, options.tta)

    def run(pre: np.ndarray, post: np.ndarray) -> Maps:
        try:
            return predict_maps(averaging, pre, post, options.threshold)
        except CheckpointError as error:
            raise ExportError(f"{error}; nothing was written") from error

    return run


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
