"""The tokenizer of the built-in model: byte-level BPE, single digits, 1,024 tokens."""

from __future__ import annotations

from collections.abc import Iterator

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from t2app.tiny import corpus

VOCABULARY = 1024
CONTEXT = 512
BOS, EOS, PAD = "<|begin|>", "<|end|>", "<|pad|>"
ROLES = ("system", "user", "assistant")
SPECIAL = (PAD, BOS, EOS, *(f"<|{role}|>" for role in ROLES))
# Every message is "<|role|>\ntext<|end|>\n"; the same text a chat of any length is trained on.
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}"
    "{{ '<|' + m['role'] + '|>\n' + m['content'] + eos_token + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)
# Words with their space, single digits, runs of spaces (indentation), line breaks one by one.
_SPLIT = Regex(r"'s|'t|'m|'re| ?\p{L}+|\p{N}|\n| +(?= )| ?[^\s\p{L}\p{N}]|\s")


def train(seed: int = 0, conversations: int = 20_000) -> PreTrainedTokenizerFast:
    """Learn the merges on drawn conversations."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(_SPLIT, "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL),
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(_texts(seed, conversations), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        padding_side="left",
        chat_template=CHAT_TEMPLATE,
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
        additional_special_tokens=[f"<|{role}|>" for role in ROLES],
    )


def _texts(seed: int, n: int) -> Iterator[str]:
    drawn = corpus.conversations(seed, -1)
    for _ in range(n):
        for message in next(drawn):
            yield message["content"]
