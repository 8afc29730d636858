"""Plant faults in what runs an engine, and show that each falls below the floor.

The graphs of a checkpoint that go to a GPU's compiler are run by ONNX Runtime, engines by
themselves; each is compared with PyTorch FP32 as it is, then with a fault. A runner that is refused
as it is, or a fault that is not refused, ends with exit code 1.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime import cli
from runtime.errors import ToolkitError
from runtime.manifest import DEFAULT_THRESHOLD, Precision

if TYPE_CHECKING:
    import numpy as np

    from export.parity_pairs import ParityPair
    from train.inference import Maps, Runner
    from train.model import DualHRNet

AS_IT_IS = "none"


def _relabelled(run: Runner, labels: list[int]) -> Runner:
    import numpy as np

    def wrong(pre: np.ndarray, post: np.ndarray) -> Maps:
        damage, building, confidence = run(pre, post)
        return np.array(labels, np.uint8)[damage], building, confidence

    return wrong


def _bgr(image: np.ndarray) -> np.ndarray:
    import numpy as np

    return np.ascontiguousarray(image[..., ::-1])


FAULTS: dict[str, Callable[[Runner], Runner]] = {
    AS_IT_IS: lambda run: run,
    "classes turned": lambda run: _relabelled(run, [0, 4, 3, 2, 1]),
    "minor damage dropped": lambda run: _relabelled(run, [0, 1, 1, 3, 4]),
    "channels BGR": lambda run: lambda pre, post: run(_bgr(pre), _bgr(post)),
    "pre and post swapped": lambda run: lambda pre, post: run(post, pre),
}


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m benchmarks.planted_faults", description=__doc__)
    p.add_argument("--checkpoint", required=True, type=Path, metavar="CKPT", help="a trained one")
    p.add_argument("--data", type=Path, metavar="DIR", help="xBD data set (default: none)")
    p.add_argument("--split", default="test", metavar="NAME", help="of --data (default: test)")
    p.add_argument(
        "--engine",
        nargs="+",
        default=[],
        type=Path,
        metavar="DIR",
        help="engines of that checkpoint that run here",
    )
    p.add_argument(
        "--size",
        type=int,
        nargs=2,
        default=(256, 256),
        metavar=("H", "W"),
        help="of the engines (default: 256 256)",
    )
    p.add_argument("--json", action="store_true", help="print the figures as JSON")
    return p


def main(args: argparse.Namespace) -> None:
    from export.deploy import DeployOptions
    from export.parity_pairs import content, described, parity_pairs, scenes, windows
    from export.runners import engine_runner, fp32_runner
    from runtime.engine import load_engine
    from train.checkpoint import load_checkpoint

    height, width = args.size
    network = load_checkpoint(args.checkpoint).network()
    fp32 = fp32_runner(network, DeployOptions(height, width))
    found = windows(args.data, args.split, height, width) if args.data else []
    pairs = parity_pairs(fp32, found, scenes(height, width), 2)
    cli.note(f"{described(pairs)}; pixels that FP32 predicts: {content(pairs)}")
    rows = [
        _row(name, precision, fault, run, pairs)
        for name, precision, run in _graphs(network, height, width)
        for fault in FAULTS
    ]
    for folder in args.engine:
        with load_engine(folder) as engine:
            precision, run = engine.manifest.precision, engine_runner(engine)
            rows += [_row(folder.name, precision, fault, run, pairs) for fault in FAULTS]
    print(json.dumps(rows, indent=2) if args.json else table(rows))
    wrong = [row for row in rows if row["refused"] == (row["fault"] == AS_IT_IS)]
    if wrong:
        what = "refused" if wrong[0]["refused"] else "not refused"
        raise ToolkitError(
            f"{wrong[0]['runner']}, fault {wrong[0]['fault']}: {what}, expected the contrary "
            f"({len(wrong)} of {len(rows)} rows)"
        )


def _graphs(network: DualHRNet, height: int, width: int) -> Iterator[tuple[str, Precision, Runner]]:
    """As they go to a GPU's compiler; they are what stands for its engines without a GPU."""
    from export.deploy import DeployOptions, deploy_graph
    from export.onnx_graph import export_onnx
    from export.rewrites import FOR_NVIDIA
    from export.runners import graph_runner

    precisions: tuple[Precision, ...] = ("fp32", "fp16")
    for precision in precisions:
        options = DeployOptions(height, width, precision=precision, rewrites=FOR_NVIDIA)
        graph = export_onnx(deploy_graph(network, options), options)
        yield f"GPU graph {precision}", precision, graph_runner(graph, options)


def _row(
    name: str, precision: Precision, fault: str, run: Runner, pairs: Sequence[ParityPair]
) -> dict[str, Any]:
    from export.floor import CLASSES, FLOORS
    from export.parity import compare

    parity = compare(FAULTS[fault](run), pairs, DEFAULT_THRESHOLD)
    return {
        "runner": name,
        "fault": fault,
        "building_agreement": parity["building_agreement"],
        "least_f1": min(parity["class_f1"].get(each, 1.0) for each in CLASSES),
        "probability_difference": parity["probability_difference"],
        "refused": bool(FLOORS[precision].broken(parity)),
    }


def table(rows: list[dict[str, Any]]) -> str:
    width = max(len(row["runner"]) for row in rows)
    head = f"{'':<{width}}  {'fault':<22}{'agreement':>10}{'least F1':>10}{'probability':>13}"
    lines = [f"{head}  refused"]
    for row in rows:
        lines.append(
            f"{row['runner']:<{width}}  {row['fault']:<22}{row['building_agreement']:>10.4f}"
            f"{row['least_f1']:>10.4f}{row['probability_difference']:>13.4f}"
            f"  {'yes' if row['refused'] else 'no'}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(parser(), main)
