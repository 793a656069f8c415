"""The text of an answer while it grows: each token is decoded once."""

from __future__ import annotations

from tokenizers.decoders import DecodeStream
from transformers import PreTrainedTokenizerBase

from t2app.models.chat import ChatFormat


class GrowingText:
    """What a reader sees of the tokens so far; without a character whose last bytes are to come."""

    def __init__(self, chat: ChatFormat, tokenizer: PreTrainedTokenizerBase) -> None:
        self._chat = chat
        backend = getattr(tokenizer, "backend_tokenizer", None)
        # Some thoughts can only be told from the tokens themselves, and some tokenizers only whole.
        self._backend = None if chat.whole_at_once else backend
        self._stream = DecodeStream(skip_special_tokens=True)
        self._ids: list[int] = []
        self._raw = ""
        self.text = ""

    def add(self, token: int) -> None:
        """One token more."""
        self._ids.append(token)
        if self._backend is None:
            self.text = self._chat.text(self._ids).rstrip("\ufffd")
            return
        more = self._stream.step(self._backend, token)
        if more:
            self._raw += more
            self.text = self._chat.visible(self._raw)
