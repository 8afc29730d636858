"""What adapting a checkpoint to a new place is worth, by how many buildings a person corrected."""
