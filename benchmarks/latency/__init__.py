"""How long engines take: what is timed, how often, and whether two runs differ."""
