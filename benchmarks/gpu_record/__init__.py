"""One machine with an NVIDIA GPU: what runs on it, how right, and how fast, in one record."""
