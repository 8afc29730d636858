import contextlib
import dataclasses
import gc
import threading
import tracemalloc

import numpy as np
import onnx
import onnx.numpy_helper
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime import load_engine
from runtime.engine import Engine, Prediction
from runtime.errors import (
    AlteredPayloadError,
    BackendError,
    ConfigError,
    EngineError,
    ImageError,
    ManifestError,
)
from runtime.manifest import Manifest
from runtime.payload import payload_of

BACKENDS = ["onnxruntime", "openvino"]


@pytest.fixture(scope="module", params=BACKENDS)
def engine(request, make_engine, tmp_path_factory):
    """One engine per backend that takes one to three pairs."""
    folder = make_engine(
        tmp_path_factory.mktemp("engines") / "engine", request.param, batch=(1, 2, 3)
    )
    with load_engine(folder, threads=1) as engine:
        yield engine


def maps_of(prediction: Prediction):
    return prediction.damage, prediction.building, prediction.confidence


def assert_maps(prediction, expected):
    for found, want in zip(maps_of(prediction), expected, strict=True):
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, want)


def test_a_pair_gives_the_maps_that_numpy_computes(engine, pair, reference):
    prediction = engine.predict(*pair)
    assert prediction.damage.shape == (32, 48)
    assert set(np.unique(prediction.damage)) == {0, 1, 2, 3, 4}
    assert_maps(prediction, reference(*pair))


@settings(max_examples=15, deadline=None)
@given(count=st.integers(1, 3), seed=st.integers(0, 2**32 - 1))
def test_a_batch_gives_the_maps_that_numpy_computes(engine, reference, count, seed):
    rng = np.random.default_rng(seed)
    pre, post = rng.integers(0, 256, (2, count, 32, 48, 3), dtype=np.uint8)
    prediction = engine.predict(pre, post)
    assert prediction.damage.shape == (count, 32, 48)
    assert_maps(prediction, reference(pre, post))


def test_results_stay_when_the_next_pair_is_predicted(engine, pair, reference):
    first = engine.predict(*pair)
    engine.predict(np.zeros_like(pair[0]), np.zeros_like(pair[1]))
    assert_maps(first, reference(*pair))


def test_results_belong_to_the_caller(engine, pair):
    first = engine.predict(*pair)
    first.damage[:] = 99
    assert not (engine.predict(*pair).damage == 99).any()


def test_an_earlier_result_is_overwritten_without_new_memory(make_engine, tmp_path, reference):
    folder = make_engine(tmp_path / "engine", size=(512, 512))
    images = np.random.default_rng(0).integers(0, 256, (2, 512, 512, 3), np.uint8)
    with load_engine(folder, threads=1) as engine:
        first = engine.predict(*np.zeros_like(images))
        tracemalloc.start()
        second = engine.predict(*images, out=first)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert second is first
    assert_maps(second, reference(*images))
    assert peak < 512 * 512 / 4


@pytest.mark.parametrize("count", [None, 2])
def test_an_earlier_result_is_overwritten_whole(engine, pair, reference, count):
    if count:
        pair = [np.stack([each] * count) for each in pair]
    result = engine.predict(*np.zeros_like(pair))
    assert engine.predict(*pair, out=result) is result
    assert_maps(result, reference(*pair))


@pytest.mark.parametrize("spoil", [lambda a: a[:8], lambda a: a.astype(int), lambda a: a[::-1]])
def test_a_result_of_other_images_is_not_overwritten(engine, pair, spoil):
    result = engine.predict(*pair)
    other = dataclasses.replace(result, building=spoil(result.building))
    with pytest.raises(ImageError, match=r"out.building is u?int.*; expected an earlier result"):
        engine.predict(*pair, out=other)


