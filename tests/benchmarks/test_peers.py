"""Peers: turns, ratios, the ordinary user's maps, what cannot take part, and the command."""

from __future__ import annotations

import dataclasses
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from benchmarks.peers.__main__ import agreed_input, figures, table
from benchmarks.peers.lineup import LEFT_OUT, Lineup, names, openers
from benchmarks.peers.peer import ALONE, EAGER, END_TO_END, ENGINE, PYTORCH, Peer, Task
from benchmarks.peers.plain import postprocess, preprocess
from benchmarks.peers.pytorch import TimeLimit, compiled_peers, time_limit
from benchmarks.peers.turns import take_turns
from runtime.errors import ConfigError
from runtime.manifest import Manifest
from train.model import ModelConfig
from train.model.decode import building_logit, class_logits, decode
from train.model.dual_hrnet import normalise

SIDE = 64


def test_calls_take_turns_and_the_first_round_is_unseen() -> None:
    order: list[str] = []
    calls = {name: lambda n=name: order.append(n) for name in "ab"}
    seconds = take_turns(calls, 3, pause=0)
    assert order == list("ab" * 4)
    assert {name: len(times) for name, times in seconds.items()} == {"a": 3, "b": 3}


def _peer(name: str, scope: str, precision: str = "fp32") -> Peer:
    return Peer(name, PYTORCH, scope, lambda: None, lambda _: np.zeros(1), precision)


def test_ratios_are_of_medians_within_a_scope_and_a_wrong_peer_is_called_wrong() -> None:
    peers = [
        _peer(EAGER, END_TO_END),
        _peer(EAGER, ALONE),
        _peer("fast", ALONE),
        _peer("fast", END_TO_END),
        _peer("rounded", END_TO_END, "int8"),
    ]
    samples = ([4.0, 6.0, 5.0], [4.0], [2.0, 1.0, 9.0], [2.0], [1.0])
    agreement = (1.0, 1.0, 1.0, 0.9, 0.9)
    keys = [peer.key for peer in peers]
    rows = figures(
        peers, dict(zip(keys, samples, strict=True)), dict(zip(keys, agreement, strict=True))
    )
    assert [row["median_s"] for row in rows] == [5.0, 4.0, 2.0, 2.0, 1.0]
    assert [row["faster"] for row in rows] == [1.0, 1.0, 2.0, 2.5, 5.0]
    assert [row["wrong"] for row in rows] == [False, False, False, True, False]
    lines = table({"figures": rows, "failed": [{"name": "gone", "reason": "why"}]}).splitlines()
    assert [("WRONG" in line) for line in lines[1:6]] == [False, False, False, True, False]
    assert lines[-1] == "not measured: gone: why"


_logits = st.floats(-120, 120, width=32)


@given(data=st.data(), building=st.sampled_from([1, 2]), damage=st.sampled_from([4, 5]))
def test_numpy_maps_are_the_deploy_contracts(data, building: int, damage: int) -> None:
    shapes = [(1, channels, 3, 4) for channels in (building, damage)]
    first, second = (data.draw(arrays.arrays(np.float32, s, elements=_logits)) for s in shapes)
    threshold = data.draw(st.floats(0.05, 0.95))
    found = postprocess(first, second, threshold)
    logits = building_logit(torch.from_numpy(first)), class_logits(torch.from_numpy(second))
    expected = [each[0].numpy() for each in decode(*logits, threshold)]
    np.testing.assert_array_equal(found[0], expected[0])
    for ours, theirs in zip(found[1:], expected[1:], strict=True):
        # A probability between two steps may be rounded to either.
        assert np.abs(ours.astype(int) - theirs).max() <= 1


def test_numpy_normalises_as_the_network_was_trained(small_config: ModelConfig) -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    expected = normalise(torch.from_numpy(image)[None], small_config).numpy()
    np.testing.assert_allclose(preprocess(image, small_config), expected, rtol=0, atol=1e-6)


