"""Plans of real graphs, compiled by TensorRT-RTX, against what their ONNX graphs say."""

from __future__ import annotations

import pytest

from export.plan.origin import Origins
from export.plan.proof import check_precision
from export.plan.tensorrt_layers import Compiled, from_log
from runtime.errors import ExportError

BY = Compiled("tensorrt-rtx", "1.7", "SM86", batch=3)

MODULE = "post.stage3.0.branches.0.0.conv1"


@pytest.mark.parametrize(
    ("form", "batch"),
    [
        ("fp32", 1),
        ("fp16", 1),
        pytest.param("int8", 1, marks=pytest.mark.slow),
        pytest.param("dynamic", 2, marks=pytest.mark.slow),
    ],
)
def test_flops_are_those_of_the_onnx_shapes(plans, graphs, form: str, batch: int) -> None:
    origins = Origins(graphs[form], batch)
    kernels = {k.module: k for k in plans[form].convolutions}
    assert len(kernels) == len(plans[form].convolutions) == len(origins.convolutions) == 160
    for expected in origins.convolutions.values():
        counted = kernels[expected.module].flops
        # The compiler pads the image's three channels to four, and multiplies them.
        padded = form != "fp32" and expected.module in ("pre.conv1", "post.conv1")
        assert counted == expected.flops * (4 / 3 if padded else 1), expected.module
    assert not origins.uncovered(plans[form])


@pytest.mark.parametrize("form", ["fp32", "fp16", "int8"])
def test_every_convolution_is_in_the_precision_of_the_graph(plans, form: str) -> None:
    proof = check_precision(plans[form], form)
    assert proof == {
        "convolutions": 160,
        "flops_by_precision": {form: plans[form].flops},
        "mixed": [],
    }


@pytest.mark.parametrize(("form", "wrong"), [("fp16", "int8"), ("int8", "fp16"), ("fp16", "fp32")])
def test_another_label_is_refused(plans, form: str, wrong: str) -> None:
    with pytest.raises(ExportError, match=rf"{wrong} proof: .*160 of 160 .*100.0%.*: {form}\)"):
        check_precision(plans[form], wrong)


def test_bytes_of_a_kernel_by_hand(plans) -> None:
    (kernel,) = (k for k in plans["fp16"].kernels if k.module == MODULE and k.is_convolution)
    side = 64 // 4
    activations = 2 * (8 * side * side) * 2  # 8 channels in, 8 out, two bytes each
    weight, bias, scales = 8 * 8 * 9 * 2, 8 * 2, 2 * 4
    assert kernel.bytes == activations + weight + bias + scales


def test_memory_totals_are_the_compilers(plans, graphs) -> None:
    for form in ("fp32", "fp16", "int8"):
        assert plans[form].activation_bytes > 0
        stored = sum(len(w.raw_data) for w in graphs[form].graph.initializer)
        assert 0.8 * stored < plans[form].weight_bytes < 1.2 * stored


def test_every_kernel_has_a_place_in_the_network(plans) -> None:
    for kernel in plans["fp16"].kernels:
        assert kernel.module, kernel.name
    modules = {k.module for k in plans["fp16"].kernels if not k.is_convolution}
    assert any(module.startswith("after heads.") for module in modules)


def test_one_fp32_convolution_is_found_and_may_be_allowed(graphs, compiled, in_fp32) -> None:
    plan = compiled(in_fp32(graphs["fp16"], MODULE))
    with pytest.raises(ExportError) as caught:
        check_precision(plan, "fp16")
    message = str(caught.value)
    share = next(k.flops for k in plan.convolutions if k.module == MODULE) / plan.flops
    assert f"1 of 160 convolutions something else, {share:.1%} of the FLOPs: {MODULE} (" in message
    assert ": fp32); where that is meant, --allow-mixed NAME ... permits them" in message
    assert "\n" not in message
    (mixed,) = check_precision(plan, "fp16", frozenset({MODULE}))["mixed"]
    assert (mixed["module"], mixed["precision"]) == (MODULE, "fp32")


def test_casts_around_a_convolution_alone_are_folded_and_the_plan_says_so(
    graphs, compiled, in_fp32
) -> None:
    """The proof is of the kernels: the graph asks for FP32 here, the engine computes FP16."""
    plan = compiled(in_fp32(graphs["fp16"], MODULE, held=False))
    (kernel,) = (k for k in plan.convolutions if k.module == MODULE)
    assert kernel.precision == "fp16"
    assert {"widen", "narrow"} <= set(kernel.nodes)
    assert check_precision(plan, "fp16")["mixed"] == []


