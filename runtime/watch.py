"""Map what arrives: ``python -m runtime.watch --engine DIR --inbox DIR --outbox DIR``."""

from __future__ import annotations

import argparse
from pathlib import Path

from runtime import cli
from runtime.errors import ConfigError
from runtime.options import add_options, map_options


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m runtime.watch",
        description="Map building damage from each pair of images that arrives in INBOX, as "
        "NAME_pre_disaster.EXT and NAME_post_disaster.EXT, or NAME_pre.EXT and NAME_post.EXT "
        "(png, jpg, jpeg, tif, tiff). The maps appear whole in OUTBOX/NAME/, then the images "
        "go to INBOX/done/. A pair that cannot be mapped goes to INBOX/failed/NAME/ with "
        "reason.txt. OUTBOX/health.json tells how it is going. SIGTERM and Ctrl-C end it after "
        "the pair it is at; killed at any time, it goes on where it was.",
    )
    parser.add_argument("--engine", type=Path, required=True, metavar="DIR", help="engine folder")
    parser.add_argument(
        "--inbox", type=Path, required=True, metavar="DIR", help="where pairs arrive"
    )
    parser.add_argument("--outbox", type=Path, required=True, metavar="DIR", help="where maps go")
    parser.add_argument(
        "--settle",
        type=float,
        default=2.0,
        metavar="S",
        help="seconds without a change after which a file is complete (default: 2)",
    )
    parser.add_argument(
        "--poll", type=float, default=0.5, metavar="S", help="seconds between looks (default: 0.5)"
    )
    parser.add_argument(
        "--heartbeat",
        type=float,
        default=30.0,
        metavar="S",
        help="rewrite health.json at least this often, in seconds (default: 30)",
    )
    parser.add_argument(
        "--once",
        action="store_true",
        help="map the pairs that are there, then end; exit code 1 if some could not be mapped",
    )
    parser.add_argument(
        "--threads", type=int, metavar="N", help="processor threads (default: physical cores)"
    )
    add_options(parser)
    return parser


def main(args: argparse.Namespace) -> int:
    options = map_options(args)
    for option, least in (("settle", 0.0), ("poll", 0.01), ("heartbeat", 0.01)):
        if not getattr(args, option) >= least:
            raise ConfigError(
                f"--{option} is {getattr(args, option)}; expected {least} seconds or more"
            )
    if args.inbox.resolve() == args.outbox.resolve():
        raise ConfigError(f"--outbox {args.outbox}: is the inbox; expected another folder")
    cli.silence_opencv()
    from runtime.many.health import Health
    from runtime.many.inbox import Inbox
    from runtime.many.outbox import holding
    from runtime.many.watching import Reopened, Stop, Watch

    inbox = Inbox(args.inbox, args.settle)
    with Stop() as stop, holding(args.outbox):
        warnings = _Warnings()
        health = Health(args.outbox, args.engine, args.heartbeat, warnings.warn)
        with Reopened(args.engine, args.threads, args.device) as engine, health:
            watch = Watch(engine, inbox, args.outbox, options, health, stop, warnings.warn)
            return watch.once(args.poll) if args.once else watch.forever(args.poll)


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
