"""The sheet as a PDF of A4 pages, without a browser.

fpdf2 is pure Python and needs no library of the system. The fonts are a part of DejaVu Sans (Latin,
Greek, Cyrillic, Armenian, Georgian), which lies beside this file.
"""

from __future__ import annotations

import datetime
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from runtime.cli import install
from runtime.errors import BackendError, reason
from runtime.sheet.content import Sheet
from runtime.sheet.html import size_on_paper
from runtime.sheet.picture import Picture, jpeg, png
from runtime.sheet.tables import Table

FONTS = Path(__file__).parent / "fonts"
_FONT = "DejaVu Sans"
_MARGIN, _WIDTH, _BOTTOM = 12.0, 186.0, 285.0
_QUIET, _BLACK, _BLUE, _RED = (68, 68, 68), (17, 17, 17), (0, 51, 204), (176, 0, 32)
_PAIR_HIGHEST = 62.0


def pdf_of(sheet: Sheet, made: datetime.datetime) -> bytes:
    """Raises BackendError where fpdf2 is not installed."""
    pdf = _document(sheet, made)
    _head(pdf, sheet)
    _map(pdf, sheet)
    _legend(pdf, sheet)
    _pair(pdf, sheet)
    _list(pdf, sheet.facts)
    pdf.add_page()
    for table in (sheet.totals, sheet.worst, sheet.unknown):
        if table:
            _table(pdf, table)
    _title(pdf, "Notes")
    for each in sheet.notes or ("none",):
        _text(pdf, f"- {each}" if sheet.notes else each, 8.5)
    _title(pdf, "How it was made")
    _list(pdf, sheet.made_with)
    return bytes(pdf.output())


def _document(sheet: Sheet, made: datetime.datetime) -> Any:
    try:
        from fpdf import FPDF
    except ImportError as error:
        raise BackendError(
            f"fpdf2 cannot be imported ({reason(error)}); {install('deliver')}"
        ) from error

    class _Document(FPDF):
        def footer(self) -> None:
            self.set_y(-11)
            _font(self, 7, colour=_QUIET)
            self.multi_cell(_WIDTH - 12, 3.2, shown(sheet.footer), new_x="RIGHT", new_y="TOP",
                            align="L")  # fmt: skip
            self.cell(12, 3.2, f"{self.page_no()}/{{nb}}", align="R")

    pdf = _Document(format="A4", unit="mm")
    pdf.set_creation_date(made)
    pdf.set_title(f"{sheet.title}: {sheet.subtitle}")
    pdf.set_lang("en")
    pdf.set_margins(_MARGIN, _MARGIN, _MARGIN)
    pdf.c_margin = 0
    pdf.set_auto_page_break(True, 14)
    pdf.add_font(_FONT, "", FONTS / "DejaVuSans.ttf")
    pdf.add_font(_FONT, "B", FONTS / "DejaVuSans-Bold.ttf")
    pdf.add_page()
    return pdf


@cache
def _known() -> frozenset[int]:
    """Characters of the fonts."""
    from fontTools.ttLib import TTFont

    return frozenset(TTFont(FONTS / "DejaVuSans.ttf").getBestCmap())


def shown(text: str) -> str:
    """What the fonts have no picture of is written by its number: a name is never left blank."""
    known = _known()
    return "".join(
        each if ord(each) in known else each.encode("ascii", "backslashreplace").decode()
        for each in text
    )


def _font(pdf: Any, size: float, bold: bool = False, colour: tuple[int, int, int] = _BLACK) -> None:
    pdf.set_font(_FONT, "B" if bold else "", size)
    pdf.set_text_color(*colour)


def _text(
    pdf: Any, text: str, size: float, bold: bool = False, colour: tuple[int, int, int] = _BLACK
) -> None:
    if not text:
        return
    _font(pdf, size, bold, colour)
    pdf.multi_cell(_WIDTH, size * 0.46, shown(text), new_x="LMARGIN", new_y="NEXT", align="L")


def _title(pdf: Any, text: str) -> None:
    pdf.ln(3)
    if pdf.get_y() > _BOTTOM - 25:
        pdf.add_page()
    _text(pdf, text, 11, bold=True)
    pdf.ln(0.8)


