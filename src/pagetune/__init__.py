"""Pagetune: a folder of documents in, a finetuned and measured page retriever out."""
