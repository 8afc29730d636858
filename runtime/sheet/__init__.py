"""In: a finished map. Out: one or two pages for people, as HTML and PDF with the same numbers."""

from __future__ import annotations

import datetime
from pathlib import Path


def write(
    folder: Path,
    html: Path | None,
    pdf: Path | None,
    title: str | None = None,
    taken: tuple[str | None, str | None] = (None, None),
) -> None:
    """Write the sheet of the finished map in `folder`; the map itself is not changed.

    Args:
        html: one file without outside addresses; None: not written.
        pdf: A4 pages; None: not written.
        title: at the top; without it "Building damage map".
        taken: when the images before and after were taken (ISO 8601), where they do not say it.
    Raises:
        ConfigError: no finished map, or a date that is none.
        BackendError: a library that is not installed.
        OSError: a file that cannot be written.
    """
    from runtime import files
    from runtime.finished import open_map
    from runtime.sheet.content import sheet_of
    from runtime.sheet.html import html_of
    from runtime.sheet.pdf import pdf_of

    for path in (html, pdf):
        if path:
            files.check_file(path)
    made = datetime.datetime.now(datetime.timezone.utc)
    sheet = sheet_of(open_map(Path(folder)), title, taken, made)
    contents = []
    if html:
        contents.append((html, html_of(sheet).encode()))
    if pdf:
        contents.append((pdf, pdf_of(sheet, made)))
    for path, content in contents:  # when all is made: none without the other
        files.write_bytes(path, content)
