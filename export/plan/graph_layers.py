"""A plan read off an ONNX graph, for a library that executes it as it is: one kernel a node.

Nothing is measured. ONNX Runtime's CUDA provider computes every node in the types that the graph
gives it, so these are its precisions. In FP32 it fuses some nodes with a convolution, and so has
fewer kernels and moves fewer bytes than this says.
"""

from __future__ import annotations

import math

import onnx

from export.plan.origin import Origins
from export.plan.record import Kernel, Plan, Tensor

_DTYPES = {
    onnx.TensorProto.FLOAT: "fp32",
    onnx.TensorProto.FLOAT16: "fp16",
    onnx.TensorProto.UINT8: "uint8",
    onnx.TensorProto.INT8: "int8",
    onnx.TensorProto.INT32: "int32",
    onnx.TensorProto.INT64: "int64",
    onnx.TensorProto.BOOL: "bool",
}


def from_graph(model: onnx.ModelProto, compiler: str, version: str, batch: int) -> Plan:
    """batch: pairs that stand for a dynamic batch. Constants that no node is needed for are left
    out."""
    origins, tensors = Origins(model, batch), _tensors(model, batch)
    constants = {each.name for each in model.graph.initializer}
    kernels = [
        _kernel(node, origins, tensors, constants)
        for node in model.graph.node
        if node.op_type != "Constant"
    ]
    plan = Plan(compiler, version, "GPU", tuple(kernels), None, None)
    return origins.annotate(plan)


def _kernel(
    node: onnx.NodeProto, origins: Origins, tensors: dict[str, Tensor], constants: set[str]
) -> Kernel:
    read = [tensors[name] for name in node.input if name in tensors]
    inputs = tuple(each for each in read if each.name not in constants)
    fixed = tuple(each for each in read if each.name in constants)
    outputs = tuple(tensors[name] for name in node.output if name in tensors)
    convolution = origins.convolutions.get(node.name)
    multiplied = fixed[:1] or inputs if convolution else outputs or inputs
    return Kernel(
        node.name,
        node.op_type,
        inputs,
        fixed,
        outputs,
        (node.name,),
        multiplied[0].dtype if multiplied else "none",
        (convolution.flops or 0) if convolution else None,
        None,
        None,
    )


def _tensors(model: onnx.ModelProto, batch: int) -> dict[str, Tensor]:
    """Those whose type and shape ONNX's shape inference knows."""
    inferred = onnx.shape_inference.infer_shapes(model)
    found = {
        each.name: Tensor(each.name, tuple(each.dims), _DTYPES[each.data_type])
        for each in model.graph.initializer
        if each.data_type in _DTYPES
    }
    for value in (*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output):
        kind = value.type.tensor_type
        shape = tuple(d.dim_value or (batch if d.dim_param else 0) for d in kind.shape.dim)
        if kind.elem_type in _DTYPES and kind.HasField("shape") and math.prod(shape):
            found[value.name] = Tensor(value.name, shape, _DTYPES[kind.elem_type])
    return found
