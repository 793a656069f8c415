"""Greedy answers where it can be guessed what will be said: checked in one pass, not said anew.

One forward pass over a prompt and its draft shows how far greedy decoding says the same; only the
rest is decoded. It is speculative decoding (Leviathan et al., 2023) with whole answers as drafts.
Not covered: where drafts come from (``judge``).
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from t2app.engine import Completion, Engine, Prompt


def generate(
    engine: Engine,
    prompts: Sequence[Prompt],
    drafts: Sequence[Prompt],
    mixes: Tensor,
    *,
    max_new_tokens: int,
    batch_size: int,
) -> list[Completion]:
    """What ``engine.generate`` says greedily to each prompt, with likelihoods.

    ``mixes`` (B, R) has a mix for each. A good draft saves time, a bad one costs a pass. As between
    batches of different shape, sums of floats may differ in their last bits.
    """
    room = [min(max_new_tokens, engine.base.context - len(prompt)) for prompt in prompts]
    drafts = [draft[:most] for draft, most in zip(drafts, room, strict=True)]
    agreed = engine.agreed(prompts, drafts, mixes, most_rows=batch_size)
    heads = [draft[:count] for draft, (count, _) in zip(drafts, agreed, strict=True)]
    done = [
        engine.completion(head, likely) for head, (_, likely) in zip(heads, agreed, strict=True)
    ]
    left = [most - len(head) for most, head in zip(room, heads, strict=True)]
    open_ = [i for i, begun in enumerate(done) if left[i] and not begun.finished]
    if open_:
        tails = engine.generate(
            [[*prompts[i], *heads[i]] for i in open_],
            mixes[open_],
            max_new_tokens=[left[i] for i in open_],
            batch_size=batch_size,
            likelihoods=True,
        )
        for i, tail in zip(open_, tails, strict=True):
            likely = agreed[i][1] + (tail.likelihood or 0.0) * len(tail.token_ids)
            done[i] = engine.completion([*heads[i], *tail.token_ids], likely)
    return done
