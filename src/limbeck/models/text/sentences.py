"""A sentence-transformers model as one network: rows of one or two texts in, the embeddings of both out.

Both texts of a row are encoded apart (a bi-encoder): an encoded row holds the tokens of the first text and behind them
those of the second with the segment bit. A row without a second text gives its only embedding twice, so that single
texts and pairs can stand in one table and count alike. What is saved loads in `SentenceTransformer(folder)`.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.core.errors import ConfigError, NotInstalled
from limbeck.models.text.chain import SENTENCES as PREFIX
from limbeck.models.text.hub import where_from
from limbeck.models.text.network import Tokenised, positions_of, quiet
from limbeck.models.text.tokens import (
    PADDING,
    PIP,
    Array,
    TextEncoder,
    columns_of,
    ids_of,
    packed,
    segments_of,
    trimmed,
)
from limbeck.signals import MAIN

EMBEDDED = ("similarity", "retrieval")  # kinds of task whose answers are embeddings
_FOLDER = "give st:FOLDER (with modules.json) or st:NAME of the hub"
_LONGEST = 512  # tokens of a text, for models that say no length of their own


def sentence_transformers() -> Any:
    """The package sentence-transformers; raises NotInstalled with the line that installs it."""
    try:
        import sentence_transformers as package
    except ImportError as error:
        raise NotInstalled("expected the package sentence-transformers for embeddings of text", PIP) from error
    return package


class SentenceEncoder(TextEncoder):
    """The tokenizer of a sentence-transformers model: each text with its own special tokens."""

    def __init__(self, tokenizer: Any, max_length: int, prompt: str = "") -> None:
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.prompt = prompt

    def encode(self, inputs: Any) -> Array:
        """Texts (a table of one or two columns, or a sequence) as int32 [N, T]; an empty second is left out."""
        first, *others = columns_of(inputs)
        if len(others) > 1:
            raise ConfigError(
                f"expected rows of one text or of two, got {1 + len(others)} columns", "name two with columns.inputs"
            )
        ids = self._ids(first)
        if not others:
            return packed(ids, [[] for _ in ids])
        return packed(ids, [said if text else [] for said, text in zip(self._ids(others[0]), others[0], strict=True)])

    def lengths(self, inputs: Any) -> Array:
        """Tokens int64 [N] of the longest text of each row before it is cut; 0 where nothing ever is."""
        columns = columns_of(inputs)
        found = np.zeros(len(columns[0]), np.int64)
        if hasattr(self.tokenizer, "encode_batch") or not len(found):
            return found
        for texts in columns:
            told = [f"{self.prompt}{text}" for text in texts]
            ids = self.tokenizer(told, truncation=False, return_attention_mask=False, verbose=False)["input_ids"]
            found = np.maximum(found, np.fromiter(map(len, ids), np.int64, len(ids)))
        return found

    def _ids(self, texts: list[str]) -> list[list[int]]:
        if not texts:
            return []
        texts = [f"{self.prompt}{text}" for text in texts]
        if hasattr(self.tokenizer, "encode_batch"):  # the bare tokenizer of static embeddings
            return [said.ids for said in self.tokenizer.encode_batch(texts, add_special_tokens=False)]
        said = self.tokenizer(
            texts, truncation=True, max_length=self.max_length, padding=False, return_attention_mask=False,
            return_token_type_ids=False,
        )  # fmt: skip
        found: list[list[int]] = said["input_ids"]
        return found

    @property
    def fingerprint(self) -> str:
        """A hash of what decides the ids of a text."""
        from limbeck.models.fingerprint import object_hash

        spec = json.loads(getattr(self.tokenizer, "backend_tokenizer", self.tokenizer).to_str())
        lasting = {name: part for name, part in spec.items() if name not in ("truncation", "padding")}  # of a call
        return object_hash([lasting, self.max_length, self.prompt])


class SentenceNetwork(Tokenised):
    """A sentence-transformers model: answers are [B, 2·D], the embedding of the second text behind the first's.

    Pooling, projections and normalisation are what its modules say. Raises ConfigError for modules that read anything
    but tokens of a transformer or of static embeddings.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model: Any = model
        modules = list(model)
        kind = type(modules[0]).__name__
        if kind not in ("Transformer", "StaticEmbedding"):
            raise ConfigError(
                f"expected a sentence-transformers model that starts with a Transformer or StaticEmbedding, got {kind}",
                "give one for texts, such as all-MiniLM-L6-v2",
            )
        self.static = kind == "StaticEmbedding"
        own = model.max_seq_length
        longest = int(own) if own and own < 1 << 20 else _LONGEST
        tokenizer = model.tokenizer
        if self.static:
            tokenizer.no_padding()
            longest = int((tokenizer.truncation or {}).get("max_length", _LONGEST))
            tokenizer.enable_truncation(longest)  # saved with it, so that long texts are cut alike everywhere
        prompt = (model.prompts or {}).get(model.default_prompt_name or "", "") or ""
        self.encoder: SentenceEncoder = SentenceEncoder(tokenizer, longest, prompt)
        self.out_sizes = {MAIN: 2 * self.width}
        config = None if self.static else modules[0].model.config
        self._padding = int(getattr(config, "pad_token_id", None) or 0)

    @classmethod
    def load(cls, where: str | Path) -> SentenceNetwork:
        """A model of a folder or name; a bare model of transformers gets mean pooling.

        Raises ConfigError where sentence-transformers cannot load it.
        """
        package = sentence_transformers()
        source = where_from(where, "a model of sentence-transformers", _FOLDER)
        try:
            with quiet():
                model = package.SentenceTransformer(
                    str(where), device="cpu", trust_remote_code=False,
                    model_kwargs={"dtype": torch.float32, "use_safetensors": True}, **source,
                )  # fmt: skip
        except (OSError, ValueError, KeyError) as error:
            raise ConfigError(
                f"expected a model that sentence-transformers loads at {where}, got: {str(error).splitlines()[0]}",
                _FOLDER,
            ) from error
        return cls(model)

    @classmethod
    def of(cls, model: Any) -> SentenceNetwork:
        """A copy of a SentenceTransformer as a network."""
        return cls(copy.deepcopy(model).float().cpu())

    @property
    def width(self) -> int:
        """Length D of an embedding."""
        get = getattr(self.model, "get_embedding_dimension", None) or self.model.get_sentence_embedding_dimension
        return int(get())

    @property
    def positions(self) -> int | None:
        """How many tokens of a text the model takes; None where nothing limits them."""
        return None if self.static else positions_of(self.model[0].model.config)

    def mask(self, rows: Tensor) -> Tensor:
        """Where both texts of each row have tokens, those of the second behind the first's: bool [B, T1 + T2]."""
        first, second, has = split_texts(rows)
        both = [first, second] if bool(has.any()) else [first]
        return torch.cat([trimmed(text) >= 0 for text in both], dim=1)

    @property
    def tap_paths(self) -> dict[str, str]:
        """Taps of the encoder by their short names (hidden.0 ... hidden.L, query.1 ...); static vectors have none."""
        from limbeck.models.surgery.anatomy import tap_paths

        found = {} if self.static else tap_paths(self.model[0].model)
        return {name: f"model.0.model.{path}" for name, path in found.items()}

    def joined(self, calls: Sequence[Tensor], rows: Tensor) -> Tensor:
        """A tap of both texts of each row [B, T1 + T2, D] as `mask` has their places, of one call for each text."""
        if len(calls) == 1:
            return calls[0]
        first, second = calls
        has = split_texts(rows)[2]
        if len(second) < len(rows):  # rows of one text were not asked again
            nothing = second.new_zeros(len(rows), *second.shape[1:])
            second = nothing.index_copy(0, has.nonzero()[:, 0], second)
        return torch.cat([first, second], dim=1)

    def forward(self, rows: Tensor) -> Tensor:
        """Embeddings [B, 2·D] of encoded rows [B, T]; each text once, and without the padding of the other."""
        first, second, has = split_texts(trimmed(rows))
        left = self._embedded(trimmed(first))
        if not bool(has.any()):
            return torch.cat([left, left], dim=1)
        if bool(has.all()):
            return torch.cat([left, self._embedded(trimmed(second))], dim=1)
        places = has.nonzero()[:, 0]
        right = left.index_copy(0, places, self._embedded(trimmed(second[places])))
        return torch.cat([left, right], dim=1)

    def answers(self, rows: Tensor) -> Tensor:
        """The same without steps that depend on values."""
        first, second, has = split_texts(rows)
        second = torch.where(has[:, None], second, first)
        both = self._pooled(torch.cat([first, second]), self._gathered)
        return torch.cat(both.chunk(2), dim=1)

    def graph_answers(self, rows: Tensor) -> Tensor:
        """Embeddings [B, D] of rows of one text each."""
        return self._pooled(rows, self._gathered)

    def inputs_of(self, tokens: Tensor) -> dict[str, Tensor]:
        """What the encoder takes, of tokens [B, T] of one text a row."""
        mask = tokens >= 0
        return {"input_ids": torch.where(mask, tokens, self._padding).long(), "attention_mask": mask.long()}

    def _embedded(self, tokens: Tensor) -> Tensor:
        return self._pooled(tokens, self._bagged)

    def _pooled(self, tokens: Tensor, static: Any) -> Tensor:
        """Embeddings [B, D] of tokens [B, T] of one text a row."""
        mask = tokens >= 0
        if not self.static:
            found: Tensor = self.model({**self.inputs_of(tokens), "modality": "text"})["sentence_embedding"]
            return found
        pooled: dict[str, Tensor] = {"sentence_embedding": static(tokens, mask)}
        for module in list(self.model)[1:]:
            pooled = module(pooled)
        return pooled["sentence_embedding"]

    def _bagged(self, tokens: Tensor, mask: Tensor) -> Tensor:
        lengths = mask.sum(1)
        starts = lengths.cumsum(0) - lengths
        return F.embedding_bag(tokens[mask].long(), self._vectors, starts, mode="mean")

    def _gathered(self, tokens: Tensor, mask: Tensor) -> Tensor:
        vectors = F.embedding(torch.where(mask, tokens, 0).long(), self._vectors) * mask[..., None]
        return vectors.sum(1) / mask.sum(1, keepdim=True).clamp(min=1)

    @property
    def _vectors(self) -> Tensor:
        weight: Tensor = next(iter(self.model)).embedding.weight
        return weight

    def files(self, folder: Path, names: Mapping[str, tuple[str, ...]]) -> None:
        """Write modules.json, the weights and the tokenizer, so that SentenceTransformer loads them."""
        with quiet():
            self.model.save(str(folder), create_model_card=False)