def test_many_pairs_come_in_their_order(engine, reference):
    random = np.random.default_rng(0)
    shapes = [(32, 48, 3), (2, 32, 48, 3), (32, 48, 3), (3, 32, 48, 3)]
    pairs = [random.integers(0, 256, (2, *shape), np.uint8) for shape in shapes]
    for pair, found in zip(pairs, engine.predict_many(pairs), strict=True):
        assert_maps(found, reference(*pair))
    with pytest.raises(ImageError, match="pre is uint16|pre is int"):
        next(engine.predict_many([(pairs[0][0].astype(int), pairs[0][1])]))


def test_strided_and_read_only_images_are_taken(engine, pair, reference):
    pre, post = pair[0][:, ::-1], pair[1].copy()
    post.flags.writeable = False
    assert_maps(engine.predict(pre, post), reference(pre, post))
    contiguous = pair[0].copy()
    contiguous.flags.writeable = False
    assert_maps(engine.predict(contiguous, post), reference(contiguous, post))
    np.testing.assert_array_equal(contiguous, pair[0])


def test_threads_may_share_an_engine(engine, reference):
    rng = np.random.default_rng(0)
    pairs = rng.integers(0, 256, (8, 2, 32, 48, 3), dtype=np.uint8)
    results: dict[int, Prediction] = {}

    def work(i):
        results[i] = engine.predict(*pairs[i])

    workers = [threading.Thread(target=work, args=(i,)) for i in range(len(pairs))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for i, (pre, post) in enumerate(pairs):
        assert_maps(results[i], reference(pre, post))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda image: image.astype(np.float32), "is float32; this engine takes uint8"),
        (lambda image: image.astype(np.uint16), "is uint16"),
        (lambda image: image.tolist(), "is a list"),
        (lambda image: image[..., 0], r"is \[32,48\]"),
        (lambda image: np.concatenate([image, image[..., :1]], -1), r"is \[32,48,4\]"),
        (lambda image: image[:16], r"is 16x48 .* takes 32x48; cut or pad the image to 32x48"),
        (lambda image: image.transpose(1, 0, 2), "is 48x32"),
        (lambda image: np.stack([image] * 4), "holds 4 images of 32x48, .* takes 1 to 3"),
        (lambda image: np.empty((0, 32, 48, 3), np.uint8), "holds 0 images"),
        (lambda image: image[None, None], r"is \[1,1,32,48,3\]"),
    ],
)
@pytest.mark.parametrize("which", ["pre", "post"])
def test_an_unusable_image_is_one_line_that_names_it(engine, pair, change, message, which):
    images = dict(zip(("pre", "post"), pair, strict=True))
    images[which] = change(images[which])
    with pytest.raises(ImageError, match=f"^{which} {message}") as caught:
        engine.predict(**images)
    assert "\n" not in str(caught.value)


def test_batches_of_different_length_are_refused(engine, pair):
    with pytest.raises(ImageError, match=r"pre is \[32,48,3\] and post is \[1,32,48,3\]"):
        engine.predict(pair[0], pair[1][None])


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_fixed_batch_takes_its_number_or_a_single_pair(
    make_engine, tmp_path, pair, reference, backend
):
    with load_engine(make_engine(tmp_path / "e", backend, batch=(2, 2, 2))) as engine:
        pre, post = (np.stack([image, image[::-1]]) for image in pair)
        assert_maps(engine.predict(pre, post), reference(pre, post))
        with pytest.raises(ImageError, match=r"holds 1 images .* takes 2 at a time"):
            engine.predict(pre[:1], post[:1])
        alone = engine.predict(*pair)
        assert alone.damage.shape == (32, 48)
        np.testing.assert_array_equal(alone.damage, engine.predict(pre, post).damage[0])


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_closed_engine_says_so(make_engine, tmp_path, pair, backend):
    engine = load_engine(make_engine(tmp_path / "e", backend))
    with engine:
        assert (engine.height, engine.width) == (32, 48)
        assert engine.manifest.target.backend == backend
        assert engine.backend_version[0].isdigit()
    engine.close()
    with pytest.raises(EngineError, match="the engine is closed"):
        engine.predict(*pair)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("taken", [0, 1, 2])
