"""An encoder-decoder of transformers as a network over rows that hold a source and, for training, its target.

`forward` runs with teacher forcing: logits [B, T, V], the one at position i for token i of the target, given the source
and the target before it; T is that of the longest target of the batch. `mask` says which positions are real.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
import xxhash
from torch import Tensor

from limbeck.core.errors import ConfigError
from limbeck.core.kinds import suggest
from limbeck.models.text.hub import where_from
from limbeck.models.text.network import FOLDER, Tokenised, quiet
from limbeck.models.text.pairs import PairEncoder, sources_of, targets_of
from limbeck.models.text.subwords import SubWords, Texts
from limbeck.models.text.tokens import transformers

NAME = "seq2seq"
SPEECH = ("whisper",)  # types of transformers whose sources are clips


class Seq2SeqNetwork(Tokenised):
    """A model of transformers that writes texts, with its tokenizer."""

    encoder: PairEncoder
    stride = 1  # tokens of a row that cost as much as one of a text

    def __init__(self, model: Any, encoder: PairEncoder, head: str) -> None:
        super().__init__()
        self.model = model
        self.encoder = encoder
        self.out_sizes = {head: 0}
        self.padding = int(model.config.pad_token_id or 0)

    @classmethod
    def pretrained(cls, where: str | Path, head: str, max_length: int | None = None) -> Seq2SeqNetwork:
        """A pretrained encoder-decoder of a folder or name; raises ConfigError for anything else."""
        package, source = transformers(), where_from(where, "a model of transformers", FOLDER)
        with quiet():
            try:
                config = package.AutoConfig.from_pretrained(str(where), **source)
                if config.model_type in SPEECH:
                    from limbeck.models.audio.writer import WhisperNetwork

                    return WhisperNetwork.heard(where, head, max_length)
                if not getattr(config, "is_encoder_decoder", False):
                    raise ConfigError(
                        f"expected a model that writes texts (encoder and decoder), got {config.model_type} at {where}",
                        "give a sequence-to-sequence model, such as hf:FOLDER of a Marian, BART or T5 model, or "
                        f"{NAME}() to train one from scratch",
                    )
                model = package.AutoModelForSeq2SeqLM.from_pretrained(
                    str(where), dtype=torch.float32, use_safetensors=True, **source
                )
            except (OSError, ValueError) as error:
                raise ConfigError(
                    f"expected a model that transformers loads at {where}, got: {str(error).splitlines()[0]}",
                    FOLDER,
                ) from error
        return cls(model, PairEncoder.load(where, max_length), head)

    def mask(self, rows: Tensor) -> Tensor:
        """Where the targets of rows have tokens, bool [B, T]: the positions of the logits."""
        return targets_of(rows)[1]

    def parts(self, rows: Tensor) -> list[Tensor]:
        """One part: logits of parts would differ in their number of positions."""
        return []

    def forward(self, rows: Tensor) -> Tensor:
        """Logits [B, T, V]; sources and targets are each cut to their longest, wherever the padding stands."""
        return self.answers(rows)

    def answers(self, rows: Tensor) -> Tensor:
        sources, there = sources_of(rows, self.padding)
        targets, _ = targets_of(rows, self.padding)
        logits: Tensor = self.model(
            **self.heeded(sources, there), decoder_input_ids=self._shifted(targets), use_cache=False
        ).logits
        return logits

    def heeded(self, sources: Tensor, there: Tensor) -> dict[str, Tensor]:
        """What the encoder takes, of the tokens int64 [B, S] of sources and where they are."""
        return {"input_ids": sources, "attention_mask": there.long()}

    def generated(self, sources: Tensor, there: Tensor, settings: Mapping[str, Any]) -> Tensor:
        """Token ids [B, T] of texts for sources, with the `settings` of transformers' generate."""
        made: Tensor = self.model.generate(**self.heeded(sources, there), **settings)
        return made

    def _shifted(self, targets: Tensor) -> Tensor:
        """What the decoder reads: its start token, then the target without its last token."""
        own = getattr(self.model, "prepare_decoder_input_ids_from_labels", None)
        if own is not None:
            shifted: Tensor = own(labels=targets)
            return shifted
        start = torch.full_like(targets[:, :1], int(self.model.config.decoder_start_token_id))
        return torch.cat([start, targets[:, :-1]], 1)

    def write(self, sources: Sequence[str], beams: int = 1, max_length: int = 128) -> list[str]:
        """A text for each source: greedy, or the best of a beam search."""
        from limbeck.models.text.decoding import Decoding, write

        rows = torch.from_numpy(self.encoder.encode(list(sources)))
        return write(self, rows, Decoding(beams=beams, max_length=max_length))

    @property
    def vocabulary(self) -> str:
        """A hash of the tokens that the logits stand for, in their order: what two models must share to be compared."""
        return vocabulary_of(self.encoder)

    def files(self, folder: Path, names: Mapping[str, tuple[str, ...]]) -> None:
        """Write config.json, model.safetensors and the tokenizer, so that AutoModelForSeq2SeqLM loads them."""
        with quiet():
            self.model.save_pretrained(folder)
            self.encoder.tokenizer.save_pretrained(folder)


