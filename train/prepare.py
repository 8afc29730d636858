"""From a configuration and a data set to what a run needs: tiles, loader, learner."""

from __future__ import annotations

import hashlib
from pathlib import Path

from torch.utils.data import DataLoader

from runtime import cli
from runtime.errors import CheckpointError, ConfigError, DataError
from runtime.files import sha256, write_bytes
from runtime.manifest import STRIDE
from train.check import TileFacts, check_together, sides, smallest_side
from train.checkpoint import Checkpoint, load_checkpoint
from train.config import DistillConfig, TrainConfig
from train.dataset import CropDataset
from train.distributed import World
from train.initial import start_from
from train.learner import Learner
from train.loader import make_loader, require_memory
from train.masks import MaskCache
from train.model import DualHRNet, ModelConfig, build_network
from train.quantisation.artefact import preprocessing_of, read_artefact
from train.remarks import remarks
from train.sampling import EpochSampler, group_by_rarest_class
from train.scales import require_native_scale
from train.schedule import phase_at
from train.splits import Division, Part
from train.tile_images import StoredTiles
from train.tile_list import TileList
from train.transfer import differences
from train.window_cache import WindowCache


def usable_tiles(
    data: Path,
    division: Division,
    config: TrainConfig,
    masks: MaskCache,
    out: Path,
    world: World,
    *,
    skip_bad: bool,
    windows: WindowCache | None = None,
) -> tuple[list[TileFacts], list[TileFacts]]:
    """The tiles to train on and those to validate on, each decoded and rasterised once; those to
    train on are kept in `windows`.

    Raises:
        DataError: tiles that cannot be used, unless they are to be skipped, or none that
            can. The whole list is in `out/bad-tiles.txt`.
        ConfigError: on tiles of these sizes no crop would have scale 1.
    """
    train_tiles, bad_train = _check(
        division.train, smallest_side(config.data), masks, world, windows
    )
    val_tiles, bad_val = _check(division.val, STRIDE, masks, world)
    odd = [fact for fact in val_tiles if fact.height % STRIDE or fact.width % STRIDE]
    val_tiles = [fact for fact in val_tiles if fact not in odd]
    bad = list(dict.fromkeys(bad_train + bad_val))  # both may be one split
    bad += [
        f"{fact.tile.pre}: {fact.height}x{fact.width} (height x width); tiles are validated "
        f"whole, expected multiples of {STRIDE}"
        for fact in odd
    ]
    listing = out / "bad-tiles.txt"
    if world.leads:
        listing.unlink(missing_ok=True)  # of an earlier attempt
    if bad:
        if world.leads:
            write_bytes(listing, ("\n".join(bad) + "\n").encode())
        if not skip_bad:
            raise DataError(
                f"{data}: {len(bad)} problems with its tiles, all named in {listing}; first: "
                f"{bad[0]}; repair them, or train on the rest with --skip-bad"
            )
        if world.leads:
            cli.note(f"skipping tiles with {len(bad)} problems, see {listing}")
    for part, facts in ((division.train, train_tiles), (division.val, val_tiles)):
        if not facts:
            raise DataError(f"{data}: split {part.name} holds no usable tile")
    require_native_scale(config, str(data), sides(train_tiles))
    if world.leads:
        if division.note:
            cli.note(division.note)
        for line in remarks(division.train.name, train_tiles, division.val.name, val_tiles):
            cli.note(f"note: {line}")
    return train_tiles, val_tiles


def _check(
    part: Part,
    side: int,
    masks: MaskCache,
    world: World,
    windows: WindowCache | None = None,
) -> tuple[list[TileFacts], list[str]]:
    """A part's tiles, read by all ranks together, and a line for each that cannot be used."""
    checked = check_together(part.tiles, masks, side, world, windows)
    return checked.good, [*part.problems, *checked.bad]


def window_cache(config: TrainConfig, out: Path) -> WindowCache | None:
    if config.data.cache != "disk":
        return None
    return WindowCache(config.data.cache_folder or out / "tiles")


