"""Map each pair of images that arrives in a folder."""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

from runtime import cli
from runtime.errors import ConfigError
from runtime.options import add_options, groups_of, map_options

if TYPE_CHECKING:
    from runtime.many.lasting import Stop

_COMES_BACK = {
    *(errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO),
    *(errno.ENOSPC, errno.EDQUOT, errno.ESTALE, errno.ENODEV),
}
"""What a person or the next remount puts right; a name that is wrong is not among them."""

_MOST_SECONDS = 86_400
"""A day: the clocks of the system cannot wait for any number."""


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m runtime.watch",
        usage="%(prog)s --engine DIR --inbox DIR --outbox DIR [option ...]",
        description="Map each pair of images that arrives in INBOX, as NAME_pre_disaster.EXT and "
        "NAME_post_disaster.EXT, or NAME_pre.EXT and NAME_post.EXT (png, jpg, jpeg, tif, tiff). "
        "The maps appear whole in OUTBOX/NAME/; then the images, and what lies beside them (.tfw, "
        ".aux.xml, ...), go to INBOX/done/. A pair that cannot be mapped goes to "
        "INBOX/failed/NAME/ with reason.txt. SIGTERM and Ctrl-C end it after the pair it is at; "
        "killed at any time, it goes on where it was.",
    )
    parser.add_argument("--engine", type=Path, required=True, metavar="DIR", help="engine folder")
    parser.add_argument(
        "--inbox", type=Path, required=True, metavar="DIR", help="where pairs arrive"
    )
    parser.add_argument(
        "--outbox", type=Path, required=True, metavar="DIR", help="output folder, of all pairs"
    )
    groups = groups_of(parser)
    add_options(groups)
    groups.going_on.add_argument(
        "--redo",
        action="store_true",
        help="replace maps of other images, another engine or other options, and those with parts "
        "without a result (default: the pair goes to failed/)",
    )
    arrival = parser.add_argument_group("arrival")
    arrival.add_argument(
        "--settle",
        type=float,
        default=2.0,
        metavar="S",
        help="seconds without a change after which a file is complete (default: 2)",
    )
    arrival.add_argument(
        "--poll", type=float, default=0.5, metavar="S", help="seconds between looks (default: 0.5)"
    )
    arrival.add_argument(
        "--once",
        action="store_true",
        help="map the pairs that are there, then end; exit code 1 if some could not be mapped, "
        "or have parts that could not be computed",
    )
    keeping = parser.add_argument_group("keeping (what is removed again)")
    keeping.add_argument(
        "--keep-days", type=float, metavar="D",
        help="remove maps, and the images in INBOX/done, D days after they were made (default: all "
        "are kept; maps that were corrected by hand always are)",
    )  # fmt: skip
    keeping.add_argument(
        "--keep-gib", type=float, metavar="G",
        help="remove the oldest of them while they take more than G GiB together (default: no "
        "limit)",
    )  # fmt: skip
    health = parser.add_argument_group("health, told in OUTBOX/health.json")
    health.add_argument(
        "--heartbeat",
        type=float,
        default=30.0,
        metavar="S",
        help="seconds after which it is written at the latest (default: 30)",
    )
    health.add_argument(
        "--stall",
        type=float,
        default=600.0,
        metavar="S",
        help='seconds without progress of a pair after which it says "stalled"; nothing is ended '
        "(default: 600)",
    )
    return parser


def main(args: argparse.Namespace) -> int:
    options = map_options(args)
    for option, least in (("settle", 0.0), ("poll", 0.01), ("heartbeat", 0.01), ("stall", 0.01)):
        if not least <= getattr(args, option) <= _MOST_SECONDS:
            raise ConfigError(
                f"--{option} is {getattr(args, option)}; expected {least} to {_MOST_SECONDS} "
                "seconds"
            )
    # Not Path.resolve: that raises for links in a circle, which the inbox has a line for.
    inbox_folder, outbox_folder = (
        Path(os.path.realpath(each)) for each in (args.inbox, args.outbox)
    )
    if outbox_folder in {inbox_folder, inbox_folder / "done", inbox_folder / "failed"}:
        which = (
            "is the inbox" if outbox_folder == inbox_folder else "is a folder of the inbox's own"
        )
        raise ConfigError(f"--outbox {args.outbox}: {which}; expected another folder")
    cli.prepare_opencv()
    from runtime.many.disks import Disks
    from runtime.many.health import Health
    from runtime.many.inbox import Inbox
    from runtime.many.lasting import Reopened, Stop
    from runtime.many.retention import Limits, Retention
    from runtime.many.systemd import Service
    from runtime.many.watching import Watch

    disks = Disks((args.inbox, args.outbox))  # one may go while the engine is loaded
    inbox = Inbox(args.inbox, args.settle, besides=args.outbox)
    warnings = _Warnings()
    limits = Limits(args.keep_days, args.keep_gib)
    with contextlib.ExitStack() as stack:
        stop = stack.enter_context(Stop())
        if not _held(args, stack, stop, warnings):
            return 0
        stack.enter_context(inbox.holding())
        health = Health(
            args.outbox, args.engine, args.heartbeat, warnings.warn, args.stall, Service()
        )
        engine = stack.enter_context(
            Reopened(args.engine, args.threads, args.device, args.mode, warnings.warn)
        )
        stack.enter_context(health)
        watch = Watch(
            engine, inbox, args.outbox, options, health, stop, warnings.warn, redo=args.redo,
            retention=Retention(args.outbox, args.inbox, limits, warnings.warn), disks=disks,
        )  # fmt: skip
        return watch.once(args.poll) if args.once else watch.forever(args.poll)


def _held(
    args: argparse.Namespace, stack: contextlib.ExitStack, stop: Stop, warnings: _Warnings
) -> bool:
    """Once the outbox can be written, which a device may have to wait for; False if not so."""
    from runtime.many.outbox import holding, os_reason
    from runtime.many.trying import PATIENCE

    delay = PATIENCE[0]
    while not stop.asked:
        try:
            stack.enter_context(holding(args.outbox))
        except OSError as error:
            if args.once or error.errno not in _COMES_BACK:
                raise
            message = os_reason(error, args.outbox)
            warnings.warn(f"error: {message}; no pair is lost, trying again")
            stop.wait(delay)
            delay = min(2 * delay, PATIENCE[1])
        else:
            return True
    return False


class _Warnings:
    """On stderr; what is repeated is told once."""

    def __init__(self) -> None:
        self._last = ""

    def warn(self, message: str) -> None:
        if message != self._last:
            self._last = message
            cli.note(message)


if __name__ == "__main__":
    cli.run(parser(), main)
