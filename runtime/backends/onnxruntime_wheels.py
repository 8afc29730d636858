"""Which wheels the package onnxruntime is from.

One for processors and one for GPUs exist, `onnxruntime` and `onnxruntime-gpu`, with the same files
in the same folder. pip installs both without a word: what is imported is then of the later one,
and uninstalling either takes files away from the other. `onnxruntime-gpu` has all that
`onnxruntime` has, so one is always enough.
"""

from __future__ import annotations

from importlib import metadata

from runtime.errors import BackendError

PACKAGE = "onnxruntime"
GPU = "onnxruntime-gpu[cuda,cudnn]>=1.21"
"""From 1.21 the wheel can name NVIDIA's libraries as its own extras, and load them itself."""

_AWAY = "pip uninstall -y onnxruntime onnxruntime-gpu"
MEND_CPU = f"{_AWAY} && pip install {PACKAGE}"
MEND_GPU = f'{_AWAY} && pip install "{GPU}"'
"""What leaves one wheel, whichever were there before."""


def installed() -> list[str]:
    """Names of the distributions here that have put a package `onnxruntime` into it."""
    return sorted(set(metadata.packages_distributions().get(PACKAGE, ())))


def check_alone() -> None:
    """BackendError where more than one wheel put its files into the package."""
    found = installed()
    if len(found) > 1:
        raise BackendError(
            f"{' and '.join(found)} are installed together, and overwrite each other's files; "
            f"expected one of them; {MEND_GPU}"
        )
