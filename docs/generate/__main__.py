"""Write the generated pages anew: ``python -m docs.generate``, from the repository's root."""

from __future__ import annotations

from docs.generate import PAGES, REFERENCE

if __name__ == "__main__":
    for name, page in PAGES.items():
        (REFERENCE / name).write_text(page(), encoding="utf-8")
