"""Numbers and names as a sheet writes them."""

from __future__ import annotations


def clean(text: object) -> str:
    """On one line, and without what a page could take for an order to turn or hide text."""
    flat = " ".join(str(text).split())
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in flat)


def number(value: float) -> str:
    return f"{value:,.0f}"


def share(value: float) -> str:
    """Never 0 % for a little, nor 100 % for not all."""
    if 0 < value < 0.001:
        return "< 0.1 %"
    if 0.999 < value < 1:
        return "> 99.9 %"
    return f"{value:.1%}".replace("%", " %")


def area(square_metres: float) -> str:
    if square_metres >= 1e7:
        return f"{square_metres / 1e6:,.1f} km²"
    return f"{square_metres / 1e4:,.2f} ha"
