"""What a request can be told: a status of HTTP and one line."""

from __future__ import annotations


class RefusedError(Exception):
    """`line`: what is wrong, what was expected, what to do."""

    def __init__(self, status: int, line: str, **fields: object) -> None:
        super().__init__(line)
        self.status = status
        self.line = line
        self.fields = fields


def missing(what: str) -> RefusedError:
    return RefusedError(404, f"{what}: there is none")