class Tiny(torch.nn.Module):
    """As small as a network with the heads' shapes can be: quick to compile."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.config = ModelConfig()
        self.building, self.damage = torch.nn.Conv2d(3, 1, 1), torch.nn.Conv2d(3, 5, 1)

    def forward(self, pre: torch.Tensor, post: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.building(pre), torch.relu(self.damage(post))


@pytest.fixture
def task() -> Task:
    random = np.random.default_rng(0)
    pre, post = random.integers(0, 256, (2, SIDE, SIDE, 3), np.uint8)
    return Task((pre, post), ModelConfig(), 0.5, 1)


@pytest.fixture
def own_compilations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an earlier run compiled is not found, and nothing is left for a later one."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))
    torch.compiler.reset()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_a_compiled_network_gives_the_same_labels(task: Task, own_compilations: None) -> None:
    network = Tiny().eval()
    lineup = Lineup(network, task)
    lineup.open("pytorch-compile", lambda: compiled_peers(network, task, 500))
    assert lineup.failed == []
    assert [peer.name for peer in lineup.peers] == [EAGER] * 2 + ["torch.compile"] * 2
    assert min(lineup.agreement.values()) > 0.999


def test_without_a_compiler_the_reason_is_listed(task: Task, own_compilations: None) -> None:
    import torch._inductor.config as inductor

    network = Tiny().eval()
    lineup = Lineup(network, task)
    with inductor.patch({"cpp.cxx": ("no-such-compiler",)}):
        lineup.open("pytorch-compile", lambda: compiled_peers(network, task, 500))
    (failed,) = lineup.failed
    assert failed["name"] == "pytorch-compile"
    assert "compiler" in failed["reason"]
    assert "\n" not in failed["reason"]
    assert [peer.name for peer in lineup.peers] == [EAGER] * 2


def test_what_takes_too_long_is_given_up(task: Task) -> None:
    lineup = Lineup(Tiny().eval(), task)

    def slow() -> list[Peer]:
        with time_limit(1):
            time.sleep(60)
        return []

    lineup.open("slow", slow)
    assert lineup.failed == [{"name": "slow", "reason": "TimeLimit: not done after 1 s"}]


def test_a_limit_ends_with_its_block() -> None:
    with time_limit(1):
        pass
    time.sleep(1.2)  # would raise here
    with pytest.raises(TimeLimit), time_limit(1):
        time.sleep(60)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_limit_that_falls_where_python_forgets_it_comes_again() -> None:
    class Slow:
        def __del__(self) -> None:
            time.sleep(1.5)

    def work() -> None:
        Slow()
        time.sleep(60)

    with pytest.raises(TimeLimit), time_limit(1):
        work()


def test_all_names_can_be_left_out(task: Task, tmp_path: Path) -> None:
    assert set(openers(Tiny(), task, tmp_path, 1, deploy_graphs=True)) == set(names())
    assert set(openers(Tiny(), task, tmp_path, 1, deploy_graphs=False)) < set(names())


def test_plain_exports_give_pytorchs_labels_in_both_scopes(task: Task, tmp_path: Path) -> None:
    network = Tiny().eval()
    lineup = Lineup(network, task)
    found = openers(network, task, tmp_path, 1, deploy_graphs=False)
    for name in ("pytorch-channels-last", "onnxruntime", "openvino"):
        lineup.open(name, found[name])
    assert lineup.failed == []
    assert len(lineup.agreement) == 8
    assert min(lineup.agreement.values()) > 0.999
    inputs = onnx.load(tmp_path / "plain.onnx").graph.input
    shapes = [[d.dim_value for d in each.type.tensor_type.shape.dim] for each in inputs]
    assert shapes == [[1, 3, SIDE, SIDE]] * 2


def test_a_peer_that_is_wrong_is_found_out(task: Task) -> None:
    lineup = Lineup(Tiny().eval(), task)
    truth = lineup.peers[0].damage(lineup.peers[0].call())
    wrong = truth.copy()
    wrong[: SIDE // 4] = 9
    lineup.open("wrong", lambda: [Peer("wrong", PYTORCH, ALONE, lambda: wrong, lambda x: x)])
    assert lineup.agreement["wrong, network alone"] == 0.75


@pytest.fixture(scope="module")
def folder(
    tmp_path_factory: pytest.TempPathFactory, small_checkpoint: Path, command: Callable
) -> Path:
    """An FP32 engine of the small checkpoint."""
    out = tmp_path_factory.mktemp("peers") / "engine"
    result = command(
        "export.build_engine", "--checkpoint", small_checkpoint, "--size", SIDE, SIDE, "--fp32",
        "--target", "onnxruntime", "--parity-pairs", 1, "--out", out,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return out


@pytest.mark.slow
def test_the_command_compares_engines_and_plain_exports_of_the_same_weights(
    folder: Path, small_checkpoint: Path, command: Callable, tmp_path: Path
) -> None:
    out = tmp_path / "peers.json"
    result = command(
        "benchmarks.peers", "--checkpoint", small_checkpoint, "--engine", folder, "--rounds", 1,
        "--leave-out", "pytorch-compile", "--json", "--out", out,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    record = json.loads(result.stdout)
    assert record == json.loads(out.read_text())
    assert (record["kind"], record["size"], record["rounds"]) == ("peers", [SIDE, SIDE], 1)
    assert record["failed"] == [{"name": "pytorch-compile", "reason": LEFT_OUT}]
    rows = {(row["group"], row["name"], row["scope"]): row for row in record["figures"]}
    both = [END_TO_END, ALONE]
    assert list(rows) == [
        *((PYTORCH, EAGER, scope) for scope in both),
        *((PYTORCH, "PyTorch channels-last", scope) for scope in both),
        *(("plain export", "ONNX Runtime", scope) for scope in both),
        *(("plain export", "OpenVINO", scope) for scope in both),
        (ENGINE, "engine", END_TO_END),
    ]
    assert min(row["label_agreement"] for row in rows.values()) > 0.999
    assert all(len(row["samples_s"]) == 1 for row in rows.values())


def test_engines_that_cannot_be_compared_are_refused(make_engine: Callable, tmp_path: Path) -> None:
    folders = [make_engine(tmp_path / name) for name in "ab"]
    digest = Manifest.read(folders[0]).model.checkpoint_sha256
    assert agreed_input(folders, digest, None) == ((SIDE, SIDE), 0.5)
    assert agreed_input([], digest, (96, 32)) == ((96, 32), 0.5)
    with pytest.raises(ConfigError, match="a: was built from another checkpoint"):
        agreed_input(folders, "of another", None)
    with pytest.raises(ConfigError, match="a: takes 64x64 with threshold 0.5, expected 128x128"):
        agreed_input(folders, digest, (128, 128))
    manifest = Manifest.read(folders[1])
    dataclasses.replace(manifest, input=dataclasses.replace(manifest.input, threshold=0.4)).write(
        folders[1]
    )
    with pytest.raises(ConfigError, match="b: takes 64x64 with threshold 0.4, expected .* 0.5"):
        agreed_input(folders, digest, None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--size", 64, 100), "--size 64 100: expected positive multiples of 32"),
        (("--rounds", 0), "--rounds 0: expected at least 1"),
        ((), "none.pt: no such checkpoint"),
    ],
)
def test_wrong_arguments_are_one_line(error_line: Callable, arguments: tuple, message: str) -> None:
    assert message in error_line("benchmarks.peers", "--checkpoint", "none.pt", *arguments)
