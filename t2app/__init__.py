"""t2app: a language model that adapts itself to every question (Transformer², arXiv 2501.06252)."""

__version__ = "0.1.0"
