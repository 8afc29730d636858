"""ONNX graphs that take tensors from files of which the manifest knows nothing."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from runtime import load_engine
from runtime.backends.external_data import MESSAGES, external_tensor
from runtime.errors import AlteredPayloadError, BackendError

OPSETS = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]


def elsewhere(name: str) -> TensorProto:
    """[4] float32 in weights.bin."""
    tensor = TensorProto(
        name=name, data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL
    )
    tensor.external_data.add(key="location", value="weights.bin")
    return tensor


def model(place: str) -> onnx.ModelProto:
    """x + w, with w in another file, at a place of the model where a tensor may be."""
    x, y = (helper.make_tensor_value_info(each, TensorProto.FLOAT, [4]) for each in "xy")
    constant = helper.make_node("Constant", [], ["w"], value=elsewhere("there"))
    add = helper.make_node("Add", ["x", "w"], ["y"])
    nodes, weights, functions = [add], [], []
    if place == "initializer":
        weights = [elsewhere("w")]
    elif place == "attribute":
        nodes = [constant, add]
    elif place == "subgraph":
        result = helper.make_tensor_value_info("z", TensorProto.FLOAT, [4])
        sums = [helper.make_node("Add", ["x", "w"], ["z"])]
        branch = helper.make_graph(sums, "branch", [], [result], [elsewhere("w")])
        nodes = [helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)]
        weights = [numpy_helper.from_array(np.array(True), "c")]
    elif place == "function":
        functions = [helper.make_function("own", "F", ["x"], ["y"], [constant, add], OPSETS[:1])]
        nodes = [helper.make_node("F", ["x"], ["y"], domain="own")]
    elif place == "sparse":
        values, indices = elsewhere("w"), numpy_helper.from_array(np.arange(4))
        sparse = helper.make_sparse_tensor(values, indices, [4])
        graph = helper.make_graph(nodes, "g", [x], [y], sparse_initializer=[sparse])
        return helper.make_model(graph, opset_imports=OPSETS, ir_version=8)
    graph = helper.make_graph(nodes, "g", [x], [y], weights)
    return helper.make_model(graph, opset_imports=OPSETS, functions=functions, ir_version=8)


PLACES = ["initializer", "attribute", "subgraph", "function", "sparse"]


@pytest.mark.parametrize("place", PLACES)
def test_a_graph_with_weights_in_an_unlisted_file_is_refused(
    engine_folder, make_manifest, tmp_path, monkeypatch, place
):
    """Not for want of the file: it lies where ONNX Runtime would look, in either place."""
    monkeypatch.chdir(tmp_path)
    for folder in (engine_folder, tmp_path):
        np.zeros(4, np.float32).tofile(folder / "weights.bin")
    (engine_folder / "model.onnx").write_bytes(model(place).SerializeToString())
    make_manifest(engine_folder).write(engine_folder)
    with pytest.raises(AlteredPayloadError) as caught:
        load_engine(engine_folder)
    message = str(caught.value)
    assert message.startswith(f"{engine_folder / 'model.onnx'}: the data of tensor ")
    assert "lie in another file" in message
    assert "rebuild with python -m export.build_engine" in message


def test_a_graph_of_whole_tensors_refers_to_no_file(engine_folder):
    assert external_tensor((engine_folder / "model.onnx").read_bytes()) is None


def test_every_way_from_a_model_to_a_tensor_is_known():
    """Against the messages of the installed onnx: a field that it adds fails here."""
    messages, found = [onnx.ModelProto.DESCRIPTOR], {}
    while messages:
        message = messages.pop()
        if message.name not in found:
            inside = {f.number: f.message_type for f in message.fields if f.message_type}
            found[message.name] = {number: kind.name for number, kind in inside.items()}
            messages += inside.values()
    leading = {"TensorProto"}
    while True:
        more = {name for name, inside in found.items() if leading & {*inside.values()}}
        if more <= leading:
            break
        leading |= more
    expected = {
        name: {number: kind for number, kind in inside.items() if kind in leading}
        for name, inside in found.items()
        if name in leading and name != "TensorProto"
    }
    assert expected == MESSAGES


def externals(message) -> list[str]:
    """Of a parsed model, by way of the protobuf library."""
    if message.DESCRIPTOR.name == "TensorProto":
        outside = message.data_location == TensorProto.EXTERNAL or message.external_data
        return [message.name] if outside else []
    found = []
    for field, value in message.ListFields():
        if field.message_type:
            for each in [value] if hasattr(value, "DESCRIPTOR") else value:
                found += externals(each)
    return found


@settings(max_examples=300, deadline=None)
@given(
    place=st.sampled_from([*PLACES, "none"]),
    changes=st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=3)), max_size=3),
)
def test_whatever_protobuf_parses_is_judged_as_protobuf_sees_it(place, changes):
    content = bytearray(model(place).SerializeToString())
    for where, new in changes:
        at = int(where * len(content))
        content[at : at + len(new)] = new
    content = bytes(content)
    try:
        parsed = onnx.ModelProto.FromString(content)
    except Exception:
        return  # ONNX Runtime refuses it as well
    assert (external_tensor(content) is not None) == bool(externals(parsed))


@pytest.mark.parametrize(
    "content",
    [b"\x3a", b"\x3a\x05ab", b"\x08" + b"\xff" * 11, b"\x0f", b"\x0c", b"\x0b", b"\x09\0"],
)
def test_what_is_no_whole_message_is_refused(engine_folder, make_manifest, content):
    with pytest.raises(ValueError, match="no whole ONNX model"):
        external_tensor(content)
    (engine_folder / "model.onnx").write_bytes(content)
    make_manifest(engine_folder).write(engine_folder)
    with pytest.raises(BackendError, match="no whole ONNX model"):
        load_engine(engine_folder)


def test_groups_are_skipped_and_the_location_is_read_as_protobuf_reads_it():
    unknown = b"\xfb\x07\x08\x01\xfc\x07"  # a group, number 127, around a field
    tensor = b"\x70" + b"\x81\x80\x80\x80\x10"  # data_location: 1 and a bit above the lowest 32
    graph = b"\x2a" + bytes([len(tensor)]) + tensor
    content = unknown + b"\x3a" + bytes([len(graph)]) + graph
    assert externals(onnx.ModelProto.FromString(content)) == [""]
    assert external_tensor(content) == ""
    assert external_tensor(unknown) is None