def test_a_reader_of_a_closed_engine_is_told(make_engine, tmp_path, reference, backend, taken):
    pairs = np.random.default_rng(0).integers(0, 256, (3, 2, 32, 48, 3), np.uint8)
    engine = load_engine(make_engine(tmp_path / "e", backend))
    reader = engine.predict_many(pairs)
    results = [next(reader) for _ in range(taken)]
    engine.close()
    with pytest.raises(EngineError, match="the engine is closed"):
        next(reader)
    for result, pair in zip(results, pairs, strict=False):
        assert_maps(result, reference(*pair))


def test_other_calls_may_come_between_a_readers_results(engine, reference):
    pairs = np.random.default_rng(0).integers(0, 256, (4, 2, 32, 48, 3), np.uint8)
    found = {}

    def other(number, pair):
        found[number] = engine.predict(*pair)

    readers = [engine.predict_many(pairs), engine.predict_many(pairs[::-1])]
    for number, results in enumerate(zip(*readers, strict=True)):
        thread = threading.Thread(target=other, args=(number, pairs[number]))
        thread.start()
        assert_maps(engine.predict(*pairs[-1]), reference(*pairs[-1]))
        thread.join()
        for result, which in zip(
            (*results, found[number]), (number, -1 - number, number), strict=True
        ):
            assert_maps(result, reference(*pairs[which]))


class Noted:
    """A backend whose end is seen."""

    name, version, cached_compile = "onnxruntime", "1", None

    def __init__(self, fails: bool = False) -> None:
        self.closed, self.fails = 0, fails

    def infer(self, pre, post, maps) -> None: ...

    def close(self) -> None:
        self.closed += 1
        if self.fails:
            raise BackendError("it does not end")


def test_a_dropped_engine_frees_its_backend_once(engine):
    backend = Noted()
    dropped = Engine(engine.manifest, backend, engine.folder)
    dropped.itself = dropped
    del dropped
    gc.collect()
    assert backend.closed == 1
    closed = Engine(engine.manifest, backend := Noted(), engine.folder)
    closed.close()
    closed.close()
    del closed
    assert backend.closed == 1


def test_an_engine_is_closed_whatever_its_backend_does(engine, pair):
    broken = Engine(engine.manifest, Noted(fails=True), engine.folder)
    with contextlib.suppress(BackendError):
        broken.close()
    broken.close()
    with pytest.raises(EngineError, match="the engine is closed"):
        broken.predict(*pair)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_gpu_for_an_engine_of_the_processor_is_refused(make_engine, tmp_path, backend):
    folder = make_engine(tmp_path / "e", backend)
    with pytest.raises(ConfigError, match=rf"an {backend} engine runs on the processor, and --dev"):
        load_engine(folder, device=0)


@pytest.mark.parametrize("name", ["predict", "batch", "watch"])
def test_each_command_passes_the_gpu_on(run_on_a_pair, name):
    with pytest.raises(ConfigError, match="runs on the processor, and --device 1 asks for a GPU"):
        run_on_a_pair(name, "--device", "1")


def test_a_prediction_cannot_be_rebound(engine, pair):
    with pytest.raises(dataclasses.FrozenInstanceError):
        engine.predict(*pair).damage = None


def test_fp16_engines_load_in_openvino(make_engine, tmp_path, pair, reference):
    folder = make_engine(tmp_path / "e", "openvino", precision="fp16")
    with load_engine(folder) as engine:
        assert engine.predict(*pair).damage.shape == reference(*pair)[0].shape


