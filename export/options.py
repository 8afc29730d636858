"""Command-line options that the export commands share."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from export.deploy import DeployOptions
    from runtime.manifest import BackendName, Precision
    from train.quantisation.fake import Form

_INT8_FORMS: dict[BackendName, Form] = {"openvino": "unsigned", "onnxruntime": "unsigned-narrow"}
"""Of processors; GPUs take signed numbers."""

_PRECISIONS = {
    "fp32": "single precision (the default)",
    "fp16": "half precision, for GPUs",
    "int8": "8-bit integers; the ranges are those of --calibration",
}


def add_graph_options(parser: argparse.ArgumentParser) -> argparse._MutuallyExclusiveGroup:
    """Returns the group of --size; the caller may add to it."""
    parser.add_argument(
        "--checkpoint",
        type=Path,
        metavar="CKPT",
        help="checkpoint (default: the newest under runs/)",
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument(
        "--size",
        type=int,
        nargs=2,
        default=(1024, 1024),
        metavar=("H", "W"),
        help="height and width, multiples of 32 (default: 1024 1024)",
    )
    parser.add_argument(
        "--batch",
        type=int,
        nargs="+",
        default=[1],
        metavar="N",
        help="pairs per inference: one number, or min opt max (default: 1)",
    )
    parser.add_argument(
        "--threshold",
        type=float,
        default=0.5,
        metavar="P",
        help="building probability from which a pixel is building (default: 0.5)",
    )
    parser.add_argument(
        "--tta",
        default="none",
        metavar="NAME",
        help="average over views of the pair, inside the graph: flips (4 passes), rotate180 (2), "
        "d4 (8, square sizes) (default: none)",
    )
    parser.add_argument(
        "--calibration", type=Path, metavar="FILE", help="ranges for --int8, as calibrate writes"
    )
    return size


def add_precisions(parser: argparse.ArgumentParser) -> argparse._MutuallyExclusiveGroup:
    """--fp32 (default), --fp16 or --int8; the caller may add to the group."""
    precision = parser.add_mutually_exclusive_group()
    for name, text in _PRECISIONS.items():
        precision.add_argument(
            f"--{name}", dest="precision", action="store_const", const=name, help=text
        )
    parser.set_defaults(precision="fp32")
    return precision


def add_floor(parser: argparse._ActionsContainer) -> None:
    """Defaults of None: those of the precision."""
    parser.add_argument(
        "--floor-agreement",
        type=float,
        metavar="SHARE",
        help="least share of building pixels with FP32's label (default: 0.999 for fp32, 0.99 for "
        "fp16, 0.9 for int8)",
    )
    parser.add_argument(
        "--floor-f1",
        type=float,
        metavar="F1",
        help="least F1, against FP32, of every damage class that FP32 predicts (default: 0.999, "
        "0.98, 0.8)",
    )
    parser.add_argument(
        "--floor-probability",
        type=float,
        metavar="P",
        help="largest mean difference of the probabilities on building pixels (default: 0.001, "
        "0.01, 0.05)",
    )
    parser.add_argument(
        "--floor-pixels",
        type=int,
        metavar="N",
        help="pixels that FP32 must predict of every damage class, or nothing is measured "
        "(default: 64)",
    )


def given_floor(args: argparse.Namespace) -> dict[str, float]:
    """The limits that were given, by the names that `export.floor.Floor` has for them.

    Raises:
        ConfigError: one that is no share, or no number of pixels.
    """
    from runtime.errors import ConfigError

    given = {}
    for name in ("agreement", "class_f1", "probability", "pixels"):
        option = "floor_" + name.removeprefix("class_")
        value = getattr(args, option)
        if value is None:
            continue
        flag = f"--{option.replace('_', '-')} {value}"
        if name == "pixels" and value < 0:
            raise ConfigError(f"{flag}: expected 0 or more")
        if name != "pixels" and not 0 <= value <= 1:
            raise ConfigError(f"{flag}: expected between 0 and 1")
        given[name] = value
    return given


def deploy_options(args: argparse.Namespace, target: BackendName) -> DeployOptions:
    """What was asked for; INT8's form and the rewrites follow from where the graph will run."""
    from export.deploy import OPSET, OPSET_FOR_CUDA_PROVIDER, DeployOptions
    from export.rewrites import FOR_CPU, FOR_NVIDIA
    from runtime.errors import ConfigError

    tensorrt = target.startswith("tensorrt")
    if len(args.batch) not in (1, 3):
        raise ConfigError(f"--batch {' '.join(map(str, args.batch))}: expected N, or min opt max")
    batch = tuple(args.batch * 3) if len(args.batch) == 1 else tuple(args.batch)
    precision: Precision = args.precision
    return DeployOptions(
        height=args.size[0],
        width=args.size[1],
        batch=batch,
        threshold=args.threshold,
        precision=precision,
        int8_form=_INT8_FORMS.get(target, "signed"),
        half_around=tensorrt,
        # Without a compiler every node is a kernel, and most rewrites make more nodes.
        rewrites=FOR_NVIDIA if tensorrt else FOR_CPU,
        convolved_upsampling=target == "openvino",
        opset=OPSET_FOR_CUDA_PROVIDER if target == "onnxruntime-cuda" else OPSET,
        tta=args.tta,
    )
