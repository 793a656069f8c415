"""The tokenizer and the chat template of a GGUF file, written as files of Hugging Face."""

from __future__ import annotations

from pathlib import Path

from tokenizers import pre_tokenizers
from transformers import AutoTokenizer
from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS

from t2app.models.gguf.header import TEMPLATE, Header

# How a text is cut before its tokens are made, by the name of the rule in the file. transformers
# knows some rules and takes GPT-2's for all others, which is right for these.
AS_GPT2 = ("default", "gpt-2", "gpt2", "mpt", "olmo", "jais", "phi-2", "granite-docling")
# Each digit by itself, the rest as GPT-2.
DIGITS_APART = ("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone")


def write(file: Path, header: Header, folder: Path) -> str | None:
    """Write them into ``folder``; a line for people where texts may be cut in another way."""
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    rule = str(header.metadata.get("tokenizer.ggml.pre", "default"))
    by_bytes = header.metadata.get("tokenizer.ggml.model") == "gpt2"
    if by_bytes and rule in DIGITS_APART:
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False),
            ]
        )
    tokenizer.chat_template = header.metadata[TEMPLATE]
    tokenizer.save_pretrained(folder)
    if not by_bytes or rule in (*AS_GPT2, *DIGITS_APART, *GGUF_PRE_TOKENIZER_SPLITS):
        return None
    return (
        f"its rule to cut texts, {rule!r}, is not known here: some become other tokens than meant"
    )
