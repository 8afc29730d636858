"""Where PyTorch computes: one option for every command in which it does."""

from __future__ import annotations

from typing import Any


def add_device(parser: Any) -> None:
    """To a parser or a group of one; `train.distributed.pick_device` takes what is given."""
    parser.add_argument(
        "--device",
        metavar="NAME",
        default="auto",
        help="where PyTorch computes: auto, cpu or cuda (default: auto)",
    )
