"""A checkpoint meets a new place: statistics of its images, and corrections of its map.

In: a network, windows of a scene, buildings that a person corrected. Out: the same architecture
with other weights, and how they do on corrections that they were not fitted to.
"""
