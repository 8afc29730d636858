"""In: the maps and buildings of a scene. Out: PNG, COG, GeoPackage, GeoJSON, overlay, summary."""