def vocabulary_of(encoder: PairEncoder) -> str:
    """A hash of the tokens of a tokenizer by id."""
    held = sorted(encoder.tokenizer.get_vocab().items(), key=lambda item: item[1])
    return xxhash.xxh3_128_hexdigest(repr(held).encode())


@dataclass(frozen=True)
class Seq2SeqSpec:
    """A small encoder-decoder that is trained from scratch: the layers of Pegasus, which norms before each part.

    `vocabulary` sub-words are learned from the training texts, lower-cased where `lower` says so; `tokenizer` is a
    folder or name whose tokenizer is taken instead (that of a pretrained teacher, say). Input and output embeddings
    are one matrix.
    """

    d_model: int = 128
    layers: int = 3
    decoder_layers: int = 0  # 0: as many as `layers`
    heads: int = 4
    ffn: int = 512
    vocabulary: int = 6000
    lower: bool = False
    dropout: float = 0.1
    max_length: int = 128
    tokenizer: str = ""

    def __post_init__(self) -> None:
        if self.d_model < 1 or self.heads < 1 or self.d_model % self.heads or self.d_model % 2:
            raise ConfigError(
                f"expected an even d_model that is a multiple of heads, got {self.d_model} and {self.heads}",
                "128 and 4 are the defaults",
            )
        if self.layers < 1 or self.decoder_layers < 0 or self.ffn < 1 or self.max_length < 2:
            raise ConfigError(
                f"expected layers and ffn of at least 1 and a max_length of at least 2, got layers={self.layers}, "
                f"decoder_layers={self.decoder_layers}, ffn={self.ffn} and max_length={self.max_length}"
            )
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"expected a dropout of at least 0 and below 1, got {self.dropout}")

    @classmethod
    def parse(cls, text: str) -> Seq2SeqSpec:
        """From "seq2seq(d_model=128, layers=3)", parsed and never evaluated; raises ConfigError."""
        try:
            node = ast.parse(text.strip(), mode="eval").body
            call = node if isinstance(node, ast.Call) else ast.Call(node, [], [])
            assert isinstance(call.func, ast.Name) and call.func.id == NAME and not call.args
            given = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords}
        except (SyntaxError, ValueError, AssertionError) as error:
            raise ConfigError(
                f"expected {NAME}(d_model=128, layers=3, ...) with settings by name, got {text}",
                f"the settings are {', '.join(field.name for field in fields(cls))}",
            ) from error
        known = {field.name: field.default for field in fields(cls)}
        for name, value in given.items():
            if name not in known:
                near = suggest(name, known)
                raise ConfigError(f"expected a setting of {NAME}, got '{name}'", near or f"it has {', '.join(known)}")
            wanted = type(known[name])
            if type(value) is not wanted and not (wanted is float and type(value) is int):
                raise ConfigError(f"expected {name} of {NAME} to be of type {wanted.__name__}, got {value!r}")
        return cls(**given)

    @property
    def text(self) -> str:
        """The shortest name that means it."""
        changed = [f"{f.name}={getattr(self, f.name)!r}" for f in fields(self) if getattr(self, f.name) != f.default]
        return f"{NAME}({', '.join(changed)})"

    def encoder(self, texts: Texts | None) -> PairEncoder:
        """Its tokenizer, learned from the texts; raises ConfigError where neither texts nor `tokenizer` are there."""
        if self.tokenizer:
            return PairEncoder.load(self.tokenizer.removeprefix("hf:"), self.max_length)
        if texts is None:
            raise ConfigError(
                f"expected training texts to learn the vocabulary of {self.text} from, got rows without texts",
                "give columns of texts, or name a tokenizer with tokenizer='FOLDER'",
            )
        learned = SubWords(self.vocabulary, self.lower).learn(texts(), self.max_length)
        return PairEncoder(learned, self.max_length)

    def build(self, encoder: PairEncoder, head: str) -> Seq2SeqNetwork:
        """A fresh network; its weights come from torch's generator."""
        package, tokenizer = transformers(), encoder.tokenizer
        padding = int(tokenizer.pad_token_id or 0)
        config = package.PegasusConfig(
            vocab_size=len(tokenizer), d_model=self.d_model, encoder_layers=self.layers,
            decoder_layers=self.decoder_layers or self.layers, encoder_attention_heads=self.heads,
            decoder_attention_heads=self.heads, encoder_ffn_dim=self.ffn, decoder_ffn_dim=self.ffn,
            dropout=self.dropout, attention_dropout=0.0, activation_dropout=0.0, activation_function="relu",
            pad_token_id=padding, eos_token_id=int(tokenizer.eos_token_id), decoder_start_token_id=padding,
            bos_token_id=padding, forced_eos_token_id=None, scale_embedding=True, init_std=self.d_model**-0.5,
            max_position_embeddings=self.max_length + 2,
        )  # fmt: skip
        model = package.PegasusForConditionalGeneration(config)
        with torch.no_grad():
            for module in model.modules():  # embeddings as wide as they are deep, linears as torch makes them
                if isinstance(module, torch.nn.Linear) and module is not model.lm_head:
                    torch.nn.init.xavier_uniform_(module.weight)
        return Seq2SeqNetwork(model, encoder, head)
