"""The sheet as one HTML file: no outside address, no script; prints on A4."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape

from runtime.sheet.content import Sheet
from runtime.sheet.picture import Picture, jpeg, png
from runtime.sheet.tables import Table

_STYLE = """
@page { size: A4; margin: 12mm; }
* { box-sizing: border-box; }
body { font: 9.5pt/1.35 "DejaVu Sans", Verdana, sans-serif; color: #111; background: #fff;
  max-width: 186mm; margin: 6mm auto;
  -webkit-print-color-adjust: exact; print-color-adjust: exact; }
h1 { font-size: 17pt; margin: 0; } h2 { font-size: 11pt; margin: 5mm 0 1.5mm; }
p { margin: 1mm 0; } .quiet { color: #444; font-size: 8.5pt; }
.warning { border: 0.6mm solid #b00020; background: #fdecee; padding: 1.5mm 2.5mm; margin: 2mm 0;
  font-weight: bold; overflow-wrap: anywhere; }
.numbers { display: flex; gap: 3mm; margin: 3mm 0 1mm; }
.numbers div { flex: 1; border: 0.3mm solid #777; padding: 1mm 2mm 1mm 6mm; position: relative; }
.numbers small { display: block; font-size: 7.5pt; color: #444; }
.numbers i { position: absolute; left: 0; top: 0; bottom: 0; width: 4mm;
  border-right: 0.3mm solid #777; }
.numbers b { display: block; font-size: 17pt; line-height: 1.2; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.4mm 4mm; margin: 2mm 0; }
dt { color: #444; } dd { margin: 0; overflow-wrap: anywhere; }
figure { margin: 2mm 0; } figcaption { font-size: 8.5pt; color: #444; }
svg { display: block; margin: 0 auto; max-width: 100%; border: 0.2mm solid #777; }
.pair { display: flex; gap: 4mm; justify-content: center; } .pair figure { flex: 0 1 auto; }
.pair img { display: block; max-width: 100%; max-height: 62mm; border: 0.2mm solid #777; }
.legend { display: flex; flex-wrap: wrap; gap: 1mm 5mm; font-size: 8.5pt; margin: 1.5mm 0; }
.legend i { display: inline-block; width: 4mm; height: 3mm; border: 0.2mm solid #555;
  margin-right: 1.5mm; vertical-align: -0.3mm; }
table { border-collapse: collapse; width: 100%; page-break-inside: avoid; }
th, td { text-align: right; padding: 0.6mm 0 0.6mm 3mm; border-bottom: 0.2mm solid #bbb; }
th { border-bottom: 0.4mm solid #333; } th:first-child, td:first-child { text-align: left;
  padding-left: 0; }
ul { margin: 1mm 0; padding-left: 5mm; } li { overflow-wrap: anywhere; }
footer { margin-top: 5mm; border-top: 0.3mm solid #777; padding-top: 1mm; font-size: 8pt;
  color: #444; }
@media print { body { margin: 0; } .second { page-break-before: always; } }
"""

_HIGHEST = 112.0
_WIDEST = 186.0
"""Millimetres of the picture."""


def html_of(sheet: Sheet) -> str:
    warnings = "".join(f'<p class="warning">{escape(each)}</p>' for each in sheet.warnings)
    numbers = "".join(
        f'<div><i style="background:{_hex(colour)}"></i><b>{escape(count)}</b>{escape(name)}'
        f"<small>{escape(interval)}</small></div>"
        for count, name, colour, interval in sheet.headline
    )
    legend = "".join(
        f'<span><i style="background:{_hex(colour)}"></i>{escape(name)}</span>'
        for name, colour in sheet.legend
    )
    worst = _table(sheet.worst) if sheet.worst else ""
    notes = "".join(f"<li>{escape(each)}</li>" for each in sheet.notes)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(sheet.title)}: {escape(sheet.subtitle)}</title><style>{_STYLE}</style></head><body>
<h1>{escape(sheet.title)}</h1><p>{escape(sheet.subtitle)}</p>
{warnings}<div class="numbers">{numbers}</div><p class="quiet">{escape(sheet.headline_note)}</p>
<figure>{_map(sheet)}<figcaption>{escape(sheet.picture_note)}</figcaption></figure>
<div class="legend">{legend}</div>{_pair(sheet)}{_list(sheet.facts)}
<div class="second">{_table(sheet.totals)}{worst}{_table(sheet.unknown)}
<h2>Notes</h2>{f"<ul>{notes}</ul>" if notes else "<p>none</p>"}
<h2>How it was made</h2>{_list(sheet.made_with)}</div>
<footer>{escape(sheet.footer)}</footer></body></html>
"""


def size_on_paper(picture: Picture) -> tuple[float, float]:
    """Width and height of the map, millimetres."""
    height, width = picture.shape[:2]
    scale = min(_WIDEST / width, _HIGHEST / height)
    return width * scale, height * scale


def _map(sheet: Sheet) -> str:
    """The picture with cells, scale bar and north arrow, in millimetres."""
    picture = sheet.pictures.damage
    width, height = size_on_paper(picture)
    parts = [
        f'<image href="{_data("png", png(picture))}" width="{width:.2f}" height="{height:.2f}"/>'
    ]
    for cell in sheet.cells.rows if sheet.cells else ():
        corners = [(x * width, y * height) for x, y in cell.corners]
        points = " ".join(f"{x:.2f},{y:.2f}" for x, y in corners)
        middle = [sum(each) / len(corners) for each in zip(*corners, strict=True)]
        parts.append(
            f'<polygon points="{points}" fill="none" stroke="#fff" stroke-width="0.9"/>'
            f'<polygon points="{points}" fill="none" stroke="#0033cc" stroke-width="0.4"/>'
            f'<text x="{middle[0]:.2f}" y="{middle[1] + 1.5:.2f}" font-size="4.5" '
            'font-weight="bold" text-anchor="middle" fill="#0033cc" stroke="#fff" '
            f'stroke-width="0.9" paint-order="stroke">{escape(cell.letter)}</text>'
        )
    if ground := sheet.ground:
        bar, x, y = ground.bar_share * width, 3.0, height - 3.0
        parts.append(
            f'<rect x="{x - 1.5}" y="{y - 6:.2f}" width="{bar + 3:.2f}" height="7.5" fill="#fff" '
            f'opacity="0.85"/><rect x="{x}" y="{y - 1:.2f}" width="{bar:.2f}" height="1"/>'
            f'<text x="{x}" y="{y - 2:.2f}" font-size="3">{escape(ground.bar_text)}</text>'
            f'<g transform="translate({width - 7:.2f},7) rotate({ground.north:.2f})">'
            '<circle r="5" fill="#fff" opacity="0.85"/><path d="M0,-4.2 L2,2.2 L0,1 L-2,2.2 Z"/>'
            '<text y="4.4" font-size="2.8" font-weight="bold" text-anchor="middle">N</text></g>'
        )
    return (
        f'<svg viewBox="0 0 {width:.2f} {height:.2f}" '
        f'width="{width:.2f}mm" role="img" aria-label="Damage map" '
        f'font-family="DejaVu Sans, Verdana, sans-serif">{"".join(parts)}</svg>'
    )


def _pair(sheet: Sheet) -> str:
    both = (("Before", sheet.pictures.before), ("After", sheet.pictures.after))
    shown = "".join(
        f'<figure><img alt="{name}" src="{_data("jpeg", jpeg(picture))}">'
        f"<figcaption>{name}</figcaption></figure>"
        for name, picture in both
        if picture is not None
    )
    return f'<div class="pair">{shown}</div>' if shown else ""


def _table(table: Table) -> str:
    head = "".join(f"<th>{escape(each)}</th>" for each in table.header)
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in table.rows
    )
    shown = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>" if rows else ""
    below = f'<p class="quiet">{escape(table.below)}</p>' if table.below else ""
    return f"<h2>{escape(table.title)}</h2>{shown}{below}"


def _list(entries: Sequence[tuple[str, str]]) -> str:
    return f"<dl>{''.join(_entries(entries))}</dl>"


def _entries(entries: Sequence[tuple[str, str]]) -> Iterable[str]:
    for name, value in entries:
        yield f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>"


def _data(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _hex(colour: tuple[int, int, int]) -> str:
    return f"#{bytes(colour).hex()}"
