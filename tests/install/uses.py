"""What each extra is there for, done in a bare environment. Each returns what was seen."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tests.install.environments import Environment, FailedError
from tests.install.likeness import compare
from tests.install.subject import SIDE, TRAINING, Subject
from tests.install.wheel import REPOSITORY

Use = Callable[[Environment, Subject], str]

SHORT_TESTS = ("tests/runtime/test_score.py", "tests/runtime/test_resolution.py",
               "tests/train/test_schedule.py", "tests/benchmarks/compare")  # fmt: skip


def maps_a_pair(env: Environment, subject: Subject) -> str:
    """By ONNX Runtime; and the wheel is what is run."""
    code = "import runtime; print(runtime.__file__)"
    assert REPOSITORY not in Path(env("-c", code).strip()).parents, "the checkout is imported"
    return _maps(env, subject, "onnxruntime", "png")


def maps_by_openvino(env: Environment, subject: Subject) -> str:
    return _maps(env, subject, "openvino", "png")


def maps_a_raster(env: Environment, subject: Subject) -> str:
    """Of a GeoTIFF pair, with the GeoPackage as this installation's GDAL reads it."""
    seen = _maps(env, subject, "onnxruntime", "tif")
    import pyogrio

    ours, theirs = (
        pyogrio.raw.read(folder / "buildings.gpkg", layer="buildings")
        for folder in (subject.map("onnxruntime", "tif"), env.work / "map-onnxruntime-tif")
    )
    assert list(ours[0]["fields"]) == list(theirs[0]["fields"]), theirs[0]["fields"]
    assert ours[0]["crs"] == theirs[0]["crs"], theirs[0]["crs"]
    assert list(ours[2]) == list(theirs[2]), "the GeoPackage's outlines differ"
    return f"{seen}; {len(ours[2])} outlines of the GeoPackage equal"


def _maps(env: Environment, subject: Subject, target: str, kind: str) -> str:
    out = env.work / f"map-{target}-{kind}"
    env("-m", *subject.prediction(target, kind, out))
    likeness = compare(subject.map(target, kind), out)
    if not likeness.holds:
        raise FailedError(f"another map: {likeness}")
    return f"map: {likeness}"


def runs_a_batch(env: Environment, subject: Subject) -> str:
    """Of the pair, and of the pair the wrong way round."""
    pre, post = subject.pair()
    pairs = env.work / "pairs.csv"
    pairs.write_text(f"pre,post,name\n{pre},{post},first\n{post},{pre},second\n")
    maps = env.work / "maps"
    env("-m", "runtime.batch", "--engine", subject.engine("onnxruntime"), "--pairs", pairs,
        "--out", maps, "--workers", 1)  # fmt: skip
    likeness = compare(subject.map("onnxruntime"), maps / "first")
    if not likeness.holds or not (maps / "second" / "damage.png").is_file():
        raise FailedError(f"another map: {likeness}")
    return f"2 pairs on Ray, map: {likeness}"


def trains(env: Environment, subject: Subject) -> str:
    """From synthetic tiles to a score, and from there to the panels."""
    run, data = env.work / "run", env.work / "tiles"
    env("-m", "train.synthesize", "--out", data, "--tiles", 8, "--size", SIDE)
    env("-m", "train", "--config", "demo", "--data", data, "--out", run, *TRAINING)
    score = env("-m", "train.evaluate", "--checkpoint", run / "best.pt", "--data", data,
                "--split", "test", "--json")  # fmt: skip
    env("-m", "train.visualize", "--checkpoint", run / "best.pt", "--data", data,
        "--split", "test", "--out", env.work / "panels")  # fmt: skip
    return f"2 epochs on 8 synthetic tiles, score {json.loads(score)['score']:.3f}"


