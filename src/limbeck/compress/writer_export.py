"""Export a student that writes texts: its encoder and its decoder as two ONNX files, proven to write the same texts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import limbeck
from limbeck.compress.export import SCHEMA, refuse_bytes, refuse_size, refuse_training, strip_notes
from limbeck.compress.onnx_writer import HIDDEN, IDS, LOGITS, MASK, Search, decoder_of
from limbeck.compress.tokenizer import CORE, FOLDER, tokenizer_files
from limbeck.compress.traced import exported_by_torch, in_float32
from limbeck.core.errors import ChecksFailed, NotSupported
from limbeck.core.files import checksum, write_bytes

if TYPE_CHECKING:
    from torch import Tensor

    from limbeck.models.text.seq2seq import Seq2SeqNetwork

_PLAIN = {  # settings of generation under which the most probable token is not always taken, and what leaves them off
    "no_repeat_ngram_size": 0, "encoder_no_repeat_ngram_size": 0, "min_length": 0, "min_new_tokens": 0,
    "repetition_penalty": 1.0, "encoder_repetition_penalty": 1.0,
}  # fmt: skip
_COMPARED = 256  # rows whose logits are compared; texts are compared of all


def export_writer(
    module: Seq2SeqNetwork, path: str | Path, *, columns: Sequence[str], head: str, names: Sequence[str],
    max_length: int, tokens: int, metadata: Mapping[str, Any] | None = None,
) -> Path:  # fmt: skip
    """Write an encoder-decoder that searches greedily; decoder and tokenizer lie beside the file.

    `columns` name the sources, `max_length` bounds a text, `tokens` of sources are worked on at once. Raises
    NotSupported for a network that torch cannot export, or whose own settings ask for more than greedy search.
    """
    refuse_training(module)
    refuse_size(module)
    path, search = Path(path), search_of(module, max_length, tokens)
    encoder, decoder = _traced(in_float32(module))  # type: ignore[arg-type]
    beside = tokenizer_files(module.encoder)
    for name, data in beside.items():
        write_bytes(path.parent / FOLDER / name, data)
    write_bytes(decoder_of(path), _bytes(decoder, {}))
    text = {
        "tokenizer": checksum(beside[CORE]), "columns": list(columns), "max_length": module.encoder.max_length,
        "prompt": "", "apart": False,
    }  # fmt: skip
    facts = {
        "limbeck.schema": str(SCHEMA),
        "limbeck.version": limbeck.__version__,
        "limbeck.kind": "text",
        "limbeck.inputs": json.dumps([{"name": "input_ids"}, {"name": MASK}]),
        "limbeck.heads": json.dumps({head: {"kind": "generation", "names": list(names), "outputs": {}}}),
        "limbeck.text": json.dumps(text, ensure_ascii=False),
        "limbeck.writer": json.dumps({"decoder": checksum(decoder_of(path)), "search": search.to_json()}),
        "limbeck.user": json.dumps(dict(metadata or {}), ensure_ascii=False),
    }
    write_bytes(path, _bytes(encoder, facts))
    return path


def search_of(module: Seq2SeqNetwork, max_length: int, tokens: int) -> Search:
    """The greedy search that the network's own settings ask for; raises NotSupported where they ask for more."""
    from limbeck.models.text.decoding import FACTOR, MORE

    config = module.model.generation_config
    more = [
        f"{name}={value!r}" for name, off in _PLAIN.items() if (value := getattr(config, name, None)) not in (None, off)
    ]
    banned = [list(ids) for ids in getattr(config, "bad_words_ids", None) or []]
    if any(len(ids) != 1 for ids in banned):
        more.append("bad_words_ids of several tokens")
    if more:
        raise NotSupported(
            f"expected a network that writes by plain greedy search, its generation_config has {', '.join(more)}",
            "set them to their defaults in model.generation_config, or leave export.onnx at auto",
        )
    end = config.eos_token_id
    start = config.decoder_start_token_id
    return Search(
        start=int(module.model.config.decoder_start_token_id if start is None else start),
        end=tuple(end if isinstance(end, list | tuple) else [] if end is None else [end]),
        padding=module.padding,
        suppressed=tuple(sorted({ids[0] for ids in banned} | set(getattr(config, "suppress_tokens", None) or []))),
        first=config.forced_bos_token_id, last=config.forced_eos_token_id,
        max_length=min(max_length, module.encoder.max_length), factor=FACTOR, more=MORE, tokens=tokens,
    )  # fmt: skip


