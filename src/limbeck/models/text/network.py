"""A model of transformers with its tokenizer as one network: encoded rows of tokens in, logits out.

One task on whole texts is the model's own head (`AutoModelForSequenceClassification`), so that what is saved loads in
`from_pretrained` and `pipeline`; several tasks share the encoder and have a linear head each.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.core.errors import ConfigError
from limbeck.models.text.tokens import TextEncoder, in_parts, mask_of, model_inputs, transformers, trimmed
from limbeck.signals import MAIN

PREFIX = "hf:"
HEADS = "heads.safetensors"
_PROBLEMS = {
    "classification": "single_label_classification",
    "multilabel": "multi_label_classification",
    "regression": "regression",
}


class Tokenised(nn.Module):
    """A network whose encoded rows are tokens; it carries the tokenizer that makes them."""

    encoder: TextEncoder
    out_sizes: dict[str, int]
    budget = 4096  # tokens of a part when rows are only answered, with their padding

    def mask(self, rows: Tensor) -> Tensor:
        """Where the rows that `forward` sees have tokens, bool [B, T]."""
        return mask_of(trimmed(rows))

    def parts(self, rows: Tensor) -> list[Tensor]:
        """Positions of rows of like length, at most `budget` tokens together."""
        return in_parts(rows, self.budget)

    def forward(self, rows: Tensor) -> Any:
        """Logits [B, C] of encoded rows [B, T], a mapping of them for several tasks."""
        return self.answers(trimmed(rows))

    def answers(self, rows: Tensor) -> Any:
        """What `forward` says, of rows that are trimmed; without steps that depend on values, so that it exports."""
        raise NotImplementedError

    def files(self, folder: Path, names: Mapping[str, tuple[str, ...]]) -> None:
        """Write what others load into a folder: weights, configuration, tokenizer."""
        raise NotImplementedError


class TextNetwork(Tokenised):
    """A model of transformers for one or several tasks on whole texts."""

    def __init__(self, model: nn.Module, encoder: TextEncoder, out_sizes: Mapping[str, int]) -> None:
        super().__init__()
        self.model: Any = model
        self.encoder = encoder
        self.out_sizes = dict(out_sizes)
        width = int(getattr(self.model.config, "hidden_size", 0) or getattr(self.model.config, "dim", 0))
        self.heads = nn.ModuleDict()
        if list(out_sizes) != [MAIN]:
            self.heads.update({name: nn.Linear(width, size) for name, size in out_sizes.items()})
        self._segments = int(getattr(self.model.config, "type_vocab_size", 0) or 0) > 1
        self._padding = int(getattr(self.model.config, "pad_token_id", None) or 0)

    @classmethod
    def pretrained(
        cls, where: str | Path, out_sizes: Mapping[str, int], kinds: Mapping[str, str] | None = None,
        max_length: int | None = None,
    ) -> TextNetwork:  # fmt: skip
        """A pretrained model of a folder or name with heads for the tasks; the heads are fresh where it has none.

        Raises ConfigError where transformers cannot load it.
        """
        package = transformers()
        single = list(out_sizes) == [MAIN]
        auto = package.AutoModelForSequenceClassification if single else package.AutoModel
        settings: dict[str, Any] = {}
        if single:
            settings = {"num_labels": out_sizes[MAIN], "ignore_mismatched_sizes": True}
            if kinds is not None:
                settings["problem_type"] = _PROBLEMS[kinds[MAIN]]
        with quiet():
            try:
                model = auto.from_pretrained(str(where), dtype=torch.float32, **settings)
            except (OSError, ValueError) as error:
                raise ConfigError(
                    f"expected a model that transformers loads at {where}, got: {str(error).splitlines()[0]}",
                    "give hf:FOLDER (with config.json and model.safetensors) or hf:NAME of the hub",
                ) from error
        return cls(model, TextEncoder.load(where, max_length), out_sizes)

    def answers(self, rows: Tensor) -> Tensor | dict[str, Tensor]:
        inputs = model_inputs(rows, self._segments, self._padding)
        if not len(self.heads):
            logits: Tensor = self.model(**inputs).logits
            return logits
        hidden = self.model(**inputs).last_hidden_state
        mask = inputs["attention_mask"].to(hidden.dtype)[..., None]
        pooled = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)
        return {name: head(pooled) for name, head in self.heads.items()}

    @property
    def tap_paths(self) -> dict[str, str]:
        """Taps by their short names: hidden.0 ... hidden.L, query.1, key.1, value.1 ..."""
        from limbeck.models.surgery.anatomy import tap_paths

        return {name: f"model.{path}" for name, path in tap_paths(self.model).items()}

    def files(self, folder: Path, names: Mapping[str, tuple[str, ...]]) -> None:
        """Write config.json, model.safetensors and the tokenizer, so that from_pretrained and pipeline load them."""
        if list(names) == [MAIN]:
            self.model.config.id2label = dict(enumerate(names[MAIN]))
            self.model.config.label2id = {name: number for number, name in enumerate(names[MAIN])}
        with quiet():
            self.model.save_pretrained(folder)
            self.encoder.tokenizer.save_pretrained(folder)
        if len(self.heads):
            from safetensors.torch import save_file

            save_file({name: value.contiguous() for name, value in self.heads.state_dict().items()}, folder / HEADS)


class quiet:
    """Keep the talk of transformers about fresh heads off the terminal; errors still raise."""

    def __enter__(self) -> None:
        logging = transformers().utils.logging
        self.level, self.bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
        logging.set_verbosity_error()
        logging.disable_progress_bar()

    def __exit__(self, *_: Any) -> None:
        logging = transformers().utils.logging
        logging.set_verbosity(self.level)
        if self.bar:
            logging.enable_progress_bar()


def _writes(folder: Path) -> bool:
    """Whether a folder of transformers holds an encoder-decoder that writes texts."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    made = str((config.get("architectures") or [""])[0])
    return bool(config.get("is_encoder_decoder")) and made.endswith(("ForConditionalGeneration", "MTModel"))


def text_from(folder: Path, out_sizes: Mapping[str, int], max_length: int) -> Tokenised:
    """A network of text as `files` wrote it."""
    from limbeck.models.text.seq2seq import Seq2SeqNetwork

    if _writes(folder):
        return Seq2SeqNetwork.pretrained(folder, next(iter(out_sizes)), max_length)
    made = TextNetwork.pretrained(folder, out_sizes, max_length=max_length)
    if len(made.heads):
        from safetensors.torch import load_file

        made.heads.load_state_dict(load_file(folder / HEADS))
    return made
