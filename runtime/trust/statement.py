"""The in-toto statement that is signed: which files an engine folder holds, and their digests."""

from __future__ import annotations

import hashlib
import re
from pathlib import PurePosixPath
from typing import Any

from runtime import records

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://model_signing/signature/v1.0"


class StatementError(ValueError):
    """A signed statement that this verifier does not take; the message says why."""


def signed_files(statement: bytes) -> dict[str, str]:
    """sha256 (hexadecimal) by path in the folder, of every file that the statement lists.

    What it says was ignored is not looked at: a file that is not listed is not signed.

    Raises:
        StatementError: another kind of statement, or one that contradicts itself.
    """
    try:
        content = records.decode(statement)
        return _files(content)
    except records.RecordError as error:
        raise StatementError(str(error)) from error
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise StatementError(f"its statement lacks a part ({error!r})") from error


def _files(content: Any) -> dict[str, str]:
    _require(content["_type"] == STATEMENT, "it is no in-toto statement, version 1")
    _require(content["predicateType"] == PREDICATE, f"its predicate is not {PREDICATE}")
    predicate = content["predicate"]
    how = predicate["serialization"]
    _require(
        how["method"] == "files" and how["hash_type"] == "sha256",
        f"it lists {how['method']} by {how['hash_type']}; expected files by sha256",
    )
    _require(how["allow_symlinks"] is False, "it allows symbolic links")
    (subject,) = _one(content["subject"])
    digests: dict[str, str] = {}
    for each in predicate["resources"]:
        name, digest = each["name"], each["digest"]
        _require(each["algorithm"] == "sha256", f"its digest of {name} is no sha256")
        _require(_is_inside(name), f"{name!r} is no path inside the folder")
        _require(name not in digests, f"it lists {name} twice")
        _require(re.fullmatch("[0-9a-f]{64}", digest) is not None, f"its digest of {name} is none")
        digests[name] = digest
    of_all = hashlib.sha256(b"".join(map(bytes.fromhex, digests.values()))).hexdigest()
    _require(subject["digest"] == {"sha256": of_all}, "its digest of all files is another")
    return digests


def _one(subjects: Any) -> Any:
    _require(isinstance(subjects, list) and len(subjects) == 1, "it must have one subject")
    return subjects


def _is_inside(name: Any) -> bool:
    if not isinstance(name, str) or "\0" in name:
        return False
    path = PurePosixPath(name)
    return str(path) == name and not path.is_absolute() and not {".", ".."} & set(path.parts)


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise StatementError(what)