def _traced(module: Seq2SeqNetwork) -> tuple[Any, Any]:
    """Encoder and decoder as ONNX models with free batch and lengths."""
    import torch
    from transformers.modeling_outputs import BaseModelOutput

    model = module.model

    class Encoder(torch.nn.Module):
        """Hidden states [B, S, D] of sources."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
            hidden: Tensor = self.model.get_encoder()(input_ids=ids, attention_mask=mask).last_hidden_state
            return hidden

    class Decoder(torch.nn.Module):
        """Logits [B, V] of the token that follows the ids [B, T]."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, hidden: Tensor, mask: Tensor, ids: Tensor) -> Tensor:
            logits: Tensor = self.model(
                encoder_outputs=BaseModelOutput(hidden), attention_mask=mask, decoder_input_ids=ids, use_cache=False
            ).logits
            return logits[:, -1]

    batch, source, target = (torch.export.Dim(name) for name in ("batch", "source", "target"))
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 1, 0, 0, 0]])
    encoder, decoder = Encoder().eval(), Decoder().eval()
    with torch.no_grad():
        hidden = encoder(torch.zeros_like(mask), mask)
    there = {0: batch, 1: source}
    return (
        exported_by_torch(encoder, {"input_ids": torch.zeros_like(mask), MASK: mask}, (there, there), [HIDDEN]),
        exported_by_torch(
            decoder, {HIDDEN: hidden, MASK: mask, IDS: torch.zeros(3, 4, dtype=torch.long)},
            (there, there, {0: batch, 1: target}), [LOGITS],
        ),
    )  # fmt: skip


def _bytes(model: Any, facts: Mapping[str, str]) -> bytes:
    from onnx import checker

    for key, value in facts.items():
        model.metadata_props.add(key=key, value=value)
    model.ir_version = min(model.ir_version, 10)
    strip_notes(model.graph)
    refuse_bytes(model.ByteSize())
    checker.check_model(model)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def check_writer(path: str | Path, module: Seq2SeqNetwork, inputs: Any, *, tolerance: float) -> dict[str, Any]:
    """Compare what the exported files and the network write for raw rows; raises ChecksFailed (LB401).

    Logits may differ by `tolerance` times the larger of 1 and their size. A text that differs counts unless the
    network itself was undecided within that at the first token that differs.
    """
    import torch

    from limbeck.compress.onnx_model import OnnxStudent
    from limbeck.models.text.decoding import Decoding, write

    exported = OnnxStudent(path, threads=1)
    assert exported.decoder is not None and exported.texts is not None
    search = exported.decoder.search
    rows = torch.from_numpy(module.encoder.encode(inputs))
    how = Decoding(max_length=search.max_length, tokens=search.tokens)
    mine, theirs = write(module, rows, how), exported.predict(inputs)
    sources = exported.texts.rows(inputs)
    differ = [row for row, pair in enumerate(zip(mine, theirs, strict=True)) if pair[0] != pair[1]]
    undecided = sum(_undecided(module, sources[row], mine[row], theirs[row], tolerance) for row in differ)
    worst = _logits_apart(exported, module, sources[:_COMPARED], mine[:_COMPARED])
    found = {
        "difference": worst, "flips": len(differ) - undecided, "undecided": undecided, "decisions": len(mine)
    }  # fmt: skip
    if not worst <= tolerance or found["flips"]:
        raise ChecksFailed(
            f"LB401: expected the exported student to write what the student writes, {found['flips']} of {len(mine)} "
            f"texts differ, and logits by {worst:.2g} (allowed {tolerance:.0e})",
            "do not ship these files; leave export.onnx at auto, and load student/seed-N in transformers",
        )
    (head,) = exported.heads
    return {"held": True, "rows": len(mine), "tolerance": tolerance, "batches": [], "heads": {head: found}}


def _logits_apart(exported: Any, module: Seq2SeqNetwork, sources: Sequence[str], texts: Sequence[str]) -> float:
    """The largest difference of a logit behind the network's own texts, against the larger of 1 and its size."""
    import torch

    from limbeck.models.text.pairs import targets_of

    worst = 0.0
    for source, text in zip(sources, texts, strict=True):
        row = torch.from_numpy(module.encoder.pairs([source], [text]))
        with torch.no_grad():
            right = module(row)[0].numpy()
        ids = targets_of(row)[0].numpy()
        feeds = exported.texts.feeds([source])
        hidden = exported.session.run([HIDDEN], feeds)[0]
        given = np.concatenate([[[exported.decoder.search.start]], ids[:, :-1]], axis=1).astype(np.int64)
        found = exported.decoder.session.run([LOGITS], {HIDDEN: hidden, MASK: feeds[MASK], IDS: given})[0][0]
        apart = np.abs(found - right[-1]) / np.maximum(np.abs(right[-1]), 1.0)
        worst = max(worst, float(np.where(np.isnan(apart), np.inf, apart).max()))
    return worst


def _undecided(module: Seq2SeqNetwork, source: str, mine: str, theirs: str, tolerance: float) -> bool:
    """Whether the network hardly preferred its own token where two texts part."""
    import torch

    from limbeck.models.text.pairs import targets_of

    rows = [torch.from_numpy(module.encoder.pairs([source], [text])) for text in (mine, theirs)]
    ids = [targets_of(row)[0][0].tolist() for row in rows]
    at = next((place for place, pair in enumerate(zip(*ids, strict=False)) if pair[0] != pair[1]), None)
    if at is None:
        return False
    with torch.no_grad():
        logits = module(rows[0])[0, at].numpy()
    first, second = np.sort(logits)[-2:][::-1]
    return bool(first - second <= 4 * tolerance * max(abs(float(first)), 1.0))
