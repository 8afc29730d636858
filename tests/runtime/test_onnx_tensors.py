"""The tensors of ONNX graphs: in files of which the manifest knows nothing, or no numbers."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from runtime import load_engine
from runtime.backends.onnx_tensors import MESSAGES, tensors
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


def external_names(content: bytes) -> list[str]:
    return [each.name for each in tensors(content) if each.external]


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


def test_an_engine_whose_weights_were_moved_to_another_file_is_refused(
    engine_folder, make_manifest
):
    """ONNX Runtime itself takes it, and answers as before, or as that file says."""
    graph = onnx.load(engine_folder / "model.onnx")
    onnx.save(
        graph, engine_folder / "model.onnx", save_as_external_data=True, location="weights.bin",
        size_threshold=0,
    )  # fmt: skip
    make_manifest(engine_folder).write(engine_folder)
    with pytest.raises(AlteredPayloadError, match="lie in another file"):
        load_engine(engine_folder)


def test_a_graph_of_whole_tensors_refers_to_no_file(engine_folder):
    assert external_names((engine_folder / "model.onnx").read_bytes()) == []


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
def test_what_protobuf_sees_in_another_file_is_seen(place, changes):
    content = bytearray(model(place).SerializeToString())
    for where, new in changes:
        at = int(where * len(content))
        content[at : at + len(new)] = new
    content = bytes(content)
    try:
        parsed = onnx.ModelProto.FromString(content)
    except Exception:
        return  # ONNX Runtime refuses it as well
    names = external_names(content)
    if externals(parsed):  # not the reverse: of a message given twice protobuf makes one
        assert names
    if content == model(place).SerializeToString():
        assert bool(names) == (place != "none")


@pytest.mark.parametrize(
    "content",
    [b"\x3a", b"\x3a\x05ab", b"\x08" + b"\xff" * 11, b"\x0f", b"\x0c", b"\x0b", b"\x09\0"],
)
def test_what_is_no_whole_message_is_refused(engine_folder, make_manifest, content):
    with pytest.raises(ValueError, match="no whole ONNX model"):
        list(tensors(content))
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
    assert external_names(content) == [""]
    assert external_names(unknown) == []


HELD = st.sampled_from([np.float16, np.float32, np.float64, np.int64, np.uint8])


@given(dtype=HELD, raw=st.booleans(), count=st.integers(0, 5))
def test_what_can_be_nan_is_read_as_onnx_reads_it(dtype, raw, count):
    values = np.arange(count).astype(dtype)
    number = helper.np_dtype_to_tensor_dtype(values.dtype)
    content = values.tobytes() if raw else values.tolist()
    tensor = helper.make_tensor("w", number, values.shape, content, raw)
    graph = helper.make_graph([], "g", [], [], [tensor])
    (found,) = tensors(helper.make_model(graph).SerializeToString())
    assert (found.name, found.external) == ("w", False)
    if values.dtype.kind == "f" and (raw or dtype is not np.float16):
        np.testing.assert_array_equal(found.floats, values)
        assert count == 0 or found.floats.dtype == values.dtype
    else:
        assert found.floats.size == 0
