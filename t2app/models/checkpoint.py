"""What is in a model's folder: its configuration, its tokenizer, its safetensors files.

Everything is looked at before the model is built, so that what is wrong with a checkpoint is said
in one line. Not covered: where the folder comes from (``source``), and making a model of it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import transformers
from transformers import (
    AutoConfig,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
)

from t2app.config import cache_dir
from t2app.errors import T2Error
from t2app.models.chat import ChatFormat
from t2app.models.words import first_line
from t2app.svf import foreign

CAUSAL_SUFFIXES = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
# The hub's cache names a large file by its SHA-256.
BLOB = re.compile(r"[0-9a-f]{64}")
# How configurations call the longest sequence.
CONTEXT_NAMES = ("max_position_embeddings", "n_positions", "seq_length", "max_seq_len", "n_ctx")


def read_config(folder: Path) -> PreTrainedConfig:
    """Configuration of a decoder-only language model, else ``T2Error``."""
    if (other := foreign.as_model(folder)) is not None:
        raise other
    if not (folder / "config.json").is_file():
        raise T2Error(f"{folder} has no config.json: give the folder of a Hugging Face model")
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
    except Exception as error:
        # A wrong value in config.json surfaces as nearly any exception.
        raise T2Error(f"cannot use {folder / 'config.json'}: {first_line(error)}") from error
    kinds = config.architectures or []
    causal = type(config) in transformers.MODEL_FOR_CAUSAL_LM_MAPPING
    if config.is_encoder_decoder or not causal or not _is_causal(kinds):
        kind = ", ".join(kinds) or config.model_type
        raise T2Error(f"{folder} is no decoder-only language model ({kind}): choose a chat model")
    if getattr(config, "quantization_config", None) is not None:
        raise T2Error(
            f"{folder} is quantised already, so its original weights cannot be factored: "
            "give the full-precision checkpoint with --quant nf4"
        )
    if not _attends(config):
        raise T2Error(
            f"{folder} has no attention ({config.model_type}): it cannot go on from a prompt that "
            "was read before, as the first pass does; choose a transformer or a hybrid"
        )
    return config


def _attends(config: PreTrainedConfig) -> bool:
    try:
        return bool(getattr(config.get_text_config(decoder=True), "num_attention_heads", None))
    except Exception:  # layers may differ, and then there is no one number
        return True


def _is_causal(architectures: list[str]) -> bool:
    return not architectures or any(name.endswith(CAUSAL_SUFFIXES) for name in architectures)


def read_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer, which must have a chat template; pads on the left."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:
        raise T2Error(f"{folder} has no usable tokenizer: {first_line(error)}") from error
    if not tokenizer.chat_template:
        raise T2Error(
            f"{folder} has no chat template: choose an instruction-tuned (chat) model, or put the "
            "chat_template.jinja of its chat format into the folder"
        )
    tokenizer.padding_side = "left"
    return tokenizer


def read_chat(
    folder: Path,
    label: str,
    config: PreTrainedConfig,
    tokenizer: PreTrainedTokenizerBase,
    rows: int,
) -> ChatFormat:
    """The chat format; also gives the tokenizer a token to pad with, if it has none.

    ``rows`` is how many tokens the embedding has. ``T2Error`` where the template, the generation
    settings or the tokenizer do not fit the model.
    """
    try:
        settings = (
            GenerationConfig.from_pretrained(folder, local_files_only=True)
            if (folder / "generation_config.json").is_file()
            else GenerationConfig.from_model_config(config)
        )
    except Exception as error:
        raise T2Error(
            f"cannot use {folder / 'generation_config.json'}: {first_line(error)}"
        ) from error
    eos = settings.eos_token_id
    eos = eos if isinstance(eos, list) else [] if eos is None else [eos]
    chat = ChatFormat(tokenizer, label, eos=eos, bos=settings.bos_token_id, rows=rows)
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id >= rows:
        # Never seen by the model, but it has to be one of its tokens.
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(min(chat.ends, default=0))
    return chat


def context_of(config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase) -> int | None:
    """The most tokens of a sequence; None where no file of the model names a limit."""
    text = config.get_text_config(decoder=True)
    named = []
    for name in CONTEXT_NAMES:
        with suppress(Exception):  # layers may differ, and then there is no one number
            named.append(getattr(text, name, None))
    # A tokenizer without a limit has a number beyond all bounds.
    named += [tokenizer.model_max_length] if tokenizer.model_max_length < 10**8 else []
    return next((value for value in named if isinstance(value, int) and value > 0), None)


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a checkpoint, sorted; ``T2Error`` if one or all are missing."""
    if (folder / INDEX).is_file():
        names = set(_json(folder / INDEX).get("weight_map", {}).values())
        files = [folder / Path(name).name for name in sorted(names)]
    else:
        files = [folder / WEIGHTS]
    missing = [file.name for file in files if not file.is_file()]
    if files and not missing:
        return files
    raise _no_weights(folder, missing)


