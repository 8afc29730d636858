"""Bytes, proof, roofline and JSON of plans small enough to work out by hand."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from export.plan.origin import module_path
from export.plan.proof import check_precision
from export.plan.record import ITEM_BYTES, Kernel, Plan, Tensor
from export.plan.report import as_dict, as_text
from export.plan.roofline import GPUS, Gpu, estimate, find_gpu, gpu_of
from export.plan.tensorrt_inspector import from_inspector
from export.plan.tensorrt_layers import Compiled
from runtime.errors import ConfigError, ExportError
from runtime.records import RecordError


def kernel(module: str | None, precision: str = "fp16", flops: int | None = 100, **other) -> Kernel:
    values = {
        "name": f"k_{module}",
        "kind": "correlation",
        "inputs": (),
        "constants": (),
        "outputs": (Tensor("y", (1, 10), "fp16"),),
        "nodes": (f"node_{module}",),
        "seconds": None,
    }
    return Kernel(**{**values, "module": module, "precision": precision, "flops": flops, **other})


def plan(*kernels: Kernel, target: str = "SM86") -> Plan:
    return Plan("tensorrt-rtx", "1.7", target, kernels, 1000, None)


names = st.text("abc._", max_size=5)
tensors = st.builds(
    Tensor,
    names,
    st.lists(st.integers(0, 4096), max_size=4).map(tuple),
    st.sampled_from(sorted(ITEM_BYTES)),
)
operands = st.lists(tensors, max_size=2).map(tuple)
kernels = st.builds(
    Kernel,
    names,
    names,
    operands,
    operands,
    operands,
    st.lists(names, max_size=2).map(tuple),
    names,
    st.none() | st.integers(0, 2**50),
    st.none() | st.floats(0, 10),
    st.none() | names,
)
whole = st.none() | st.integers(0, 2**40)
plans_made = st.builds(
    Plan, names, names, names, st.lists(kernels, max_size=3).map(tuple), whole, whole
)


@given(plans_made)
def test_json_round_trip(made: Plan) -> None:
    assert Plan.from_dict(json.loads(json.dumps(made.as_dict()))) == made


def test_plan_file_round_trip_and_damage(tmp_path) -> None:
    path = tmp_path / "plan.json"
    made = plan(kernel("a.b"))
    made.write(path)
    assert Plan.read(path) == made
    path.write_text(path.read_text().replace('"fp16"', '"fp4"'))
    with pytest.raises(ExportError, match="plan.json: .*unknown dtype 'fp4'; build the engine"):
        Plan.read(path)
    path.write_text(path.read_text()[:50])
    with pytest.raises(ExportError, match="plan.json: not JSON"):
        Plan.read(path)
    with pytest.raises(RecordError, match="key kernels is missing"):
        Plan.from_dict({"compiler": "x", "version": "1", "target": "CPU"})


def test_bytes_are_those_of_all_operands() -> None:
    weight, bias = Tensor("w", (8, 4, 3, 3), "int8"), Tensor("b", (1, 8, 1, 1), "fp32")
    one = kernel("a", inputs=(Tensor("x", (1, 4, 6, 6), "fp16"),), constants=(weight, bias))
    assert one.bytes == 4 * 36 * 2 + 288 + 32 + 20
    assert plan(one, one).bytes == 2 * one.bytes


@pytest.mark.parametrize(
    ("allowed", "accepted"),
    [
        ("heads", True),
        ("heads.damage", True),
        ("heads.damage.2", True),
        ("node_heads.damage.2", True),
        ("heads.dam", False),
        ("head", False),
        ("heads.damage.2.conv", False),
        ("damage", False),
    ],
)
def test_modules_are_allowed_by_whole_parts_of_their_path(allowed: str, accepted: bool) -> None:
    made = plan(kernel("pre.conv1"), kernel("heads.damage.2", "fp32", 300))
    if accepted:
        proof = check_precision(made, "fp16", frozenset({allowed}))
        assert proof["flops_by_precision"] == {"fp16": 100, "fp32": 300}
        assert [entry["module"] for entry in proof["mixed"]] == ["heads.damage.2"]
    else:
        with pytest.raises(ExportError, match=r"1 of 2 convolutions something else, 75.0% of"):
            check_precision(made, "fp16", frozenset({allowed}))


def test_a_kernel_of_two_modules_needs_both_allowed() -> None:
    made = plan(kernel("pre.conv1 + post.conv1", "fp32", nodes=()))
    with pytest.raises(ExportError):
        check_precision(made, "fp16", frozenset({"pre"}))
    assert check_precision(made, "fp16", frozenset({"pre", "post"}))["mixed"]


def test_many_offenders_are_counted_and_a_few_named() -> None:
    made = plan(*(kernel(f"m{i}", "bf16") for i in range(5)))
    with pytest.raises(
        ExportError, match=r"5 of 5 .*100.0%.* m0 .* m1 .* m2 .*: bf16\) and 2 more"
    ):
        check_precision(made, "fp32")


def test_a_convolution_of_unknown_size_is_proved_too_and_none_at_all_is_no_proof() -> None:
    with pytest.raises(ExportError, match="1 of 1 convolutions"):
        check_precision(plan(kernel("a", "fp32", 0)), "fp16")
    with pytest.raises(ExportError, match="lists no convolution among its 1 kernels"):
        check_precision(plan(kernel("a", "fp16", None)), "fp16")


GPU = Gpu("test", "8.6", fp16=2, int8=4, fp32=1, bandwidth=1, source="none")


def test_roofline_is_the_longer_of_arithmetic_and_memory() -> None:
    slow = kernel("a", "fp16", 2 * 10**12, outputs=(Tensor("y", (10**9,), "int8"),))  # 1 s, 1 s
    arithmetic = kernel("b", "int8", 12 * 10**12)  # 3 s at 4 TOPS
    memory = kernel("c", "fp16", None, outputs=(Tensor("y", (10**9,), "fp16"),))  # 2 s
    unknown = kernel("d", "tf32", 10**12)  # 1 s at the FP32 rate
    assert estimate(plan(slow, arithmetic, memory, unknown), GPU).seconds == pytest.approx(7)
    found = estimate(plan(arithmetic, memory), GPU)
    assert (found.compute_bound, found.memory_bound) == pytest.approx((3, 2))


def test_published_figures_are_dense_and_consistent() -> None:
    for gpu in GPUS:
        assert gpu.int8 == pytest.approx(2 * gpu.fp16, rel=0.01), gpu.name
        assert gpu.fp32 < gpu.fp16
    assert find_gpu("rtx 4090").capability == "8.9"
    with pytest.raises(ConfigError, match="--gpu Foo: .* known are T4, A100 SXM 80GB, A10"):
        find_gpu("Foo")
    assert gpu_of(plan(target="SM75")).name == "T4"
    assert gpu_of(plan(target="SM121")).name == "A10"


def test_report_adds_up_and_fits_a_terminal() -> None:
    made = plan(
        kernel("a." + "long." * 30 + "path"),
        kernel("b", "fp32", 300),
        kernel(None, "fp16", None, kind="kgen", nodes=(), name="__myl_" + "x" * 200),
        *(kernel(f"m{i}", kind=f"kind{i}") for i in range(20)),
    )
    content = as_dict(made)
    assert sum(row["bytes"] for row in content["types"]) == content["bytes"] == made.bytes
    assert sum(row["kernels"] for row in content["types"]) == content["kernels"] == 23
    assert sum(row["share"] for row in content["convolutions"]) == pytest.approx(1)
    assert content["dearest_by"] == "roofline of A10"
    assert len(content["dearest"]) == 10
    assert [row["gpu"] for row in content["roofline"]] == [gpu.name for gpu in GPUS]
    text = as_text(made)
    assert max(map(len, text.splitlines())) <= 100
    assert "estimate" in text


def test_measured_kernels_are_ranked_by_their_time_and_a_processor_has_no_roofline() -> None:
    made = plan(kernel("a", seconds=0.001), kernel("b", seconds=0.002), target="CPU")
    content = as_dict(made)
    assert [row["module"] for row in content["dearest"]] == ["b", "a"]
    assert content["seconds"] == pytest.approx(0.003)
    assert content["roofline"] == []
    assert "measured: 3 ms" in as_text(made)


@pytest.mark.parametrize(
    ("weight", "module"),
    [
        ("core.network.pre.layer1.0.conv1.weight", "pre.layer1.0.conv1"),
        ("core.shared.pre.conv1.weight", "shared.pre.conv1"),
        ("core.terms_a_b.weight", "terms_a_b"),
        ("network_head.weight", "network_head"),
        ("onnx::Conv_12", "onnx::Conv_12"),
    ],
)
def test_module_path_is_the_weights_name(weight: str, module: str) -> None:
    assert module_path(weight) == module


def inspected(**keys) -> str:
    """One layer as TensorRT 8.5 to 10 document it."""
    words = "Thirty-two wide channel vectorized row major Int8 format"
    layer = {
        "Name": "conv + relu",
        "LayerType": "CaskConvolution",
        "Inputs": [{"Name": "x", "Dimensions": [1, 512, 28, 28], "Format/Datatype": words}],
        "Outputs": [{"Name": "y", "Dimensions": [1, 256, 28, 28], "Format/Datatype": words}],
        "ParameterType": "Convolution",
        "Kernel": [1, 1],
        "OutMaps": 256,
        "Weights": {"Type": "Int8", "Count": 131072},
        "Metadata": "[ONNX Layer: conv]\x1e[ONNX Layer: relu]",
    }
    return json.dumps({"Layers": [{**layer, **keys}]})


def test_inspector_json_of_tensorrt_proper() -> None:
    by = Compiled("tensorrt", "10.3", "SM87")
    (found,) = from_inspector(inspected(), by, 5).kernels
    assert (found.precision, found.nodes) == ("int8", ("conv", "relu"))
    assert found.flops == 2 * 131072 * 28 * 28
    assert found.bytes == (512 + 256) * 28 * 28 + 131072
    half = [{"Name": "x", "Dimensions": [-1, 512, 28, 28], "Datatype": "Half", "Format": "HWC8"}]
    (found,) = from_inspector(inspected(Inputs=half), by).kernels
    assert (found.precision, found.inputs[0].shape[0]) == ("fp16", 1)
    for text, message in (
        ("conv\nrelu", "is not JSON with Layers"),
        ('{"Layers": ["conv"]}', "must be built with ProfilingVerbosity.DETAILED"),
        (inspected(Inputs=[{"Name": "x", "Dimensions": [1]}]), "unknown datatype: none"),
    ):
        with pytest.raises(ExportError, match=message):
            from_inspector(text, by)
