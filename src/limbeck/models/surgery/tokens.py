"""Which tokens of a fast tokenizer are kept, and the tokenizer that has only these.

All is done on the JSON of the `tokenizers` library: what is written is what AutoTokenizer.from_pretrained reads.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from limbeck.core.errors import ConfigError, NotSupported

KINDS = ("WordPiece", "Unigram", "BPE")
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")


def parse(tokenizer: Any) -> dict[str, Any]:
    """The JSON of a fast tokenizer; raises ConfigError for a slow one, NotSupported for another kind of model."""
    if not getattr(tokenizer, "is_fast", False):
        raise ConfigError(
            f"expected a fast tokenizer of transformers, got {type(tokenizer).__name__}",
            "load it with transformers.AutoTokenizer.from_pretrained",
        )
    spec: dict[str, Any] = json.loads(tokenizer.backend_tokenizer.to_str())
    if spec["model"].get("type") not in KINDS:
        raise NotSupported(
            f"expected a tokenizer of kind {', '.join(KINDS)}, got {spec['model'].get('type')}",
            "keep its vocabulary, and make the model small elsewhere: keep_layers, shrink",
        )
    return spec


def choose(spec: Mapping[str, Any], must: Iterable[int], counts: Tensor, size: int) -> list[int]:
    """Old ids of the tokens to keep, ascending: those that must be, then the most frequent ones that fit.

    Raises ConfigError where those that must be are more than `size`.
    """
    vocabulary = vocabulary_of(spec)
    parents = _parents(spec, vocabulary)
    kept = {token["id"] for token in spec["added_tokens"]} | set(must)
    for token, number in vocabulary.items():
        if _needed(spec, vocabulary, token):
            kept |= {number}
    for number in list(kept):
        kept |= _closure(number, parents)
    if size < len(kept):
        raise ConfigError(
            f"expected a vocabulary of at least {len(kept)} tokens, got {size}",
            "special tokens and single characters stay, so that nothing becomes unknown that was not",
        )
    frequency = counts.tolist()
    for number in sorted(vocabulary.values(), key=lambda n: (-frequency[n], n)):
        more = _closure(number, parents) - kept
        if len(kept) + len(more) <= size:
            kept |= more
        if len(kept) == size:
            break
    return sorted(kept)


def vocabulary_of(spec: Mapping[str, Any]) -> dict[str, int]:
    """Token -> id of the tokenizer's model, without tokens that were added on top."""
    vocabulary = spec["model"]["vocab"]
    if isinstance(vocabulary, list):
        return {token: number for number, (token, _) in enumerate(vocabulary)}
    return dict(vocabulary)


def cut(tokenizer: Any, spec: Mapping[str, Any], new: Mapping[int, int]) -> Any:
    """The tokenizer with the tokens of `new` (old id -> new id) alone.

    Written, edited and read back: so it is by construction what a later from_pretrained gives.
    """
    edited = dict(spec) | {"model": _cut_model(spec["model"], new)}
    edited["added_tokens"] = [t | {"id": new[t["id"]]} for t in spec["added_tokens"]]
    edited["post_processor"] = _renumber(spec.get("post_processor"), new)
    if spec.get("padding"):
        edited["padding"] = spec["padding"] | {"pad_id": new[spec["padding"]["pad_id"]]}
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        for path in Path(folder).iterdir():
            if path.name not in ("tokenizer_config.json", "chat_template.jinja", "special_tokens_map.json"):
                path.unlink()  # lists of the old vocabulary in other formats
        Path(folder, "tokenizer.json").write_text(json.dumps(edited, ensure_ascii=False), encoding="utf-8")
        _edit_config(Path(folder, "tokenizer_config.json"), new)
        made = type(tokenizer).from_pretrained(folder)
    made.name_or_path = tokenizer.name_or_path
    _check(made, spec, new)
    return made


