"""Whether two runs of the latency suites differ: which figures belong together, and by how much."""
