"""One page on what engines cost and are worth, from the files of the other benchmarks."""
