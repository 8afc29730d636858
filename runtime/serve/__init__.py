"""A page and a JSON API on the box: images come in, are mapped one after the other, and seen.

What comes in is requests; what goes out is what `runtime.many` makes of them: the maps of each
job in a folder of its own. Nothing is mapped here, and everything that has to outlast a power cut
is a file that appears whole.
"""
