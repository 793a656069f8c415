"""Small random models, a tokenizer and a checkpoint on disk, shared by the tests."""

from __future__ import annotations

import os
import tempfile

# Before transformers is imported: no test may reach for the network, or take a model that whoever
# runs it has downloaded for the one that is there by default.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HOME"] = os.path.join(tempfile.gettempdir(), "t2app-tests-without-models")

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from t2app.engine import Engine
from t2app.models import BaseModel
from t2app.models.chat import ChatFormat
from t2app.svd.factor import Factor, factor
from t2app.svd.modules import adapted_modules
from t2app.svf.expert import Expert
from t2app.tasks import TASKS

# Matrices of this size are slower on several threads, and results then depend on their number.
torch.set_num_threads(1)

CHAT_TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIAL = ["<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]


def build_model(seed: int = 0, **changes: object) -> PreTrainedModel:
    """Random Llama: hidden 64, two layers; ``k_proj``, ``v_proj``, ``down_proj`` have m < n."""
    values = {
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 300,
        "max_position_embeddings": 128,
        "eos_token_id": 0,
        "bos_token_id": None,
        "tie_word_embeddings": True,
        "attention_bias": True,
        "mlp_bias": True,
        "initializer_range": 0.1,
    }
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(LlamaConfig(**{**values, **changes}))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(std=0.1)
    return model.eval().requires_grad_(False)


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level tokenizer of at most 300 tokens with a chat template."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = BpeTrainer(
        vocab_size=300, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(["the quick brown fox jumps over the lazy dog"] * 4, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|end|>", chat_template=CHAT_TEMPLATE
    )


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for the whole run, so that the built-in model is factored once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _private_cache(shared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("T2APP_CACHE", str(shared_cache))


@pytest.fixture(scope="session")
def make_model() -> Callable[..., PreTrainedModel]:
    """``make_model(seed=0, **config)``: a new small random model."""
    return build_model


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    """A small byte-level tokenizer."""
    return build_tokenizer()


@pytest.fixture(scope="session")
def checkpoint(
    tmp_path_factory: pytest.TempPathFactory, tokenizer: PreTrainedTokenizerFast
) -> Path:
    """Folder of a whole checkpoint. Copy it before changing anything."""
    folder = tmp_path_factory.mktemp("models") / "small"
    build_model().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def small_base() -> BaseModel:
    """A small random model as ``models.load`` gives it, with room for a first pass."""
    tokenizer = build_tokenizer()
    tokenizer.pad_token, tokenizer.padding_side = tokenizer.eos_token, "left"
    return BaseModel(
        # Untied: a random model with tied embeddings says the same token over and over.
        model=build_model(max_position_embeddings=1024, tie_word_embeddings=False),
        tokenizer=tokenizer,
        chat=ChatFormat(tokenizer, eos=[0]),
        name="small",
        base="small@0123456789ab",
        device=torch.device("cpu"),
        precision="float32",
        context=1024,
        folder=Path("small"),
    )


@pytest.fixture(scope="session")
def small_factors(small_base: BaseModel) -> dict[str, Factor]:
    """The factors of ``small_base``."""
    modules = adapted_modules(small_base.model)
    return {name: factor(module.weight) for name, module in modules.items()}


def random_expert(engine: Engine, name: str, seed: int = 0, task: str | None = None) -> Expert:
    """An expert with random vectors, described as if it had been trained on a built-in task."""
    generator = torch.Generator().manual_seed(seed)
    sizes = engine.svf.layout.sizes
    z = {key: 1 + 0.5 * torch.randn(size, generator=generator) for key, size in sizes.items()}
    task = name if task is None else task
    description = TASKS[task].description if task in TASKS else f"questions about {name}"
    header = {"base": engine.base.base, "task": task, "description": description}
    return Expert(name, z, header)


@pytest.fixture
def empty_engine(
    small_base: BaseModel,
    small_factors: dict[str, Factor],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Engine]:
    """An engine on a small random model, without experts, in a folder of its own."""
    monkeypatch.setenv("T2APP_EXPERTS", str(tmp_path / "experts"))
    engine = Engine(small_base, small_factors)
    yield engine
    engine.svf.remove()


@pytest.fixture
def engine(empty_engine: Engine) -> Engine:
    """An engine on a small random model, with a random expert of each built-in kind."""
    for seed, name in enumerate(("code", "dispatch", "math", "reasoning")):
        empty_engine.library.add(random_expert(empty_engine, name, seed))
    return empty_engine


@pytest.fixture
def make_expert(empty_engine: Engine) -> Callable[..., Expert]:
    """``make_expert(name, seed=0, task=name)``: a random expert that fits ``engine``."""

    def make(name: str, seed: int = 0, task: str | None = None) -> Expert:
        return random_expert(empty_engine, name, seed, task)

    return make


@pytest.fixture
def passes(empty_engine: Engine) -> Iterator[list[tuple[int, ...]]]:
    """Rows and tokens (B, T) of every forward pass so far."""
    shapes: list[tuple[int, ...]] = []

    def note(block: torch.nn.Module, args: tuple) -> None:
        shapes.append(tuple(args[0].shape[:2]))

    handle = empty_engine.model.get_decoder().layers[0].register_forward_pre_hook(note)
    yield shapes
    handle.remove()
