"""In: strips of the maps, footprints. Out: buildings with votes, outlines and areas."""

from runtime.buildings.finding import find_buildings

__all__ = ["find_buildings"]
