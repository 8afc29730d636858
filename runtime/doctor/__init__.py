"""Is this box ready: takes what a person wants to do with it, gives findings with their remedies.

A file is a kind of check. Each check gives findings as it makes them, imports nothing heavy, and
asks in a process of its own (`asking`) whatever could crash, hang or abort. What could not be
looked at is "not checked", never "ok".
"""
