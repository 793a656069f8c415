"""Singular value decomposition: which matrices are adapted, their factors, the cache on disk."""