def build_loader(
    facts: list[TileFacts],
    synthetic: list[TileFacts],
    config: TrainConfig,
    masks: MaskCache,
    world: World,
    windows: WindowCache | None = None,
) -> tuple[DataLoader, EpochSampler]:
    """Crops of the data set's tiles, and of synthetic ones where a phase takes some.

    Raises:
        ConfigError: decoded tiles are to be kept in memory, and do not fit.
    """
    data, optim = config.data, config.optim
    require_memory(data, [(fact.height, fact.width) for fact in (*facts, *synthetic)])
    balanced = data.sampling == "balanced"
    groups = group_by_rarest_class([fact.pixels for fact in facts]) if balanced else None
    sampler = EpochSampler(
        len(facts),
        data.crops_per_tile,
        optim.batch_size,
        config.seed,
        world.rank,
        world.size,
        groups=groups,
        accumulate=optim.accumulate,
        synthetic=len(synthetic),
        shares=[phase_at(config.schedule, epoch)[0].synthetic for epoch in range(config.epochs)],
    )
    drawn = [*facts, *synthetic]
    stored = StoredTiles(windows, [fact.content for fact in drawn]) if windows else None
    dataset = CropDataset(TileList(fact.tile for fact in drawn), config, masks, stored)
    loader = make_loader(dataset, sampler, config, pin_memory=world.device.type == "cuda")
    return loader, sampler


def fingerprints(train_tiles: list[TileFacts], val_tiles: list[TileFacts]) -> tuple[str, str]:
    """Of what is trained and validated on, in its order: names and the pixels of images and
    targets; and as earlier versions took it, of names and the number of damage pixels."""
    now, before = hashlib.sha256(b"tiles/2\n"), hashlib.sha256()
    for facts in (train_tiles, val_tiles):
        for fact in facts:
            now.update(f"{fact.tile.name} {fact.content} {fact.targets}\n".encode())
            before.update(f"{fact.tile.name} {fact.pixels.tolist()}\n".encode())
        for digest in (now, before):
            digest.update(b"--\n")
    return now.hexdigest(), before.hexdigest()


def build_learner(config: TrainConfig, world: World, before: Checkpoint | None) -> Learner:
    """A fresh network, with the weights of `init` that fit, and its teacher if it has one.

    Where a run goes on from `before`, its weights are about to be replaced, and `init` need not
    be there.

    Raises:
        CheckpointError: `init` cannot be read, or is of too different an architecture.
        ConfigError: the teacher sees its images otherwise.
        CalibrationError: the calibration cannot be used, or is not that of `init`.
    """
    network = build_network(config.model, config.seed)
    started_from = before.started_from if before else None
    if config.init and not before:
        account, started_from = start_from(config.init, network)
        if world.leads:
            cli.note(f"init={config.init}: {account}")
    teacher = _teacher(config.distill, config.model) if config.distill else None
    calibration = None
    if config.qat:
        calibration = read_artefact(config.qat.calibration)
        if config.init and not before:
            _same_network(config.init, config.model)
            preprocessing = preprocessing_of(config.model.mean, config.model.std)
            calibration.check_belongs(sha256(config.init), preprocessing)
            network.load_state_dict(calibration.network(network).state_dict())
    began = before.resume["precision"] if before and before.resume else None
    return Learner(network, config, world, teacher, calibration, began, started_from)


def _same_network(path: Path, wanted: ModelConfig) -> None:
    """The ranges of an INT8 engine belong to the whole network that they were observed in."""
    if changed := differences(load_checkpoint(path).model, wanted):
        raise CheckpointError(
            f"init={path}: another architecture than qat.calibration's: {'; '.join(changed)}"
        )


def _teacher(distill: DistillConfig, student: ModelConfig) -> DualHRNet:
    teacher = load_checkpoint(distill.checkpoint)
    if (teacher.model.mean, teacher.model.std) != (student.mean, student.std):
        raise ConfigError(
            f"distill.checkpoint={distill.checkpoint}: normalises images by mean "
            f"{teacher.model.mean} and std {teacher.model.std}, the student by {student.mean} "
            f"and {student.std}; give both the same"
        )
    return teacher.network()