def builds(*targets: str) -> Use:
    """FP32 and INT8 engines for `targets`, each proved by the builder, then one map each."""

    # ONNX Runtime leaves a convolution in FP32 whose result is not rounded.
    mixed = ("--allow-mixed", "pre", "post", "exchange", "heads")

    def use(env: Environment, subject: Subject) -> str:
        data = ("--checkpoint", subject.checkpoint, "--data", subject.data, "--split", "test")
        # A network that has learned nothing has nothing to show, and little to lose.
        unlearned = ("--gate-tiles", 0, "--floor-pixels", 0, "--floor-agreement", 0,
                     "--floor-f1", 0)  # fmt: skip
        for target in targets:
            for precision in ("fp32", "int8"):
                more = mixed if (precision, target) == ("int8", "onnxruntime") else ()
                out = env.work / f"{target}-{precision}"
                env("-m", "export.build_engine", f"--{precision}", "--target", target,
                    "--size", SIDE, SIDE, *data, *unlearned, *more,
                    "--out", out)  # fmt: skip
                env("-m", "runtime.predict", "--engine", out, *subject.pair(),
                    "--out", env.work / f"map-{target}-{precision}")  # fmt: skip
        return f"FP32 and INT8 engines for {' and '.join(targets)}, a map by each"

    return use


def compiles_for_a_gpu(env: Environment, subject: Subject) -> str:
    """By TensorRT-RTX, for a GPU that need not be there. The engine does not run."""
    out = env.work / "rtx"
    env("-m", "export.build_engine", "--fp16", "--target", "tensorrt-rtx",
        "--compute-capability", "8.6", "--size", SIDE, SIDE, "--checkpoint", subject.checkpoint,
        "--floor-pixels", 0, "--floor-agreement", 0, "--out", out)  # fmt: skip
    return "an FP16 engine for SM 8.6 compiled; not run, there is no GPU"


def finds_no_gpu(env: Environment, subject: Subject) -> str:
    """The binding is imported, and says in one line that there is no driver."""
    code = (
        "from runtime.cuda import open_device\n"
        "from runtime.errors import BackendError\n"
        "try:\n    open_device()\n"
        "except BackendError as error:\n    print(error)"
    )
    said = env("-c", code).strip()
    if "cannot be imported" in said:
        raise FailedError(said)
    return f"imported; without a GPU it says: {said}" if said else "a GPU was opened"


def times_and_reports(env: Environment, subject: Subject) -> str:
    engine, latency = subject.engine("onnxruntime"), env.work / "latency.json"
    suites = env("-c", "import benchmarks; print(benchmarks.__path__[0])").strip()
    env("-m", "pytest", suites, "--quiet", "--engine", engine, "--rounds", 3,
        "-p", "no:cacheprovider", "--benchmark-json", latency)  # fmt: skip
    page = env.work / "report.html"
    tiles = env.work / "tiles"
    env("-m", "train.synthesize", "--out", tiles, "--tiles", 4, "--size", 256)
    env("-m", "benchmarks.report", "--engine", engine, "--data", tiles, "--split", "test",
        "--figures", latency, "--out", page)  # fmt: skip
    figures = len(json.loads(latency.read_text())["benchmarks"])
    return f"{figures} figures of an engine, and a report of {page.stat().st_size // 1024} KiB"


def checks_the_code(env: Environment, subject: Subject) -> str:
    """Of the checkout: its linter, its layers, and some of its tests.

    Not its type checker: what that finds depends on NumPy's release, and it wants a new one.
    """
    here = Environment(env.python, REPOSITORY, {"XDG_CACHE_HOME": str(env.work / "cache"),
                       "PYTHONPATH": str(REPOSITORY)})  # fmt: skip
    here("-m", "ruff", "check", "--no-cache", ".")
    here("-c", "import sys; from importlinter.cli import lint_imports_command as run;"
               "sys.argv[1:] = ['--no-cache']; run()")  # fmt: skip
    said = here("-m", "pytest", "--quiet", "-n", 2, "-p", "no:cacheprovider", *SHORT_TESTS)
    return f"ruff, import-linter, pytest: {said.strip().splitlines()[-1]}"
