"""The deploy graph: two uint8 images in, three uint8 maps out, everything between inside."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn

from export.convolved_upsampling import ConvolvedUpsampling
from export.half_precision import to_half
from export.rewrites import rewrite
from export.tta import NO_TTA, Tta, check_tta, transformed, views_of
from runtime.errors import CalibrationError, ConfigError
from runtime.manifest import DEFAULT_THRESHOLD, STRIDE, Precision
from train.model import DualHRNet
from train.model.decode import check_threshold, decode_planes
from train.model.hrnet import upsample
from train.model.inference_form import inference_form
from train.quantisation.artefact import Artefact
from train.quantisation.fake import Form, check_scales, quantise

OPSET = 19
"""The first with FP16 scales in Q/DQ; TensorRT 10.3 takes up to 20."""

OPSET_FOR_CUDA_PROVIDER = 18
"""ONNX Runtime's CUDA provider has no kernel for opset 19's Resize before 2026; the processor would
compute it, with a copy each way."""


@dataclass(frozen=True)
class DeployOptions:
    """What is fixed when a graph is exported."""

    height: int = 1024
    width: int = 1024
    batch: tuple[int, int, int] = (1, 1, 1)
    """Minimum, optimum and maximum number of pairs; a fixed N where all are equal."""
    threshold: float = DEFAULT_THRESHOLD
    """Building probability from which a pixel is building."""
    precision: Precision = "fp32"
    int8_form: Form = "signed"
    half_around: bool = False
    """With int8: FP16 instead of FP32 for what is not quantised."""
    rewrites: tuple[str, ...] = ()
    """Names of `export.rewrites`; an INT8 graph takes none, Q/DQ stands between."""
    convolved_upsampling: bool = False
    """The logits' last upsampling as a convolution (see `export.convolved_upsampling`)."""
    tta: Tta = NO_TTA
    """Test-time augmentation inside the graph."""
    high_precision: tuple[str, ...] = ()
    """With int8: HRNet units that stay in floating point (see `train.quantisation.units`)."""
    opset: int = OPSET

    def __post_init__(self) -> None:
        for name, value in (("height", self.height), ("width", self.width)):
            if value < STRIDE or value % STRIDE:
                raise ConfigError(f"--size: {name} {value} is not a positive multiple of {STRIDE}")
        check_threshold(self.threshold)
        check_tta(self.tta, self.height, self.width)
        low, best, high = self.batch
        if not 1 <= low <= best <= high:
            raise ConfigError(f"--batch {self.batch}: expected 1 <= min <= opt <= max")

    @property
    def fixed_batch(self) -> bool:
        return self.batch[0] == self.batch[2]

    @property
    def half(self) -> bool:
        return self.precision == "fp16" or (self.precision == "int8" and self.half_around)

    @property
    def scales(self) -> torch.dtype:
        """With int8: the type that stores its scales."""
        return torch.float16 if self.half_around else torch.float32


class DeployGraph(nn.Module):
    """Cast, normalisation, network, upsampling and decoding.

    In half precision the network alone is FP16. Normalisation stays FP32 because 1/255
    steps would round; the logits are FP32 from stride 4 on because their upsampling
    decides class borders, and they are 5 channels of the whole graph.
    """

    def __init__(self, core: fx.GraphModule, network: DualHRNet, options: DeployOptions) -> None:
        super().__init__()
        self.core = to_half(core) if options.half else core
        self.half = options.half
        self.threshold = options.threshold
        self.views = views_of(options.tta)
        convolved = options.convolved_upsampling
        self.logits_upsampling = ConvolvedUpsampling(4) if convolved else _resized
        mean, std = torch.tensor(network.config.mean), torch.tensor(network.config.std)
        self.register_buffer("gain", (1 / (255.0 * std)).view(1, 3, 1, 1))
        self.register_buffer("offset", (-mean / std).view(1, 3, 1, 1))

    def forward(self, pre: Tensor, post: Tensor) -> tuple[Tensor, ...]:
        images = self._normalise(pre), self._normalise(post)
        logits = transformed(self._logits, self.views, *images)
        building, *damage = self.logits_upsampling(logits)
        return decode_planes(building, damage, self.threshold)

    def _logits(self, pre: Tensor, post: Tensor) -> Tensor:
        return self.core(pre, post).float()

    def _normalise(self, image: Tensor) -> Tensor:
        # Cast first: TensorRT takes uint8 as a network input and nowhere else. Before the
        # network's zero padding, so that the border is padded with the mean colour.
        x = image.float().permute(0, 3, 1, 2) * self.gain + self.offset
        return x.half() if self.half else x


def _resized(logits: Tensor) -> tuple[Tensor, ...]:
    return upsample(logits, 4).unbind(1)


def deploy_graph(
    network: DualHRNet, options: DeployOptions, calibration: Artefact | None = None
) -> DeployGraph:
    """The graph to export, as a PyTorch module that computes the same maps."""
    if options.precision == "int8":
        if calibration is None:
            raise CalibrationError("an INT8 graph needs a calibration artefact")
        core = calibration.form(network)
        form, spared = options.int8_form, options.high_precision
        quantise(core, calibration.ranges, form, spared, scales=options.scales)
        check_scales(core)
    else:
        core = inference_form(network)
        rewrite(core, options.rewrites, options.height, options.width)
    return DeployGraph(core, network, options).eval()
