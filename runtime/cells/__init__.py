"""In: a finished map. Out: buildings by class, and what was computed, in each cell of a grid."""

from runtime.cells.counting import CellCounts as CellCounts
from runtime.cells.counting import count as count
from runtime.cells.grid import Cells as Cells
