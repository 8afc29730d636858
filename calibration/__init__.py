"""INT8: which tensors are quantised, over which range, and the artefact that says so."""
