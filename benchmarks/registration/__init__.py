"""What --register finds, what it is worth to an engine, and what it costs."""
