"""What a compiler made of a graph: its kernels, read from the compiler's own layer information."""
