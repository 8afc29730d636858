"""The history of figures: what a run is, how it is kept, how its trend is drawn."""
