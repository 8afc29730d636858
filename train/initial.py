"""What training begins with: random weights, a checkpoint's, or a published file's (`init`)."""

from __future__ import annotations

import re
from pathlib import Path

from torch import Tensor

from runtime.errors import CheckpointError
from runtime.files import sha256
from train.checkpoint import checkpoint_in, is_checkpoint
from train.foreign import hrnet, si_analytics
from train.foreign.weights import first_parts, state_in
from train.model import DualHRNet
from train.torch_file import SAFETENSORS, read_safetensors, read_torch_file
from train.transfer import Account, Given, transfer

_IMAGENET = re.compile(r"hrnetv2_w(\d+)_imagenet_pretrained\.pth")
_BACKBONE = re.compile(r"(conv|bn)[12]|layer1|(transition|stage)\d")
_SI_ANALYTICS = re.compile(r"(^|\.)(loc_net|cls_net)\.")


def require_init(init: Path) -> None:
    """Before hours are spent on the tiles.

    Raises:
        CheckpointError: no such file; says what it would be, and how to go on without it.
    """
    if init.is_file():
        return
    if match := _IMAGENET.fullmatch(init.name):
        what = (
            f"the ImageNet weights of HRNetV2-W{match[1]}, published by HRNet's authors "
            "(HRNet-Image-Classification); fetch the file and put it there, or name another "
            f"place, or timm's hrnet_w{match[1]}, with init=FILE"
        )
    else:
        what = (
            "a checkpoint, or published weights (.pth, .bin, .safetensors); name it with init=FILE"
        )
    found = "is a folder" if init.is_dir() else "no such file"
    raise CheckpointError(
        f"init={init}: {found}; expected {what}; init=null trains from random weights"
    )


def start_from(init: Path, network: DualHRNet) -> tuple[Account, str]:
    """Put what fits of `init` into `network`: the account, and a line that names the file.

    Raises:
        CheckpointError: missing, damaged or another network; or too little of it fits (see
            `train.transfer`).
    """
    given = read_given(init)
    account = transfer(f"init={init}", given, network)
    before = f", which started from {given.started_from}" if given.started_from else ""
    return account, f"{init.name} (sha256 {sha256(init)}), {account.share}{before}"


def read_given(path: Path) -> Given:
    """A checkpoint of this toolkit, or a published file in one of the layouts of `train.foreign`.

    Raises:
        CheckpointError: missing, damaged, or neither.
    """
    require_init(path)
    if path.suffix.lower() == SAFETENSORS:
        return _published(path, read_safetensors(path))
    content = read_torch_file(
        path,
        unreadable="not readable as a checkpoint or as published weights",
        advice="it is damaged or of another program; fetch it again",
    )
    if is_checkpoint(content):
        checkpoint = checkpoint_in(path, content)
        weights = checkpoint.network().state_dict()
        return Given(checkpoint.model, weights, started_from=checkpoint.started_from)
    return _published(path, state_in(path, content))


def _published(path: Path, state: dict[str, Tensor]) -> Given:
    if any(_SI_ANALYTICS.search(name) for name in state):
        whole = si_analytics.convert(path, state)
        return Given(whole.model, whole.weights, whole.dropped)
    model, tensors = hrnet.backbone(path, state)
    stream = {name: t for name, t in tensors.items() if _BACKBONE.fullmatch(name.partition(".")[0])}
    weights = {f"pre.{name}": tensor for name, tensor in stream.items()}
    return Given(model, weights, first_parts([name for name in tensors if name not in stream]))
