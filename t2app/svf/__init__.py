"""Singular value fine-tuning: expert files, the library of them, mixing, and hooks on the model."""
