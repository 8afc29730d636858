"""Which images belong together: named in a CSV file, or told by the names of the files."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from runtime.errors import ConfigError

_NAME = re.compile(r"(.+)_(pre|post)(_disaster)?\.(?:png|jpe?g|tiff?)", re.IGNORECASE)
_TAKEN = {"failed.csv", "health.json"}  # files of ours that lie beside the folders of maps
MOST_BYTES = 1 << 26
"""Of a CSV file: some 400,000 pairs."""
NAMES = "no slash, no dot in front, nothing unprintable, 200 bytes, not failed.csv or health.json"


@dataclass(frozen=True)
class Pair:
    """`name` is that of its folder of maps."""

    name: str
    pre: Path
    post: Path


def name_and_role(file: str) -> tuple[str, str] | None:
    """("town", "pre") of town_pre_disaster.png or town_pre.tif; None for other files."""
    match = _NAME.fullmatch(file)
    if match is None or file.startswith("."):
        return None
    return match[1], match[2].lower()


def can_name_a_folder(name: str) -> bool:
    """See NAMES."""
    if name.startswith(".") or "/" in name or not name.isprintable() or name in _TAKEN:
        return False
    return len(os.fsencode(name)) <= 200


def find_pairs(path: Path) -> list[Pair]:
    """The pairs of a CSV file or an xBD folder, in its order.

    A pair whose file is missing is among them: it fails alone, the others are mapped.
    Raises ConfigError for a list that cannot be meant as it stands.
    """
    if path.is_dir():
        pairs = list(_in_xbd(path))
        empty = f"{path}: no images/*_pre_disaster.png, nor in a folder of it; expected an xBD"
    elif path.is_file():
        if path.stat().st_size > MOST_BYTES:
            raise ConfigError(f"{path}: {path.stat().st_size} bytes; expected at most {MOST_BYTES}")
        pairs = list(_in_csv(path))
        empty = f"{path}: names no pair; expected a line with the two images below the header, or a"
    else:
        what = "is a device or a pipe" if path.exists() else "does not exist"
        raise ConfigError(f"{path}: {what}; expected a CSV file or an xBD folder")
    if not pairs:
        raise ConfigError(f"{empty} folder with images/ or SPLIT/images/")
    _check_names(pairs, path)
    return pairs


def _in_csv(path: Path) -> Iterator[Pair]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:  # spreadsheets write a BOM
            reader = csv.DictReader(file, strict=True)
            missing = {"pre", "post"} - set(reader.fieldnames or ())
            if reader.fieldnames and missing:
                raise ConfigError(
                    f"{path}: no column {' and no column '.join(sorted(missing))} in the header "
                    f"{','.join(reader.fieldnames)!r}; expected pre,post or pre,post,name, "
                    "separated by commas"
                )
            for row in reader:
                yield _row(row, path, reader.line_num)
    except (csv.Error, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not a CSV file in UTF-8 ({error}); export it again") from error


def _row(row: dict[str, str], path: Path, line: int) -> Pair:
    if None in row:
        raise ConfigError(
            f"{path}: line {line} has more values than the header has names; "
            'put a value with a comma in "quotes"'
        )
    for column in ("pre", "post"):
        if not row[column]:
            raise ConfigError(f"{path}: line {line} has no {column}; expected the path of an image")
    # Absolute, because another process with another working folder reads them.
    pre, post = (path.parent.absolute() / row[column] for column in ("pre", "post"))
    known = name_and_role(pre.name)
    return Pair(row.get("name") or (known[0] if known else pre.stem), pre, post)


def _in_xbd(folder: Path) -> Iterator[Pair]:
    for images in sorted({*folder.glob("images"), *folder.glob("*/images")}):
        files = sorted(images.absolute().glob("*_disaster.*"))
        for file in files:
            found = name_and_role(file.name)
            if found and found[1] == "pre":
                yield Pair(found[0], file, _counterpart(file, "pre", "post"))
            elif found and not _counterpart(file, "post", "pre").exists():
                yield Pair(found[0], _counterpart(file, "post", "pre"), file)


def _counterpart(file: Path, role: str, other: str) -> Path:
    start, _, end = file.name.rpartition(f"_{role}_")
    return file.with_name(f"{start}_{other}_{end}")


def _check_names(pairs: Iterable[Pair], path: Path) -> None:
    first: dict[str, Pair] = {}
    for pair in pairs:
        name = pair.name
        if not can_name_a_folder(name):
            raise ConfigError(
                f"{path}: a pair is named {name!r}; expected a name for its folder: {NAMES}"
            )
        if name in first:
            raise ConfigError(
                f"{path}: two pairs are named {name}: {first[name].pre} and {pair.pre}; "
                "each needs a name of its own: give them a column name in a CSV file"
            )
        first[name] = pair
