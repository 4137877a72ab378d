"""Finetuning: examples into batches, a loss, a trainer, checkpoints."""
