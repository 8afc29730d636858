"""A run that validates little along the way: what its files hold at the end, and how it resumes."""

from __future__ import annotations

import gc
import shutil
import weakref
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from runtime.errors import ToolkitError
from runtime.score import Counts
from train import loop, scoring
from train.checkpoint import Checkpoint, load_checkpoint, newest_checkpoint
from train.config_file import load_config
from train.distributed import World
from train.evaluate import score_tiles
from train.loop import train
from train.scored import Scored
from train.validation import validate
from train.xbd import find_tiles

ALONE = World(0, 1, torch.device("cpu"))
SMALL = (
    "model.width=8", "model.stem_width=8", "model.blocks=1", "model.projection=16",
    "model.head_widths=[16,8]", "data.crop=64", "data.building_crops=1.0", "data.val_split=test",
    "optim.batch_size=4", "optim.ema=0.5", "schedule=[{epochs: 3, rate: 0.01}]",
)  # fmt: skip
LITTLE = "validation={every: 2, tiles: 1, precision: training}"
STEPS = 2
"""An epoch, of the eight tiles of `synthetic`, whose test split has two."""


@pytest.fixture(scope="module")
def data(synthetic: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both of its tiles to validate on are the same one, so that each shows the same classes."""
    root = shutil.copytree(synthetic, tmp_path_factory.mktemp("data") / "alike")
    first, second = find_tiles(root, "test")
    for path in (root / "test" / "images").glob(f"{second.name}_*"):
        shutil.copy(str(path).replace(second.name, first.name), path)
    for path in second.labels:
        text = Path(str(path).replace(second.name, first.name)).read_text()
        path.write_text(text.replace(first.name, second.name))
    return root


def _run(data: Path, out: Path, *more: str, resume: bool = False) -> Path:
    config = load_config(Path("demo"), [*SMALL, *more])
    train(config, data, out, ALONE, resume=resume, skip_bad=False)
    return out


def _curves(run: Path) -> dict[str, list[int]]:
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    return {n: [each.step for each in events.Scalars(n)] for n in events.Tags()["scalars"]}


def test_a_gpu_that_is_too_small_for_a_step_is_said_in_one_line() -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 4 GiB")

    run = SimpleNamespace(
        progress=SimpleNamespace(step=4),
        writer=SimpleNamespace(check=lambda: None),
        learner=SimpleNamespace(step=full),
    )
    with pytest.raises(ToolkitError, match=r"^the GPU's memory does not hold step 5; lower optim"):
        loop._step(run, [], 0.1)


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _run(data, tmp_path_factory.mktemp("run") / "run", LITTLE)


def test_the_scores_at_the_end_are_exact(trained: Path, data: Path) -> None:
    tiles = find_tiles(data, "test")
    for name in ("best.pt", "last.pt"):
        found = load_checkpoint(trained / name)
        assert found.metrics == score_tiles(found.network(), tiles).as_dict()
        assert found.scored == Scored(tiles=2, of=2, precision="fp32")
    curves = _curves(trained)
    assert curves["val/score"] == [2 * STEPS, 3 * STEPS]  # every second epoch, and the last
    assert curves["exact/score"] == [3 * STEPS]
    assert "on the whole tiles of split test" in (trained / "README.md").read_text()


def test_best_holds_weights_alone_and_last_everything(trained: Path) -> None:
    best, last = (load_checkpoint(trained / name) for name in ("best.pt", "last.pt"))
    assert best.optimizer_state is None
    assert best.resume is None
    assert best.config == last.config
    assert best.precision == last.precision == last.resume["precision"]
    assert last.optimizer_state["state"]
    weights = sum(each.nbytes for each in best.model_state.values())
    assert (
        weights < (trained / "best.pt").stat().st_size < 0.5 * (trained / "last.pt").stat().st_size
    )
    assert newest_checkpoint(trained) == trained / "best.pt"


def test_a_best_of_an_older_version_still_loads(trained: Path, data: Path, tmp_path: Path) -> None:
    """It held everything, and no record of the precision beside it."""
    content = torch.load(trained / "last.pt", weights_only=True)
    del content["precision"], content["scored"]
    torch.save(content, tmp_path / "best.pt")
    old = load_checkpoint(tmp_path / "best.pt")
    assert old.scored is None
    assert old.precision == content["resume"]["precision"]
    once = "schedule=[{epochs: 1, rate: 1.0e-12}]"
    _run(data, tmp_path / "run", f"init={tmp_path / 'best.pt'}", once)


def test_a_run_of_an_older_version_resumes(trained: Path, data: Path, tmp_path: Path) -> None:
    """Its configuration does not have the new keys, its optimiser was not fused."""
    run = _run(data, tmp_path / "run", "schedule=[{epochs: 1, rate: 0.01}]")
    content = torch.load(run / "last.pt", weights_only=True)
    del content["precision"], content["scored"], content["config"]["validation"]
    content["optimizer_state"]["param_groups"][0]["fused"] = None
    content.update(epoch=0)
    content["resume"]["batches"] = STEPS
    torch.save(content, run / "last.pt")
    _run(data, run, "schedule=[{epochs: 1, rate: 0.01}]", resume=True)
    assert load_checkpoint(run / "last.pt").scored.exact


@pytest.mark.parametrize("first_is_better", [True, False])
def test_the_better_one_by_the_exact_score_is_the_best(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first_is_better: bool
) -> None:
    """On the subset the first validated weights seem better; the whole split decides."""
    tiles = find_tiles(data, "test")
    seeming = iter([0.9, 0.1])

    class Seeming(Counts):
        score = property(lambda self: self.given)

    def validate_less(network, chosen, masks, world, dtype=None, watch=None) -> Counts:
        counts = validate(network, chosen, masks, world, dtype, watch)
        if len(chosen) == len(tiles):
            return counts
        found = Seeming(counts.localization, counts.confusion)
        found.given = next(seeming)
        return found

    monkeypatch.setattr(scoring, "validate", validate_less)
    # Weights that learn nothing any more, or weights that have only begun.
    rates = (0.01, 1.0) if first_is_better else (1e-12, 0.01)
    phases = ", ".join(f"{{epochs: {n}, rate: {r}}}" for n, r in zip((1, 3), rates, strict=True))
    run = _run(
        data,
        tmp_path / "run",
        f"schedule=[{phases}]",
        "validation={every: 3, tiles: 1}",
        "optim.precision=fp32",
        "augment.full={photometry: 0.1}",
    )
    best, last = (load_checkpoint(run / name) for name in ("best.pt", "last.pt"))
    exact = {each.step: score_tiles(each.network(), tiles).score for each in (best, last)}
    assert (best.step < last.step) is first_is_better
    assert best.metrics["score"] == exact[best.step] == max(exact.values())
    assert last.metrics["score"] == exact[last.step]
    assert best.scored.exact
    assert last.scored.exact
    assert last.resume["best_score"] == best.metrics["score"]


def _forget(run: Path, name: str) -> None:
    """The checkpoint as it was before the exact scores were taken."""
    content = torch.load(run / name, weights_only=True)
    content["scored"] = {"tiles": 1, "of": 2, "precision": "fp32"}
    content["metrics"] = {}
    torch.save(content, run / name)


def test_a_run_that_was_killed_before_its_exact_scores_takes_them(
    trained: Path, data: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(trained, tmp_path / "run")
    for name in ("best.pt", "last.pt"):
        _forget(run, name)
    _run(data, run, LITTLE, resume=True)
    for name in ("best.pt", "last.pt"):
        before, after = (load_checkpoint(each / name) for each in (trained, run))
        assert (before.metrics, before.scored) == (after.metrics, after.scored)
        assert before.step == after.step


def test_a_finished_run_is_left_alone(trained: Path, data: Path) -> None:
    before = {name: (trained / name).stat().st_mtime_ns for name in ("best.pt", "last.pt")}
    _run(data, trained, LITTLE, resume=True)
    after = {name: (trained / name).stat().st_mtime_ns for name in before}
    assert before == after


def test_the_card_says_what_less_was_counted_on(trained: Path, tmp_path: Path) -> None:
    from train.card import write_card

    best = load_checkpoint(trained / "best.pt")
    best.scored = Scored(tiles=256, of=933, precision="bf16")
    write_card(tmp_path, best, best.network())
    text = (tmp_path / "README.md").read_text()
    assert "on 256 of 933 tiles in bf16, which is less than the exact score takes," in text
    assert "256 of 933 tiles in bf16, test" in text.partition("\n---\n")[0]


def test_a_resumed_run_lets_go_of_the_checkpoint(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, epoch = tmp_path / "run", "schedule=[{epochs: 1, rate: 0.01}]"
    _run(data, run, epoch)
    content = torch.load(run / "last.pt", weights_only=True)
    content.update(epoch=0)
    content["resume"]["batches"] = STEPS
    torch.save(content, run / "last.pt")
    find, train_epoch = loop.find_run, loop._train_epoch
    read: list[weakref.ref] = []
    alive: list[object] = []

    def found(*args: object) -> Checkpoint | None:
        checkpoint = find(*args)
        read.append(weakref.ref(checkpoint))
        read.extend(weakref.ref(each) for each in checkpoint.model_state.values())
        return checkpoint

    def watched(*args: object) -> None:
        gc.collect()
        alive.extend(each for each in read if each() is not None)
        train_epoch(*args)

    monkeypatch.setattr(loop, "find_run", found)
    monkeypatch.setattr(loop, "_train_epoch", watched)
    _run(data, run, epoch, resume=True)
    assert len(read) > 100
    assert alive == []