def _head(pdf: Any, sheet: Sheet) -> None:
    _text(pdf, sheet.title, 17, bold=True)
    _text(pdf, sheet.subtitle, 9.5)
    for each in sheet.warnings:
        pdf.ln(1.5)
        _font(pdf, 9, bold=True)
        pdf.set_fill_color(253, 236, 238)
        pdf.set_draw_color(*_RED)
        pdf.set_line_width(0.6)
        pdf.multi_cell(
            _WIDTH, 4.6, shown(each), border=1, fill=True, new_x="LMARGIN", new_y="NEXT", align="L",
            padding=(1, 2),
        )  # fmt: skip
    pdf.ln(2)
    top, gap = pdf.get_y(), 3.0
    width = (_WIDTH - gap * (len(sheet.headline) - 1)) / len(sheet.headline)
    pdf.set_line_width(0.3)
    pdf.set_draw_color(119, 119, 119)
    high = 17.0 if any(interval for *_, interval in sheet.headline) else 13.0
    for index, (count, name, colour, interval) in enumerate(sheet.headline):
        left = _MARGIN + index * (width + gap)
        pdf.set_fill_color(*colour)
        pdf.rect(left, top, 4, high, style="DF")
        pdf.rect(left, top, width, high)
        pdf.set_xy(left + 5.5, top + 0.8)
        _font(pdf, 16, bold=True)
        pdf.cell(width - 6, 7, shown(count))
        pdf.set_xy(left + 5.5, top + 7.8)
        _font(pdf, 8.5)
        pdf.cell(width - 6, 4, shown(name))
        pdf.set_xy(left + 5.5, top + 12)
        _font(pdf, 7.5, colour=_QUIET)
        pdf.cell(width - 6, 4, interval)
    pdf.set_xy(_MARGIN, top + high + 1.5)
    _text(pdf, sheet.headline_note, 8.5, colour=_QUIET)
    pdf.ln(1)


def _map(pdf: Any, sheet: Sheet) -> None:
    picture = sheet.pictures.damage
    width, height = size_on_paper(picture)
    left, top = _MARGIN + (_WIDTH - width) / 2, pdf.get_y()
    pdf.image(io.BytesIO(png(picture)), left, top, width, height, alt_text="Damage map")
    pdf.set_draw_color(119, 119, 119)
    pdf.set_line_width(0.2)
    pdf.rect(left, top, width, height)
    for cell in sheet.cells.rows if sheet.cells else ():
        corners = [(left + x * width, top + y * height) for x, y in cell.corners]
        for colour, line in (((255, 255, 255), 0.9), (_BLUE, 0.4)):
            pdf.set_draw_color(*colour)
            pdf.set_line_width(line)
            pdf.polygon(corners)
        x, y = (sum(each) / len(corners) for each in zip(*corners, strict=True))
        _font(pdf, 12, bold=True, colour=_BLUE)
        wide = pdf.get_string_width(cell.letter)
        pdf.set_fill_color(255, 255, 255)
        pdf.circle(x, y, 2.8, style="F")
        pdf.text(x - wide / 2, y + 1.6, cell.letter)
    if ground := sheet.ground:
        bar, x, y = ground.bar_share * width, left + 3, top + height - 3
        with pdf.local_context(fill_opacity=0.85):
            pdf.set_fill_color(255, 255, 255)
            pdf.rect(x - 1.5, y - 6, bar + 3, 7.5, style="F")
            pdf.circle(left + width - 7, top + 7, 5, style="F")
        pdf.set_fill_color(*_BLACK)
        pdf.rect(x, y - 1, bar, 1, style="F")
        _font(pdf, 8)
        pdf.text(x, y - 2, ground.bar_text)
        middle = left + width - 7, top + 7
        with pdf.rotation(-ground.north, *middle):
            a, b = middle
            pdf.polygon([(a, b - 4.2), (a + 2, b + 2.2), (a, b + 1), (a - 2, b + 2.2)], style="F")
            _font(pdf, 7, bold=True)
            pdf.text(a - pdf.get_string_width("N") / 2, b + 4.4, "N")
    pdf.set_xy(_MARGIN, top + height + 1)
    _text(pdf, sheet.picture_note, 8, colour=_QUIET)


