"""From a checkpoint to a deploy graph, and from there to an engine that proves what it is."""
