"""What an engine costs and what it is worth: latency, accuracy, and the report of both."""
