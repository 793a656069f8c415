"""Thoughts in front of an answer: their tags, and text without them.

Tags are not listed by model: whatever a chat template or a vocabulary holds that looks like one
(``<think>``, ``[THINK]``, ``<|START_THINKING|>``, ``<seed:think>``) counts.
"""

from __future__ import annotations

import re

OPENING = re.compile(
    r"<\|?(?![|/])[^<>\s/]*(?:think|thought|reason)[^<>\s/]*>"
    r"|\[[^\[\]\s/'\"]*(?:think|thought|reason)[^\[\]\s/'\"]*\]",
    re.IGNORECASE,
)
# Tags that begin and end with words instead of a slash.
WORDS = {"START": "END", "start": "end", "BEGIN": "END", "begin": "end"}
COMMON = ("<think>", "</think>")


class Thoughts:
    """The tags in ``text``, a chat template and the added tokens of a vocabulary.

    ``tags`` are pairs of an opening and a closing tag.
    """

    def __init__(self, text: str) -> None:
        found = {tag: _closing(tag, text) for tag in OPENING.findall(text)}
        # A tag with an end word also looks like an opening one.
        ends = set(found.values()) - set(found)
        self.tags = [(tag, end) for tag, end in found.items() if tag not in found.values()]
        if COMMON[1] in text and COMMON[1] not in ends:
            self.tags.append(COMMON)

    def opened(self, text: str) -> tuple[str, str] | None:
        """The tags of the thought that is open at the end of ``text``; None without one."""
        for opening, closing in self.tags:
            if text.rfind(opening) > text.rfind(closing):
                return opening, closing
        return None

    def close(self, text: str) -> str:
        """What has to follow ``text`` so that an answer can begin; empty where no thought is open.

        The empty thought has the form that templates give it: tags with a blank line between.
        """
        tags = self.opened(text)
        if tags is None:
            return ""
        return ("\n" if text.endswith("\n") else "\n\n") + tags[1] + "\n\n"

    def closed(self, text: str) -> bool:
        """Whether ``text`` holds the end of a thought."""
        return any(closing in text for _, closing in self.tags)

    def visible(self, text: str) -> str:
        """The answer behind the thought; empty while that is open.

        Text that has no thought stays as it is. The common tag counts for every model, but only
        where it opens the text.
        """
        for opening, closing in dict.fromkeys([*self.tags, COMMON]):
            thought, end, answer = text.rpartition(closing)
            begins = (thought if end else text).lstrip().startswith(opening)
            if end and (begins or (opening, closing) in self.tags):
                text = answer.lstrip()
            elif begins:
                return ""
        return text


def _closing(tag: str, text: str) -> str:
    """The tag that closes the thought which ``tag`` opens."""
    for start, end in WORDS.items():
        if start in tag:
            return tag.replace(start, end)
    plain = f"{tag[0]}/{tag[1:]}"
    inside = f"{tag[:2]}/{tag[2:]}"  # <|/think|>
    return inside if tag[1] == "|" and inside in text else plain
