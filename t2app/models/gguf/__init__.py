"""Models in GGUF files, as llama.cpp, LM Studio and Ollama have them: read, joined, converted."""

from t2app.models.gguf.convert import Note, converted, folders, note_of
from t2app.models.gguf.header import Header, is_gguf, read, unusable

__all__ = ["Header", "Note", "converted", "folders", "is_gguf", "note_of", "read", "unusable"]
