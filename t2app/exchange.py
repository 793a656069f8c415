"""Experts for other people: pushed to a place with a card, pulled from one.

A place is a repository of the Hugging Face hub, a folder, or any address that fsspec knows
(``s3://bucket/experts``); all three are read and written as files, ``NAME.safetensors`` and a
README.md with a section for each. Not covered: models, and rights on the hub.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs
from huggingface_hub import HfApi
from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

from t2app.errors import T2Error
from t2app.models.words import first_line
from t2app.svf.expert import Expert
from t2app.svf.library import SUFFIX, Library

REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
README = "README.md"
LARGEST = 500_000_000  # bytes of a file that is pulled
FRONT = "---\ntags: [t2app, transformer-squared, svf]\n{base}---\n\n# Experts for t2app\n"
HOW = """
Take one over with `python -m t2app experts pull {place} NAME`, where the model is the base below.
An expert scales the singular values of every weight matrix (Transformer², arXiv 2501.06252).
"""


@dataclass(frozen=True)
class Place:
    """Where experts are pushed to and pulled from; ``text`` is what people call it."""

    text: str
    files: AbstractFileSystem
    root: str
    repository: str | None = None

    @classmethod
    def named(cls, text: str) -> Place:
        """The place that people mean; T2Error for an address that cannot be one.

        ``owner/name`` is a repository of the hub unless a folder is called so.
        """
        path = Path(text).expanduser()
        hub = "://" not in text and REPOSITORY.fullmatch(text) and not path.is_dir()
        repository = text if hub and not text.startswith((".", "~")) else None
        address = f"hf://{text}" if repository else text if "://" in text else str(path.absolute())
        try:
            files, root = url_to_fs(address)
        except (ImportError, ValueError) as error:
            raise T2Error(f"cannot use {text}: {first_line(error)}") from error
        return cls(text, files, root, repository)

    @property
    def words(self) -> str:
        """What kind of place it was taken for, for people."""
        return f"{self.text} on the Hugging Face hub" if self.repository else self.text

    def path(self, file: str) -> str:
        """Where a file of the place is."""
        return f"{self.root.rstrip('/')}/{file}"

    @contextmanager
    def told(self, what: str) -> Iterator[None]:
        """Whatever a file system raises, as one line."""
        try:
            yield
        except T2Error:
            raise
        except (FileNotFoundError, RepositoryNotFoundError):
            raise T2Error(f"cannot {what}: there is no {self.words}") from None
        except HFValidationError:
            raise T2Error(f"{self.text!r} is no repository: write OWNER/NAME") from None
        except Exception as error:
            # Every file system has errors of its own, with no common class.
            raise T2Error(f"cannot {what} {self.words}: {first_line(error)}") from error


def push(library: Library, name: str, place: Place, public: bool = False) -> dict[str, Any]:
    """Put expert ``name`` and its section of the card there, over an older one of that name.

    A repository that is not there yet is made, private unless ``public``. T2Error for an unknown
    expert and a place that cannot be written to.
    """
    expert = library.get(name)
    with place.told("push to"):
        if place.repository:
            HfApi().create_repo(place.repository, private=not public, exist_ok=True)
        else:
            place.files.makedirs(place.root, exist_ok=True)
        place.files.pipe_file(place.path(name + SUFFIX), library.path(name).read_bytes())
        readme = with_section(_readme(place), expert, place.text)
        place.files.pipe_file(place.path(README), readme.encode())
    return {
        "expert": name,
        "place": place.text,
        "base": expert.base,
        "questions": len(expert.header.get("examples") or ()),
    }


def _readme(place: Place) -> str:
    path = place.path(README)
    return place.files.cat_file(path).decode() if place.files.exists(path) else ""


def names(place: Place) -> list[str]:
    """The experts that are there."""
    with place.told("read"):
        found = place.files.ls(place.root, detail=False)
    files = sorted(str(path).rpartition("/")[2] for path in found)
    return [file.removesuffix(SUFFIX) for file in files if file.endswith(SUFFIX)]


def pull(
    library: Library,
    place: Place,
    name: str | None = None,
    *,
    rename: str | None = None,
    overwrite: bool = False,
) -> Expert:
    """Take over an expert from there; the only one without ``name``.

    T2Error where it is missing, does not fit this base, is damaged, or its name is taken.
    """
    there = names(place)
    if not there:
        raise T2Error(f"there is no expert in {place.words}")
    if name is None and len(there) > 1:
        raise T2Error(f"{place.text} holds several experts: name one of {', '.join(there)}")
    chosen = name or there[0]
    if chosen not in there:
        raise T2Error(f"{place.text} holds no expert {chosen!r}: it has {', '.join(there)}")
    with tempfile.TemporaryDirectory() as work, place.told("pull from"):
        path = place.path(chosen + SUFFIX)
        if (place.files.size(path) or 0) > LARGEST:
            raise T2Error(f"{chosen}{SUFFIX} is larger than any expert: it is not fetched")
        local = Path(work) / (chosen + SUFFIX)
        local.write_bytes(place.files.cat_file(path))
        return library.import_file(local, {}, rename or chosen, overwrite)


def with_section(readme: str, expert: Expert, place: str) -> str:
    """The card of a place, with the section of ``expert`` new or in place of its old one."""
    begin, end = (f"<!-- t2app {mark} {expert.name} -->" for mark in ("begin", "end"))
    section = f"{begin}\n{card(expert)}\n{end}"
    if not readme:
        name = expert.base.rpartition("@")[0]
        base = f"base_model: {name}\n" if "/" in name else ""
        readme = FRONT.format(base=base) + HOW.format(place=place)
    old = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if old.search(readme):
        return old.sub(lambda _: section, readme)
    return f"{readme.rstrip()}\n\n{section}\n"


def card(expert: Expert) -> str:
    """What an expert is, how well it does, what it broke, and how to make it again."""
    header = expert.header
    lines = [f"## {expert.name}", "", expert.description or "No description.", ""]
    lines += [f"- Base: `{expert.base}` (the hash is that of its weights)"]
    if header.get("verdict_words"):
        lines.append(f"- {header['verdict_words']}")
    lines += [
        f"- {when} training: {line}"
        for when, line in (
            ("Before", _accuracy(header.get("before"))), ("After", _accuracy(header.get("after")))
        )
        if line
    ]  # fmt: skip
    lines.append(f"- Other questions: {_harm(header.get('harm'))}")
    made = {
        key: header[key]
        for key in ("task", "objective", "reward", "seed", "rows", "dataset_sha256", "settings")
        if header.get(key) is not None
    }
    lines += ["", "To make it again:", "", "```json", json.dumps(made, indent=1), "```"]
    return "\n".join(lines)


def _accuracy(figure: Any) -> str:
    """In an imported file the header may hold anything."""
    try:
        low, high = figure["ci95"]
        return f"{figure['accuracy']:.1%} of {figure['n']} (95 % interval {low:.1%} to {high:.1%})"
    except (TypeError, KeyError, ValueError):
        return ""


def _harm(found: Any) -> str:
    words = found.get("words") if isinstance(found, dict) else None
    return words if isinstance(words, str) else "not checked (`t2app experts check NAME` does)"
