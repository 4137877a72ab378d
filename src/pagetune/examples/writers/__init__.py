"""The query writers, one kind a module."""