@pytest.mark.parametrize("keep_weight", [False, True])
def test_one_convolution_without_int8_activation_is_found(
    graphs, compiled, unquantised, keep_weight: bool
) -> None:
    plan = compiled(unquantised(graphs["int8"], MODULE, keep_weight))
    with pytest.raises(ExportError, match=rf"1 of 160 .*{MODULE} \(.*: fp16\)"):
        check_precision(plan, "int8")
    assert len(check_precision(plan, "int8", frozenset({MODULE}))["mixed"]) == 1


LINE = (
    "Name: c_myl0_1, LayerType: correlation, Inputs: [ { Name: x, Dimensions: [-1,4,8,8], "
    "Strides: [4], StrideOrder: [3,0,2,1], Datatype: Half, Format: (NHWC) Channel major format }], "
    "Constants: [ { Name: w, Dimensions: [16,4,3,3], Strides: [4], Datatype: Half, Format: (x) }, "
    "{ Name: b, Dimensions: [1,16,1,1], Strides: [4], Datatype: Half, Format: (x) }], "
    "Outputs: [ { Name: y, Dimensions: [-1,16,8,8], Strides: [4], Datatype: Half, Format: (x) }], "
    "TacticName: __myelin_CASK_STUB, StreamId: 0, Metadata:"
)


def test_one_message_with_many_lines_and_no_metadata() -> None:
    signal = "Name: s, LayerType: signal, Inputs: [], Constants: [], Outputs: [], TacticName: , \
StreamId: 0, EventId: 1, Metadata: "
    message = f"Engine Layer Information:\nLayers:\n{LINE}\n{signal}\n{LINE} [ONNX Layer: conv]"
    plan = from_log([message, "Total Activation Memory: 7 bytes"], BY)
    assert [k.nodes for k in plan.kernels] == [(), ("conv",)]
    assert plan.kernels[0].flops == 2 * 4 * 9 * (3 * 16 * 8 * 8)
    assert plan.kernels[0].inputs[0].shape == (3, 4, 8, 8)
    assert (plan.activation_bytes, plan.weight_bytes) == (7, None)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("[I] compiled", "no layer information in its log"),
        (LINE.replace("Constants", "Weights"), "layer information in an unknown form: Name: c_"),
        (LINE.replace("Datatype: Half", "Type: 3"), "a tensor of the layer information"),
        (LINE.replace("Half", "FP4"), "has datatype FP4, known are Float, Half"),
    ],
)
def test_a_log_of_another_form_is_refused(line: str, message: str) -> None:
    with pytest.raises(ExportError, match=message):
        from_log([line], BY)


@pytest.mark.parametrize(
    ("weight", "activation", "precision"),
    [
        ("Int8", "Int8", "int8"),
        ("Int8", "Half", "fp16"),
        ("Half", "Int8", "int8"),
        ("Int8", "Float", "fp32"),
        ("BFloat16", "BFloat16", "bf16"),
        ("FP8", "FP8", "fp8"),
    ],
)
def test_the_activation_decides_what_is_multiplied(weight, activation, precision) -> None:
    line = LINE.replace("Datatype: Half", f"Datatype: {activation}", 1)
    head, name, tail = line.partition("Name: w, ")
    line = head + name + tail.replace("Datatype: Half", f"Datatype: {weight}", 1)
    assert from_log([line], BY).kernels[0].precision == precision


def test_a_fully_connected_kernel_is_counted() -> None:
    line = (
        "Name: __myl_FcAddRelu_myl0_3, LayerType: runtime_fusion, Inputs: [ { Name: x, "
        "Dimensions: [1,768,1024], Strides: [1], Datatype: Half, Format: (T) }], Constants: "
        "[ { Name: b, Dimensions: [1,384,1], Strides: [1], Datatype: Half, Format: (T) }, "
        "{ Name: w, Dimensions: [1,384,768], Strides: [1], Datatype: Half, Format: (T) }], "
        "Outputs: [ { Name: y, Dimensions: [1,384,1024], Strides: [1], Datatype: Half, "
        "Format: (T) }], "
        "TacticName: , StreamId: 0, Metadata: [ONNX Layer: conv]__gemm_from_conv1x1"
    )
    (kernel,) = from_log([line], BY).kernels
    assert (kernel.flops, kernel.precision) == (2 * 768 * 384 * 1024, "fp16")
