"""A retriever of a folder's own: what it learns from, and whether it finds more than the one before."""
