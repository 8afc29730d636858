"""What an engine's score is worth when images are worse than those it was trained on."""