def _no_weights(folder: Path, missing: list[str]) -> T2Error:
    """The error for a checkpoint whose safetensors files are not there."""
    pickled = [file.name for kind in ("*.bin", "*.pt", "*.pth") for file in folder.glob(kind)]
    if pickled and not (folder / INDEX).is_file():
        return T2Error(
            f"{folder} has only pickled weights ({pickled[0]}), which can run code when they are "
            "loaded: convert them to safetensors"
        )
    names = ", ".join(missing[:3]) or WEIGHTS
    return T2Error(f"{folder} lacks its weights ({names}): get them again")


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise T2Error(f"cannot read {path}: {first_line(error)}; get it again") from error
    if not isinstance(content, dict):
        raise T2Error(f"cannot read {path}: it holds no JSON object; get it again")
    return content


def read_headers(files: list[Path]) -> dict[str, Path]:
    """File of each tensor; ``T2Error`` if a file does not hold every byte its header promises."""
    index = {}
    for path in files:
        try:
            with path.open("rb") as file:
                length = int.from_bytes(file.read(8), "little")
                size = path.stat().st_size
                header = json.loads(file.read(length)) if length < size else None
            header.pop("__metadata__", None)
            end = max(entry["data_offsets"][1] for entry in header.values())
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise T2Error(f"{path} is not a whole safetensors file: download it again") from error
        if 8 + length + end != size:
            raise T2Error(
                f"{path} is truncated: {size} bytes of {8 + length + end}; download it again"
            )
        index.update(dict.fromkeys(header, path))
    return index


def shapes(path: Path) -> list[tuple[str, tuple[int, ...]]]:
    """Name and shape of each tensor of a safetensors file; ``T2Error`` if it is not whole."""
    read_headers([path])
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    header.pop("__metadata__", None)
    return [(name, tuple(entry["shape"])) for name, entry in header.items()]


def digest(files: list[Path], remember: bool = True) -> str:
    """SHA-256 of the weights: of the file, or of the files' digests where there are several.

    A file is read once: its digest is kept with its path, size and time of change. Unless it is
    not to be remembered, as the path will be another.
    """
    digests = [_file_digest(path) if remember else sha256_of(path) for path in files]
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def _file_digest(path: Path) -> str:
    """SHA-256 of a file, remembered while its size and its time of change stay the same."""
    real = path.resolve()
    if real.parent.name == "blobs" and BLOB.fullmatch(real.name):
        return real.name
    stat = real.stat()
    state = {"path": str(real), "bytes": stat.st_size, "changed": stat.st_mtime_ns}
    place = hashlib.sha256(state["path"].encode("utf-8", "surrogateescape")).hexdigest()[:32]
    note = cache_dir() / "hashes" / f"{place}.json"
    with suppress(OSError, ValueError, TypeError, KeyError):
        known = json.loads(note.read_text(encoding="utf-8"))
        if {key: known[key] for key in state} == state:
            return known["sha256"]
    found = sha256_of(real)
    with suppress(OSError):  # a cache that cannot be written is only slower
        note.parent.mkdir(parents=True, exist_ok=True)
        handle, work = tempfile.mkstemp(dir=note.parent)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({**state, "sha256": found}, file)
        os.replace(work, note)
    return found


def sha256_of(path: Path) -> str:
    """Of a file, read from its beginning to its end."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
