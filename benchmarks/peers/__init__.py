"""Our engines beside what a user could run from the same checkpoint, taking turns."""
