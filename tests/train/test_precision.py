"""The number format follows the hardware, one for all ranks, and stays that of the run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
import torch.multiprocessing

from runtime.errors import ConfigError
from train import precision
from train.config_file import load_config
from train.distributed import World, world
from train.precision import RECORDS, choose_precision, processor_flags

ALONE = World(0, 1, torch.device("cpu"))
CONFIGS = Path(__file__).parents[2] / "train" / "configs"
SLOW = "which makes a step several times slower than in fp32"


def _has(monkeypatch: pytest.MonkeyPatch, *flags: str) -> None:
    monkeypatch.setattr(precision, "processor_flags", lambda: frozenset(flags))


def test_linux_and_pytorch_name_the_same_instructions() -> None:
    if not hasattr(torch.cpu, "get_capabilities") or not Path("/proc/cpuinfo").exists():
        pytest.skip("one of the two sources is not here")
    said, read = processor_flags(), processor_flags(Path("/proc/cpuinfo"))
    for name in ("avx2", "avx512_bf16", "amx_bf16", "avx512_fp16"):
        assert (name in said) == (name in read), name


def test_flags_are_read_as_linux_writes_them(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text("model name\t: A\nflags\t\t: fpu avx2 amx_bf16\nbugs\t: avx512_bf16\n")
    assert processor_flags(file) == {"fpu", "avx2", "amx_bf16"}
    file.write_text("BogoMIPS\t: 50\nFeatures\t: fp asimd bf16\n")
    assert processor_flags(file) == {"fp", "asimd", "bf16"}
    assert processor_flags(tmp_path / "none") == frozenset()


@pytest.mark.parametrize(
    ("flags", "name", "why"),
    [
        (("avx2", "avx512_bf16"), "bf16", "this processor has avx512_bf16"),
        (("amx_bf16",), "bf16", "this processor has amx_bf16"),
        (("avx2", "avx512_f"), "fp32", "this processor has no amx_bf16 or avx512_bf16"),
        (("asimd", "bf16"), "fp32", "this processor has no amx_bf16 or avx512_bf16"),
    ],
)
def test_auto_follows_the_processor(monkeypatch, flags, name, why) -> None:
    _has(monkeypatch, *flags)
    chosen = choose_precision("auto", ALONE)
    assert (chosen.name, chosen.why) == (name, why)


def test_what_is_asked_for_is_taken_and_its_drawback_said(monkeypatch) -> None:
    _has(monkeypatch, "avx2")
    bf16, fp16, fp32 = (choose_precision(name, ALONE) for name in ("bf16", "fp16", "fp32"))
    assert bf16.dtype is torch.bfloat16
    assert bf16.why == f"asked for; this processor has no bf16 instructions, {SLOW}"
    assert fp16.why == f"asked for; this processor has no fp16 instructions, {SLOW}"
    assert (fp32.dtype, fp32.why) == (None, "asked for")
    _has(monkeypatch, "avx512_bf16")
    assert choose_precision("bf16", ALONE).why == "asked for"


@pytest.mark.parametrize("began", RECORDS)
def test_a_run_goes_on_as_it_began_whatever_the_processor(monkeypatch, began) -> None:
    for flags in (("avx512_bf16", "avx512_fp16"), ()):
        _has(monkeypatch, *flags)
        chosen = choose_precision("auto", ALONE, began)
        assert chosen.record == began
        slow = not flags and chosen.name != "fp32"
        assert chosen.why.startswith("as the run began")
        assert (SLOW in chosen.why) == slow


@pytest.mark.parametrize(("has_bf16", "name"), [(True, "bf16"), (False, "fp16")])
def test_auto_follows_the_gpu(monkeypatch, has_bf16, name) -> None:
    """Whether it has bf16 is what PyTorch says of its compute capability; no GPU is needed."""
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: has_bf16)
    gpu = World(0, 1, torch.device("cuda", 0))
    assert choose_precision("auto", gpu).name == name
    if not has_bf16:
        for arguments in (("bf16", gpu), ("auto", gpu, "torch.bfloat16")):
            with pytest.raises(ConfigError, match="this GPU has no bfloat16"):
                choose_precision(*arguments)


def _choose_on_rank(rank: int, port: int, out: str) -> None:
    os.environ |= {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
    }  # fmt: skip
    flags = frozenset(["avx512_bf16"]) if rank else frozenset()
    precision.processor_flags = lambda: flags
    with world("cpu") as group:
        found = [choose_precision(each, group) for each in ("auto", "bf16")]
    (Path(out) / str(rank)).write_text("\n".join(f"{each.name}: {each.why}" for each in found))


def test_processes_on_unlike_machines_agree(tmp_path: Path, free_port: int) -> None:
    torch.multiprocessing.spawn(_choose_on_rank, (free_port, str(tmp_path)), nprocs=2)
    said = [(tmp_path / str(rank)).read_text() for rank in (0, 1)]
    assert said[0] == said[1]
    auto, bf16 = said[0].splitlines()
    assert auto == "fp32: the hardware of the processes differs: bf16, fp32"
    assert bf16 == f"bf16: asked for; this processor has no bf16 instructions, {SLOW}"


def test_no_shipped_configuration_asks_for_a_precision() -> None:
    found = list(CONFIGS.rglob("*.yaml"))
    assert len(found) > 5
    for path in found:
        assert load_config(path, []).optim.precision == "auto", path
