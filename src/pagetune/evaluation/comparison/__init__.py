"""Many models on one evaluation set: each judged in its own process, all in one table."""