def test_threads_below_one_are_refused(engine_folder):
    with pytest.raises(ConfigError, match="threads is 0"):
        load_engine(engine_folder, threads=0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_altered_payload_is_refused_before_any_library_sees_it(
    make_engine, tmp_path, monkeypatch, backend
):
    folder = make_engine(tmp_path / "e", backend)
    path = next(path for path in folder.iterdir() if path.name.startswith("model"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)

    def opened(*_):
        raise AssertionError("deserialised")

    library = pytest.importorskip(backend)
    if backend == "onnxruntime":
        monkeypatch.setattr(library, "InferenceSession", opened)
    else:
        monkeypatch.setattr(library.Core, "read_model", opened)
    with pytest.raises(AlteredPayloadError, match=r"sha256 .* rebuild with python -m export"):
        load_engine(folder)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_payload_that_the_library_refuses_is_a_backend_error(
    make_engine, make_manifest, tmp_path, backend
):
    folder = make_engine(tmp_path / "e", backend)
    names = sorted(path.name for path in folder.iterdir() if path.name.startswith("model"))
    (folder / names[-1]).write_bytes(b"not a model")
    make_manifest(folder, names, backend).write(folder)
    with pytest.raises(BackendError, match="refused it"):
        load_engine(folder)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("built", "claimed", "message"),
    [
        ({"size": (32, 48)}, {"size": (32, 32)}, r"input \w+ is uint8 \[1,32,48,3\]; expected"),
        ({"batch": (2, 2, 2)}, {"batch": (1, 1, 4)}, r"with N from 1 to 4"),
    ],
)
def test_a_payload_that_is_not_what_the_manifest_says_is_refused(
    make_engine, make_manifest, tmp_path, backend, built, claimed, message
):
    folder = make_engine(tmp_path / "e", backend, **built)
    names = sorted(path.name for path in folder.iterdir() if path.name.startswith("model"))
    make_manifest(folder, names, backend, **claimed).write(folder)
    with pytest.raises(BackendError, match=message):
        load_engine(folder)


def test_a_payload_without_the_backends_file_is_refused(engine_folder, make_manifest):
    (engine_folder / "other.bin").write_bytes(b"x")
    make_manifest(engine_folder, ["other.bin"]).write(engine_folder)
    with pytest.raises(ManifestError, match=r"payload has no model\.onnx"):
        load_engine(engine_folder)


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.binary(max_size=200))
def test_a_garbled_manifest_never_loads(engine_folder, data):
    (engine_folder / "manifest.json").write_bytes(data)
    with pytest.raises(ManifestError):
        load_engine(engine_folder)


def test_arrays_with_masks_or_that_cannot_be_written_are_refused(engine_folder, pair):
    with load_engine(engine_folder, threads=1) as engine:
        with pytest.raises(ImageError, match="pre is a MaskedArray"):
            engine.predict(np.ma.masked_all_like(pair[0]), pair[1])
        out = engine.predict(*pair)
        out.damage.flags.writeable = False
        with pytest.raises(ImageError, match=r"out.damage .* writable"):
            engine.predict(*pair, out=out)


def test_a_class_that_the_scale_has_not_is_an_error(make_engine, tmp_path, pair):
    """Of a graph of another origin: what it says would be counted as nothing."""
    folder = make_engine(tmp_path / "e")
    model = onnx.load(folder / "model.onnx")
    (one,) = [each for each in model.graph.initializer if each.name == "one"]
    one.CopyFrom(onnx.numpy_helper.from_array(np.asarray(6, np.float32), "one"))
    onnx.save(model, folder / "model.onnx")
    payload = payload_of(folder, ["model.onnx"])
    dataclasses.replace(Manifest.read(folder), payload=payload).write(folder)
    with load_engine(folder, threads=1) as engine:
        with pytest.raises(EngineError, match=r"gives damage class \d, expected 0 to 4"):
            engine.predict(*pair)
        with pytest.raises(EngineError, match="gives damage class"):
            list(engine.predict_many([pair]))


@pytest.mark.parametrize("threads", [0, -1, 513, 10**9, 2**40])
def test_a_number_of_threads_that_no_machine_has_is_refused(engine_folder, threads):
    with pytest.raises(ConfigError, match="expected 1 to 512"):
        load_engine(engine_folder, threads=threads)
