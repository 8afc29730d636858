"""A pair and an engine that come with the package, for a first map; see README.md."""
