"""The tokenizer of the built-in model, trained on fewer conversations than the real one."""

from __future__ import annotations

import pytest
from transformers import PreTrainedTokenizerFast

from t2app.tiny import tokenizer as tiny_tokenizer


@pytest.fixture(scope="session")
def tiny_tok() -> PreTrainedTokenizerFast:
    """Quick to train, with the real one's vocabulary size, splitting and chat template."""
    return tiny_tokenizer.train(0, conversations=400)
