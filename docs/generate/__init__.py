"""Pages of the reference that are written from the code: ``python -m docs.generate``.

They are committed, so that they can be read without a build; a test holds them to the code.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from docs.generate import commands, errors, manifest

REFERENCE = Path(__file__).parents[1] / "reference"

PAGES: dict[str, Callable[[], str]] = {
    "commands.md": commands.page,
    "errors.md": errors.page,
    "manifest.md": manifest.page,
    "manifest.schema.json": manifest.schema_text,
}
"""File name to what makes its text."""
