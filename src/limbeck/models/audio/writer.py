"""Whisper and its like as networks that write: clips are the sources, their samples travel as tokens do.

An encoded row holds the samples of a clip as whole numbers of 16 bits, then the tokens of its text (`pairs`): so that
everything that is done with sources and targets is done with clips, and nothing is lost of a file of 16 bits. The
features are made by the model's own extractor, where the network is asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xxhash
from torch import Tensor

from limbeck.core.errors import ConfigError
from limbeck.models.text.hub import where_from
from limbeck.models.text.network import quiet
from limbeck.models.text.pairs import PairEncoder
from limbeck.models.text.seq2seq import Seq2SeqNetwork
from limbeck.models.text.tokens import PADDING, Array, TextEncoder, transformers

TODO = "give hf:FOLDER with config.json, model.safetensors, the tokenizer and preprocessor_config.json"
_ZERO = 1 << 15  # the number of a sample of 0


class ClipPairs(PairEncoder):
    """A tokenizer for the texts, and the extractor whose features the clips become."""

    extractor: Any
    start: int  # the token that the decoder begins with; tokenizers put it in front of a text

    @property
    def rate(self) -> int:
        """The sampling rate that the model hears at."""
        return int(self.extractor.sampling_rate)

    def encode(self, inputs: Any) -> Array:
        """Clips of samples in [-1, 1] (NaN behind the end) as int32 [N, T], -1 where there is no sample."""
        clips = [np.asarray(clip, dtype=np.float32) for clip in inputs]
        clips = [clip[~np.isnan(clip)] for clip in clips]
        out = np.full((len(clips), max([1, *map(len, clips)])), PADDING, np.int32)
        for row, clip in enumerate(clips):
            out[row, : len(clip)] = np.clip(np.round(clip * _ZERO), -_ZERO, _ZERO - 1) + _ZERO
        return out

    def lengths(self, inputs: Any) -> Array:
        """Nothing of a clip is cut here: 0 for each."""
        return np.zeros(len(inputs), np.int64)

    def target_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokens of texts behind the one that the decoder begins with."""
        return [ids[1:] if ids[:1] == [self.start] else ids for ids in super().target_ids(texts)]

    @property
    def prefix(self) -> list[int]:
        """What stands in front of every text: the start, and where the model has them language and task."""
        ids = [int(i) for i in self.tokenizer("")["input_ids"]]
        end = self.tokenizer.eos_token_id
        return [self.start, *(i for i in ids if i not in (self.start, end))]

    @cached_property
    def fingerprint(self) -> str:
        """A hash of what decides the ids of a text and the features of a clip."""
        text = TextEncoder(self.tokenizer, self.max_length).fingerprint
        return xxhash.xxh3_128_hexdigest(f"{text}{self.max_length}{self.extractor.to_json_string()}".encode())


class WhisperNetwork(Seq2SeqNetwork):
    """A model of transformers that writes what is said in clips."""

    encoder: ClipPairs
    stride = 160  # samples that cost as much as a token of a text

    @classmethod
    def heard(cls, where: str | Path, head: str, max_length: int | None = None) -> WhisperNetwork:
        """A pretrained model of a folder or name; raises ConfigError for anything else."""
        package, source = transformers(), where_from(where, "a speech model of transformers", TODO)
        with quiet():
            try:
                model = package.AutoModelForSpeechSeq2Seq.from_pretrained(
                    str(where), dtype=torch.float32, use_safetensors=True, **source
                )
                extractor = package.AutoFeatureExtractor.from_pretrained(str(where), **source)
            except (OSError, ValueError) as error:
                raise ConfigError(
                    f"expected a speech model that transformers loads at {where}, got: {str(error).splitlines()[0]}",
                    TODO,
                ) from error
        encoder = ClipPairs.load(where, min(max_length or 128, int(model.config.max_target_positions) - 1))
        encoder.extractor, encoder.start = extractor, int(model.config.decoder_start_token_id)
        return cls(model, encoder, head)

    def heeded(self, sources: Tensor, there: Tensor) -> dict[str, Tensor]:
        clips = [
            (row[here].cpu().numpy() - _ZERO).astype(np.float32) / _ZERO
            for row, here in zip(sources, there, strict=True)
        ]
        clips = [clip if len(clip) else np.zeros(1, np.float32) for clip in clips]
        with torch.no_grad():
            made = self.encoder.extractor(clips, sampling_rate=self.encoder.rate, return_tensors="pt")
        return {"input_features": made["input_features"].to(sources.device)}

    def generated(self, sources: Tensor, there: Tensor, settings: Mapping[str, Any]) -> Tensor:
        prefix = torch.tensor([self.encoder.prefix], device=sources.device).expand(len(sources), -1)
        room = int(self.model.config.max_target_positions) - prefix.shape[1]
        given = dict(settings) | {"max_new_tokens": min(int(settings["max_new_tokens"]), room)}
        # Whisper's own generate cuts long recordings into windows and asks for time stamps
        made: Tensor = transformers().GenerationMixin.generate(
            self.model, **self.heeded(sources, there), decoder_input_ids=prefix, **given
        )
        return made

    def files(self, folder: Path, names: Mapping[str, tuple[str, ...]]) -> None:
        """Write model, tokenizer and extractor, so that AutoModelForSpeechSeq2Seq and AutoProcessor load them."""
        super().files(folder, names)
        with quiet():
            self.encoder.extractor.save_pretrained(folder)


def refuse_other_sources(encoder: Any, kind: str, rate: int, who: str) -> None:
    """Raise ConfigError where a network that writes takes other sources than the rows are, or clips at another rate."""
    hears = isinstance(encoder, ClipPairs)
    if hears != (kind == "audio"):
        wanted, got = ("clips of sound", f"rows of kind {kind}") if hears else ("texts", "clips of sound")
        raise ConfigError(
            f"expected {wanted} for the network {who}, got {got}",
            "for clips give hf:FOLDER of a Whisper model, for texts one of a Marian, BART or T5 model",
        )
    if hears and encoder.rate != rate:
        raise ConfigError(
            f"expected clips at {encoder.rate} Hz for {who}, they are at {rate} Hz",
            f"set sample_rate: {encoder.rate} under data (lb.Data(sample_rate={encoder.rate})): clips are resampled",
        )
