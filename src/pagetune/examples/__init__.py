"""Queries, judgements, splits and hard negatives."""
