"""The index and the engine that answers from it."""
