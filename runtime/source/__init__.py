"""In: two image files, options, a label. Out: windows of RGB and of what is known, and a place.

A picture (PNG, JPEG) is a raster without a place: what follows does not tell them apart.
"""

from runtime import libraries as libraries  # before rasterio is imported: see there