def _check(made: Any, spec: Mapping[str, Any], new: Mapping[int, int]) -> None:
    """Refuse a class of tokenizer that numbers its tokens in its own way."""
    old = vocabulary_of(spec) | {t["content"]: t["id"] for t in spec["added_tokens"]}
    expected = {token: new[number] for token, number in old.items() if number in new}
    if made.get_vocab() != expected:
        raise NotSupported(
            f"expected {type(made).__name__} to take its {len(expected)} tokens from tokenizer.json, "
            f"got {len(made.get_vocab())} tokens or other ids",
            "load the tokenizer as transformers.PreTrainedTokenizerFast and try again",
        )


def _edit_config(path: Path, new: Mapping[int, int]) -> None:
    config = json.loads(path.read_text(encoding="utf-8"))
    if "added_tokens_decoder" in config:
        config["added_tokens_decoder"] = {str(new[int(n)]): t for n, t in config["added_tokens_decoder"].items()}
        path.write_text(json.dumps(config), encoding="utf-8")


def _needed(spec: Mapping[str, Any], vocabulary: Mapping[str, int], token: str) -> bool:
    """Whether a text could become unknown without this token: a single character, or one that holds such alone."""
    kind = spec["model"]["type"]
    if kind == "BPE":
        return len(token) == 1 or bool(_BYTE.fullmatch(token)) or token == spec["model"].get("unk_token")
    if kind == "Unigram":
        return len(token) == 1 or bool(_BYTE.fullmatch(token)) or any(c not in vocabulary for c in token)
    prefix = spec["model"]["continuing_subword_prefix"]
    inner = token.startswith(prefix) and len(token) > len(prefix)
    bare = token.removeprefix(prefix) if inner else token
    singles = [c if n == 0 and not inner else prefix + c for n, c in enumerate(bare)]
    return len(bare) == 1 or any(single not in vocabulary for single in singles)


def _parents(spec: Mapping[str, Any], vocabulary: Mapping[str, int]) -> dict[int, tuple[int, int]]:
    """For BPE the two tokens that the first merge makes a token of."""
    parents: dict[int, tuple[int, int]] = {}
    for left, right in _merges(spec["model"]):
        made = vocabulary.get(_merged(spec["model"], left, right))
        if made is not None and left in vocabulary and right in vocabulary:
            parents.setdefault(made, (vocabulary[left], vocabulary[right]))
    return parents


def _merges(model: Mapping[str, Any]) -> list[tuple[str, str]]:
    pairs = [m.split(" ") if isinstance(m, str) else m for m in model.get("merges", [])]
    return [(left, right) for left, right in pairs]


def _merged(model: Mapping[str, Any], left: str, right: str) -> str:
    return left + right.removeprefix(model.get("continuing_subword_prefix") or "")


def _closure(number: int, parents: Mapping[int, tuple[int, int]]) -> set[int]:
    """A token and all those that it is merged of."""
    found, open_ = set(), [number]
    while open_:
        if (one := open_.pop()) not in found:
            found.add(one)
            open_ += parents.get(one, ())
    return found


def _cut_model(model: Mapping[str, Any], new: Mapping[int, int]) -> dict[str, Any]:
    made = dict(model)
    if isinstance(model["vocab"], list):
        made["vocab"] = [entry for number, entry in enumerate(model["vocab"]) if number in new]
        if model.get("unk_id") is not None:
            made["unk_id"] = new[model["unk_id"]]
        return made
    made["vocab"] = {token: new[number] for token, number in model["vocab"].items() if number in new}
    if "merges" in model:
        there = made["vocab"]
        made["merges"] = [
            list(pair)
            for pair in _merges(model)
            if pair[0] in there and pair[1] in there and _merged(model, *pair) in there
        ]
    return made


def _renumber(processor: Any, new: Mapping[int, int]) -> Any:
    """A post-processor with new ids of its special tokens."""
    if not isinstance(processor, dict):
        return processor
    made = dict(processor)
    for name in ("sep", "cls"):
        if isinstance(made.get(name), list):
            made[name] = [made[name][0], new[made[name][1]]]
    if "processors" in made:
        made["processors"] = [_renumber(inner, new) for inner in made["processors"]]
    if isinstance(made.get("special_tokens"), dict):
        made["special_tokens"] = {
            name: token | {"ids": [new[n] for n in token["ids"]]} for name, token in made["special_tokens"].items()
        }
    return made
