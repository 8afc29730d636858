"""Options of maps whose outlines are not what is tested."""

from __future__ import annotations

from runtime.options import MapOptions


def map_options(**options: object) -> MapOptions:
    """With exact outlines, unless asked for otherwise: a map of noise shows a thousand buildings,
    and to straighten them takes ten times as long as all the rest."""
    return MapOptions(**{"raw_outlines": True, **options})
