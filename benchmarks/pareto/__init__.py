"""What accuracy costs: score, latency and memory of a sweep of engines."""