def split_texts(rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens of the first and of the second text [B, T] each, from the left, and where there is a second [B]."""
    there = rows >= 0
    behind = there & (segments_of(rows) == 1)
    ahead = there & ~behind
    ids = ids_of(rows)
    first = torch.where(ahead, ids, PADDING)
    counts, offset = behind.sum(1, keepdim=True), ahead.sum(1, keepdim=True)
    places = torch.arange(rows.shape[1], device=rows.device)[None, :]
    moved = ids.gather(1, (places + offset).clamp(max=rows.shape[1] - 1))
    second = torch.where(places < counts, moved, PADDING)
    return first, second, counts[:, 0] > 0


def sentences_from(folder: Path) -> SentenceNetwork:
    """A sentence network as `files` wrote it."""
    return SentenceNetwork.load(folder)


def is_sentence_transformer(what: Any) -> bool:
    """Whether something is a SentenceTransformer; the package is not imported to see it."""
    return isinstance(what, nn.Module) and any(
        kind.__name__ == "SentenceTransformer" and kind.__module__.startswith("sentence_transformers")
        for kind in type(what).__mro__
    )


def is_sentences(text: str, kinds: Mapping[str, str]) -> bool:
    """Whether a chain of steps means a sentence network: one on "st:NAME", or any for a task on embeddings."""
    return text.startswith(PREFIX) or any(kind in EMBEDDED for kind in kinds.values())


def refuse_kinds(who: Any, kinds: Mapping[str, str], sentences: bool) -> None:
    """Refuse a sentence network for a task that is not on embeddings, and another network of text for one that is."""
    name = who if isinstance(who, str) else type(who).__name__
    wrong = [f"{head} ({kind})" for head, kind in kinds.items() if (kind in EMBEDDED) != sentences]
    if wrong and sentences:
        raise ConfigError(
            f"expected a task on embeddings ({', '.join(EMBEDDED)}) for {name}, got {', '.join(wrong)}",
            "give hf:FOLDER for classes and numbers",
        )
    if wrong:
        raise ConfigError(
            f"expected a network that embeds texts for {', '.join(wrong)}, got {name}",
            "give st:FOLDER, a SentenceTransformer or a SentenceNetwork",
        )


def embeddings(network: SentenceNetwork, texts: list[str], batch: int = 1024) -> Array:
    """Embeddings [N, D] float32 of texts."""
    from limbeck.models.predict import predict

    rows = network.encoder.encode(texts)
    return np.ascontiguousarray(predict(network, rows, [MAIN], batch)[MAIN][:, : network.width])
