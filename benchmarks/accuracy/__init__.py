"""How right engines are on labelled tiles."""
