"""A finished map folder, to be read: what its files say, and its buildings as corrected."""

from runtime.finished.folder import FinishedMap as FinishedMap
from runtime.finished.folder import open_map as open_map
