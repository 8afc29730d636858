"""Which keys a device trusts. Each place that names some is a demand of its own.

An engine has to satisfy all of them, so that an option can demand more than the device does and
never less. A place that is set and cannot be used is an error: nothing is loaded then.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from runtime.errors import ConfigError

DEVICE = Path("/etc/dual-hrnet/trust")
"""A folder of keys, for every user and command of the device."""

VARIABLE = "DUAL_HRNET_TRUST"
"""A folder of keys, for the processes that have this variable."""

_OPTION = "_DUAL_HRNET_TRUST_OPTION"
"""What `--trust` named, for the processes that a command starts."""


def folders(given: Path | None = None) -> list[Path]:
    """Every folder whose keys must have signed; none where nothing is demanded.

    given: a further one.

    Raises:
        ConfigError: a place that is set to nothing, or cannot be looked at.
    """
    found = [DEVICE] if _is_set(DEVICE) else []
    for variable in (VARIABLE, _OPTION):
        value = os.environ.get(variable)
        if value is None:
            continue
        if not value.strip():
            raise ConfigError(
                f"{variable} is empty; expected a folder of public keys: name one, or unset it"
            )
        found.append(Path(value))
    if given is not None:
        found.append(given)
    return list(dict.fromkeys(Path(each).absolute() for each in found))


def option() -> Path | None:
    """What `--trust` named."""
    value = os.environ.get(_OPTION)
    return Path(value) if value else None


@contextlib.contextmanager
def demanded(folder: Path | None) -> Iterator[None]:
    """What happens within, in this process and those it starts, trusts this folder's keys alone."""
    if folder is None:
        yield
        return
    before = os.environ.get(_OPTION)
    os.environ[_OPTION] = str(folder.absolute())
    try:
        yield
    finally:
        if before is None:
            del os.environ[_OPTION]
        else:
            os.environ[_OPTION] = before


def _is_set(place: Path) -> bool:
    try:
        os.lstat(place)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise ConfigError(
            f"{place}: cannot be looked at ({error.strerror}), so it is not known which keys this "
            f"device trusts; chmod a+rx {place.parent}"
        ) from error
    return True
