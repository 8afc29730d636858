"""In: a pair of sources and an engine. Out: strips of the maps, stored as they are made."""
