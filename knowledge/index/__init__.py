"""The vector index: the only package that knows Qdrant."""