def _legend(pdf: Any, sheet: Sheet) -> None:
    pdf.ln(1)
    pdf.set_line_width(0.2)
    pdf.set_draw_color(85, 85, 85)
    for name, colour in sheet.legend:
        _font(pdf, 8)
        wide = pdf.get_string_width(name) + 10
        if pdf.get_x() + wide > _MARGIN + _WIDTH:
            pdf.ln(4.5)
        x, y = pdf.get_x(), pdf.get_y()
        pdf.set_fill_color(*colour)
        pdf.rect(x, y + 0.4, 4, 3, style="DF")
        pdf.set_xy(x + 5, y)
        pdf.cell(wide - 5, 3.8, shown(name))
    pdf.ln(5.5)


def _pair(pdf: Any, sheet: Sheet) -> None:
    both = [("Before", sheet.pictures.before), ("After", sheet.pictures.after)]
    given = [(name, picture) for name, picture in both if picture is not None]
    if not given:
        return
    room = min(_PAIR_HIGHEST, _BOTTOM - 36 - pdf.get_y())
    if room < 30:
        pdf.add_page()
        room = _PAIR_HIGHEST
    shape = given[0][1].shape
    scale = min((_WIDTH - 4) / 2 / shape[1], room / shape[0])
    width, height = shape[1] * scale, shape[0] * scale
    left, top = _MARGIN + (_WIDTH - 2 * width - 4) / 2, pdf.get_y()
    pdf.set_draw_color(119, 119, 119)
    for index, (name, picture) in enumerate(given):
        x = left + index * (width + 4)
        _image(pdf, picture, x, top, width, height, name)
        _font(pdf, 8, colour=_QUIET)
        pdf.text(x, top + height + 3.4, name)
    pdf.set_xy(_MARGIN, top + height + 5)


def _image(
    pdf: Any, picture: Picture, x: float, y: float, width: float, height: float, name: str
) -> None:
    pdf.image(io.BytesIO(jpeg(picture)), x, y, width, height, alt_text=name)
    pdf.rect(x, y, width, height)


def _list(pdf: Any, entries: Sequence[tuple[str, str]]) -> None:
    pdf.ln(0.5)
    _font(pdf, 8.5)
    first = max(pdf.get_string_width(name) for name, _ in entries) + 4
    for name, value in entries:
        if pdf.get_y() > _BOTTOM - 8:
            pdf.add_page()
        _font(pdf, 8.5, colour=_QUIET)
        pdf.cell(first, 4.2, shown(name))
        _font(pdf, 8.5)
        pdf.multi_cell(_WIDTH - first, 4.2, shown(value), new_x="LMARGIN", new_y="NEXT", align="L")


def _table(pdf: Any, table: Table) -> None:
    _title(pdf, table.title)
    if table.rows:
        with _lines(pdf):
            _font(pdf, 8.5)
            wide = [
                max(pdf.get_string_width(shown(row[n])) for row in (table.header, *table.rows))
                for n in range(len(table.header))
            ]
            spare = max(0.0, _WIDTH - sum(wide) - 6 * len(wide)) / len(wide)
            widths = [each + 6 + spare for each in wide]
            widths = [each * _WIDTH / sum(widths) for each in widths]
            for row, bold in ((table.header, True), *((row, False) for row in table.rows)):
                if pdf.get_y() > _BOTTOM - 6:
                    pdf.add_page()
                _font(pdf, 8.5, bold)
                pdf.set_draw_color(*(_BLACK if bold else (187, 187, 187)))
                for n, (cell, width) in enumerate(zip(row, widths, strict=True)):
                    pdf.cell(width, 5, shown(cell), border="B", align="L" if n == 0 else "R")
                pdf.ln(5)
    pdf.ln(0.8)
    _text(pdf, table.below, 8, colour=_QUIET)


@contextmanager
def _lines(pdf: Any) -> Iterator[None]:
    pdf.set_line_width(0.2)
    yield
    pdf.set_draw_color(*_BLACK)
