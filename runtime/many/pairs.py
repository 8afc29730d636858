"""Which images belong together: named in a CSV file, or told by the names of the files."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from runtime.errors import ConfigError
from runtime.source.sidecars import by_image

_NAME = re.compile(r"(.+)_(pre|post)(_disaster)?\.(?:png|jpe?g|tiff?)", re.IGNORECASE)
_TAKEN = ("failed.csv", "health.json")  # files of ours that lie beside the folders of maps
_WHEN = {"pre": "before", "post": "after"}
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
    if name.startswith(".") or "/" in name or not name.isprintable() or name.lower() in _TAKEN:
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
    for pair in pairs:
        check_text(pair.pre, pair.post)
    _check_images(pairs, path)
    return pairs


def check_text(*paths: Path) -> None:
    """Raises ConfigError for a name that is not UTF-8: neither Ray nor failed.csv can have it."""
    for path in paths:
        try:
            str(path).encode()
        except UnicodeEncodeError as error:
            raise ConfigError(
                f"{str(path)!a}: its name is not UTF-8; expected one that is: rename the "
                "file or the folder"
            ) from error


def not_taken(folder: Path) -> list[Path]:
    """Files in the image folders of an xBD folder that belong to no pair."""
    left: list[Path] = []
    for images in _image_folders(folder):
        names = sorted(each.name for each in images.iterdir() if not each.name.startswith("."))
        taken = [name for name in names if name_and_role(name) and (images / name).is_file()]
        beside = {each for found in by_image(taken, names).values() for each in found}
        left += [images / name for name in names if name not in {*taken, *beside}]
    return left


def _in_csv(path: Path) -> Iterator[Pair]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:  # spreadsheets write a BOM
            reader = csv.DictReader(file, strict=True)
            header = list(reader.fieldnames or ())
            if twice := sorted({each for each in header if header.count(each) > 1}):
                raise ConfigError(
                    f"{path}: the header has the column {twice[0]} twice; expected each once"
                )
            missing = {"pre", "post"} - set(header)
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
        if "\0" in row[column]:
            raise ConfigError(
                f"{path}: line {line} has a zero byte in {column}; expected the path of an image"
            )
    # Absolute, because another process with another working folder reads them.
    pre, post = (path.parent.absolute() / row[column] for column in ("pre", "post"))
    known = name_and_role(pre.name)
    return Pair(row.get("name") or (known[0] if known else pre.stem), pre, post)


def _in_xbd(folder: Path) -> Iterator[Pair]:
    for images in _image_folders(folder):
        found: dict[str, dict[str, Path]] = {}
        for file in sorted(images.absolute().iterdir()):
            name, role = name_and_role(file.name) or (None, "")
            if name is None or not file.is_file():
                continue
            roles = found.setdefault(name, {})
            if role in roles:
                raise ConfigError(
                    f"{file}: {roles[role].name} is there, too; expected one image of {name} "
                    f"{_WHEN[role]} the disaster; remove one"
                )
            roles[role] = file
        for name, roles in found.items():
            pre, post = roles.get("pre"), roles.get("post")
            yield Pair(
                name,
                pre or _counterpart(roles["post"], "pre"),
                post or _counterpart(roles["pre"], "post"),
            )


def _image_folders(folder: Path) -> list[Path]:
    return sorted(
        each for each in {*folder.glob("images"), *folder.glob("*/images")} if each.is_dir()
    )


def _counterpart(file: Path, other: str) -> Path:
    """Where the other image should be, so that it can be said that it is not."""
    match = _NAME.fullmatch(file.name)
    assert match
    begin, end = match.span(2)
    role = other.upper() if match[2].isupper() else other
    return file.with_name(f"{file.name[:begin]}{role}{file.name[end:]}")


def _check_images(pairs: Iterable[Pair], path: Path) -> None:
    """A line that was copied and not changed gives a map of another town under this name."""
    known: dict[tuple[Path, Path], Pair] = {}
    for pair in pairs:
        # Not Path.resolve: that raises for links in a circle, whose pair fails alone.
        pre, post = (Path(os.path.realpath(each)) for each in (pair.pre, pair.post))
        if pre == post or _same_file(pre, post):
            raise ConfigError(
                f"{path}: pair {pair.name} has one file as both images, {pair.pre}; "
                "expected one before and one after the disaster"
            )
        other = known.setdefault((pre, post), pair)
        if other is not pair:
            raise ConfigError(
                f"{path}: the pairs {other.name} and {pair.name} are the same two images, "
                f"{pair.pre} and {pair.post}; expected each pair once"
            )


def _same_file(pre: Path, post: Path) -> bool:
    try:
        return pre.samefile(post)
    except OSError:  # one is missing: that pair fails alone
        return False


def _check_names(pairs: Iterable[Pair], path: Path) -> None:
    first: dict[str, Pair] = {}
    for pair in pairs:
        name = pair.name
        key = name.casefold()  # FAT and others make one folder of a and A
        if not can_name_a_folder(name):
            raise ConfigError(
                f"{path}: a pair is named {name!r}; expected a name for its folder: {NAMES}"
            )
        if key in first:
            also = f" and {name}" if name != first[key].name else ""
            raise ConfigError(
                f"{path}: two pairs are named {first[key].name}{also}: {first[key].pre} and "
                f"{pair.pre}; each needs a name of its own, whatever the case: "
                "give them a column name in a CSV file"
            )
        first[key] = pair
