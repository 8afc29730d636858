"""Scenes of any size with a place on the ground: read, mapped and written as streams."""
