"""Documents in, pages out."""
