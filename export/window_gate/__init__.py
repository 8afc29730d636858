"""The gate engine: a small network that says which windows of a scene can hold a building."""
