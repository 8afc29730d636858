"""The whole job, from data to report, by its public commands."""
