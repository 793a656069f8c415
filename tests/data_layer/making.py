"""Files of questions and answers in many languages and formats, each with what is in it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

LANGUAGES = Path(__file__).resolve().parent.parent / "data" / "languages.json"
OLD_ENCODINGS = {
    "de": ("cp1252", "latin-1", "mac-roman", "cp850"),
    "fr": ("cp1252", "latin-1", "mac-roman"),
    "es": ("cp1252", "latin-1"),
    "pt": ("cp1252", "latin-1"),
    "sv": ("cp1252", "latin-1"),
    "pl": ("cp1250", "iso8859-2", "cp852"),
    "cs": ("cp1250", "iso8859-2"),
    "hu": ("cp1250", "iso8859-2"),
    "tr": ("cp1254", "iso8859-9"),
    "lt": ("cp1257",),
    "ru": ("cp1251", "koi8-r", "cp866", "iso8859-5"),
    "uk": ("cp1251", "koi8-u"),
    "el": ("cp1253", "iso8859-7"),
    "he": ("cp1255", "iso8859-8"),
    "ar": ("cp1256", "iso8859-6"),
    "th": ("cp874",),
    "zh": ("gb18030", "gbk", "gb2312"),
    "zh-hant": ("big5", "cp950"),
    "ja": ("cp932", "euc_jp", "iso2022_jp"),
    "ko": ("cp949", "euc_kr"),
}

Pair = tuple[str, str]


@dataclass(frozen=True)
class Made:
    """A file, and the pairs of question and answer in it, in their order."""

    name: str
    content: bytes
    pairs: tuple[Pair, ...]


@dataclass(frozen=True)
class Language:
    """Fourteen questions with their answers, and what their columns are called."""

    code: str
    names: Pair
    pairs: tuple[Pair, ...]


@cache
def languages() -> tuple[Language, ...]:
    """Every language there are rows of."""
    found = json.loads(LANGUAGES.read_text("utf-8"))
    return tuple(
        Language(code, tuple(v["names"]), tuple(map(tuple, v["rows"]))) for code, v in found.items()
    )


def made() -> Iterator[Made]:
    """All files: each language in each format, and its CSV in the older encodings."""
    for language in languages():
        for name, make in FORMATS.items():
            file, content, pairs = make(language)
            yield Made(f"{language.code}/{name}/{file}", content, tuple(pairs))
        for encoding in OLD_ENCODINGS.get(language.code, ()):
            for names in (language.names, ("question", "answer")):
                content = _csv([names, *language.pairs]).encode(encoding)
                name = f"{language.code}/{encoding}, {names[0]}/rows.csv"
                yield Made(name, content, language.pairs)


def _csv(rows: Sequence[Sequence[str]], delimiter: str = ",", end: str = "\n") -> str:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, lineterminator=end).writerows(rows)
    return out.getvalue()


def _json(value: object, **how: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, **how).encode()


def _lines(rows: Sequence[object]) -> bytes:
    return b"\n".join(map(_json, rows)) + b"\n"


def _objects(language: Language) -> list[dict[str, str]]:
    q, a = language.names
    return [{q: question, a: answer} for question, answer in language.pairs]


Maker = Callable[[Language], tuple[str, bytes, Sequence[Pair]]]
FORMATS: dict[str, Maker] = {}


def format_of(name: str) -> Callable[[Maker], Maker]:
    """Add a format to those that are made."""

    def add(make: Maker) -> Maker:
        FORMATS[name] = make
        return make

    return add


# -- text with a delimiter ------------------------------------------------------------------------


@format_of("comma")
def _comma(x: Language):
    return "rows.csv", _csv([x.names, *x.pairs]).encode(), x.pairs


@format_of("semicolon, as Excel writes it")
def _semicolon(x: Language):
    return "rows.csv", _csv([x.names, *x.pairs], ";", "\r\n").encode("utf-8-sig"), x.pairs


@format_of("tabs in UTF-16")
def _utf_16(x: Language):
    return "rows.txt", _csv([x.names, *x.pairs], "\t").encode("utf-16"), x.pairs


@format_of("UTF-16 without a mark")
def _utf_16_le(x: Language):
    return "rows.csv", _csv([x.names, *x.pairs]).encode("utf-16-le"), x.pairs


@format_of("pipes")
def _pipes(x: Language):
    return "rows.csv", _csv([x.names, *x.pairs], "|").encode(), x.pairs


@format_of("no header")
def _no_header(x: Language):
    return "rows.csv", _csv(x.pairs).encode(), x.pairs


@format_of("counter first")
def _counter(x: Language):
    rows = [("", *x.names), *((str(i), *pair) for i, pair in enumerate(x.pairs))]
    return "rows.csv", _csv(rows).encode(), x.pairs


@format_of("codes first")
def _codes(x: Language):
    rows = [("id", *x.names), *((f"r{i:03}x", *pair) for i, pair in enumerate(x.pairs))]
    return "rows.csv", _csv(rows).encode(), x.pairs


@format_of("a title above")
def _title(x: Language):
    text = "Export 2026\n\n" + _csv([x.names, *x.pairs])
    return "rows.csv", text.encode(), x.pairs


@format_of("empty columns behind")
def _padded(x: Language):
    rows = [(*row, "", "") for row in (x.names, *x.pairs)]
    return "rows.csv", _csv(rows, ";").encode(), x.pairs


@format_of("answer first")
def _swapped(x: Language):
    return "rows.csv", _csv([x.names[::-1], *(p[::-1] for p in x.pairs)]).encode(), x.pairs


@format_of("Markdown")
def _markdown(x: Language):
    rows = [x.names, ("---", "---"), *x.pairs]
    return "rows.md", "\n".join(f"| {q} | {a} |" for q, a in rows).encode(), x.pairs


@format_of("quotation marks between tabs")
def _quotes(x: Language):
    pairs = [(f'"{q}' if i % 3 else f'{q} "so', a) for i, (q, a) in enumerate(x.pairs)]
    text = "".join(f"{q}\t{a}\n" for q, a in [x.names, *pairs])
    return "rows.tsv", text.encode(), pairs


@format_of("label first")
def _label_first(x: Language):
    pairs = [(q, ("one", "two")[i % 2]) for i, (q, _) in enumerate(x.pairs)]
    return "rows.csv", _csv([("v1", "v2"), *((a, q) for q, a in pairs)]).encode(), pairs


@format_of("labels without a header")
def _label_no_header(x: Language):
    pairs = [(q, ("one", "two")[i % 2]) for i, (q, _) in enumerate(x.pairs)]
    return "rows.csv", _csv(pairs).encode(), pairs


@format_of("gold of one row")
def _sparse(x: Language):
    head = ("tweet_id", "sentiment", "sentiment_confidence", "sentiment_gold", "name", "text")
    rows, pairs = [head], []
    for i, (q, _) in enumerate(x.pairs * 3):
        label, text = ("one", "two")[i % 2], f"{q} {i}"
        gold = label if i == 7 else ""
        rows.append((f"57030{i:05}", label, f"0.{i % 9 + 1}", gold, f"user_{i % 5}", text))
        pairs.append((text, label))
    return "rows.csv", _csv(rows).encode(), pairs


@format_of("the same instruction")
def _same_instruction(x: Language):
    rows = [("instruction", "input", "output"), *(("Answer this.", q, a) for q, a in x.pairs)]
    return "rows.csv", _csv(rows).encode(), [(f"Answer this.\n{q}", a) for q, a in x.pairs]


# -- JSON -----------------------------------------------------------------------------------------


@format_of("JSON Lines")
def _json_lines(x: Language):
    return "rows.jsonl", _lines(_objects(x)), x.pairs


@format_of("JSON Lines in ASCII")
def _escaped(x: Language):
    return "rows.jsonl", "\n".join(map(json.dumps, _objects(x))).encode(), x.pairs


@format_of("JSON array")
def _array(x: Language):
    return "rows.json", _json(_objects(x), indent=2), x.pairs


@format_of("objects over several lines")
def _sequence(x: Language):
    return "rows.jsonl", b"\n".join(_json(o, indent=1) for o in _objects(x)), x.pairs


@format_of("rows under data")
def _under_data(x: Language):
    return "rows.json", _json({"version": "1", "data": _objects(x)}), x.pairs


@format_of("columns of numbered cells")
def _by_number(x: Language):
    columns = {
        name: {str(i): pair[at] for i, pair in enumerate(x.pairs)}
        for at, name in enumerate(("question", "answer"))
    }
    return "rows.json", _json(columns), x.pairs


@format_of("columns as lists")
def _by_column(x: Language):
    columns = {name: [pair[at] for pair in x.pairs] for at, name in enumerate(x.names)}
    return "rows.json", _json(columns), x.pairs


@format_of("columns and data apart")
def _split(x: Language):
    value = {"columns": x.names, "index": list(range(len(x.pairs))), "data": x.pairs}
    return "rows.json", _json(value), x.pairs


@format_of("rows by name")
def _by_name(x: Language):
    return "rows.json", _json({f"q{i}": o for i, o in enumerate(_objects(x))}), x.pairs


@format_of("lists of cells")
def _lists(x: Language):
    return "rows.json", _json([x.names, *x.pairs]), x.pairs


@format_of("Python on every line")
def _python(x: Language):
    return "rows.jsonl", "\n".join(map(str, _objects(x))).encode(), x.pairs


@format_of("question in the input")
def _empty_instruction(x: Language):
    rows = [{"instruction": "", "input": q, "output": a} for q, a in x.pairs]
    rows[0] = {"instruction": x.pairs[0][0], "input": "", "output": x.pairs[0][1]}
    return "rows.json", _json(rows), x.pairs


@format_of("SQuAD")
def _squad(x: Language):
    rows = [
        {
            "id": f"{i}x",
            "title": "Some",
            "context": f"({a})",
            "question": q,
            "answers": {"text": [a, a], "answer_start": [1, 1]},
        }
        for i, (q, a) in enumerate(x.pairs)
    ]
    return "rows.jsonl", _lines(rows), [(f"{q}\n({a})", a) for q, a in x.pairs]


@format_of("SQuAD's own file")
def _squad_file(x: Language):
    paragraphs = [
        {
            "context": f"({a})",
            "qas": [{"id": "1", "question": q, "answers": [{"text": a, "answer_start": 1}]}],
        }
        for q, a in x.pairs
    ]
    value = {"version": "1", "data": [{"title": "Some", "paragraphs": paragraphs}]}
    return "rows.json", _json(value), [(f"{q}\n({a})", a) for q, a in x.pairs]


@format_of("lists of answers")
def _list_answers(x: Language):
    rows = [{"question": q, "answer": [a, f"{a} 2"]} for q, a in x.pairs]
    return "rows.jsonl", _lines(rows), x.pairs


@format_of("ARC")
def _arc(x: Language):
    answers = [a for _, a in x.pairs]
    rows, pairs = [], []
    for i, (q, a) in enumerate(x.pairs):
        texts = [answers[i - 1], a] if i % 2 else [a, answers[i - 1]]
        labels = "12" if i % 3 else "AB"
        choices = {"text": texts, "label": [*labels]}
        key = labels[texts.index(a)]
        rows.append({"id": f"a{i}", "question": q, "choices": choices, "answerKey": key})
        pairs.append((f"{q}\nA) {texts[0]}\nB) {texts[1]}", "AB"[texts.index(a)]))
    return "rows.jsonl", _lines(rows), pairs


@format_of("nulls")
def _nulls(x: Language):
    rows = [
        {"question": q, "answer": float("nan") if i % 4 == 3 else a, "note": None}
        for i, (q, a) in enumerate(x.pairs)
    ]
    return "rows.jsonl", _lines(rows), [p for i, p in enumerate(x.pairs) if i % 4 != 3]


# -- conversations --------------------------------------------------------------------------------


@format_of("ShareGPT")
def _sharegpt(x: Language):
    rows = [
        {
            "id": f"c{i}",
            "conversations": [{"from": "human", "value": q}, {"from": "gpt", "value": a}],
        }
        for i, (q, a) in enumerate(x.pairs)
    ]
    return "rows.json", _json(rows), x.pairs


@format_of("messages")
def _messages(x: Language):
    rows = [
        {
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": q},
                {"role": "assistant", "content": [{"type": "text", "text": a}]},
            ]
        }
        for q, a in x.pairs
    ]
    return "rows.jsonl", _lines(rows), x.pairs


@format_of("messages in CSV")
def _messages_csv(x: Language):
    rows = [
        [json.dumps([{"role": "user", "content": q}, {"role": "assistant", "content": a}])]
        for q, a in x.pairs
    ]
    return "rows.csv", _csv([["messages"], *rows]).encode(), x.pairs


@format_of("prompt and completion")
def _trl(x: Language):
    rows = [
        {
            "prompt": [{"role": "user", "content": q}],
            "completion": [{"role": "assistant", "content": a}],
            "source": "mine",
        }
        for q, a in x.pairs
    ]
    return "rows.jsonl", _lines(rows), x.pairs


@format_of("text with marks")
def _marks(x: Language):
    rows = [{"text": f"### Human: {q}### Assistant: {a}"} for q, a in x.pairs]
    return "rows.jsonl", _lines(rows), x.pairs


@format_of("ChatML")
def _chatml(x: Language):
    rows = [
        {
            "text": f"<|im_start|>user\n{q}<|im_end|>\n<|im_start|>assistant\n{a}<|im_end|>\n",
            "n": i,
        }
        for i, (q, a) in enumerate(x.pairs)
    ]
    return "rows.jsonl", _lines(rows), x.pairs


@format_of("instruction template")
def _template(x: Language):
    rows = [
        [f"Below is a task.\n\n### Instruction:\n{q}\n\n### Response:\n{a}"] for q, a in x.pairs
    ]
    return "rows.csv", _csv([["text"], *rows]).encode(), x.pairs


@format_of("Q and A")
def _labels(x: Language):
    return "rows.txt", "\n\n".join(f"Q: {q}\nA: {a}" for q, a in x.pairs).encode(), x.pairs


@format_of("labels of the language")
def _own_labels(x: Language):
    q, a = (name.capitalize() for name in x.names)
    text = "\n".join(f"{q}: {question}\n{a}: {answer}" for question, answer in x.pairs)
    return "rows.txt", text.encode(), x.pairs


@format_of("fastText")
def _fasttext(x: Language):
    pairs = [(q, ("one", "two")[i % 2]) for i, (q, _) in enumerate(x.pairs)]
    return "rows.txt", "".join(f"__label__{a} {q}\n" for q, a in pairs).encode(), pairs
