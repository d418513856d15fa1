"""A model of transformers with its tokenizer as one network: encoded rows of tokens in, logits out.

One task on whole texts is the model's own head (`AutoModelForSequenceClassification`), so that what is saved loads in
`from_pretrained` and `pipeline`; several tasks share the encoder and have a linear head each.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.core.errors import ConfigError
from limbeck.models.text.chain import PREFIX as PREFIX
from limbeck.models.text.hub import where_from
from limbeck.models.text.tokens import BUDGET, TextEncoder, in_parts, mask_of, model_inputs, transformers, trimmed
from limbeck.signals import MAIN

HEADS = "heads.safetensors"
FOLDER = "give hf:FOLDER (with config.json and model.safetensors) or hf:NAME of the hub"
_COUNT_FROM_PADDING = ("roberta", "xlm-roberta", "camembert", "mpnet")
_PROBLEMS = {
    "classification": "single_label_classification",
    "multilabel": "multi_label_classification",
    "regression": "regression",
}


class Tokenised(nn.Module):
    """A network whose encoded rows are tokens; it carries the tokenizer that makes them."""

    encoder: TextEncoder
    out_sizes: dict[str, int]
    budget = BUDGET  # tokens of a part when rows are only answered, with their padding

    @property
    def graph_inputs(self) -> tuple[str, ...]:
        """What an exported graph takes beside `input_ids` and `attention_mask`: names in `tokens.BITS`."""
        return ()

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

    def graph_answers(self, rows: Tensor) -> Any:
        """What an exported graph says of rows: the answers."""
        return self.answers(rows)

    def files(self, folder: Path, names: Mapping[str, tuple[str, ...]]) -> None:
        """Write what others load into a folder: weights, configuration, tokenizer."""
        raise NotImplementedError

    def notes(self) -> dict[str, Any]:
        """What limbeck.json has to say so that it is built again, beside tasks and length."""
        return {}


class TextNetwork(Tokenised):
    """A model of transformers for one or several tasks on whole texts."""

    auto = "AutoModelForSequenceClassification"  # of one task
    tags: tuple[str, ...] = ()  # tasks that it answers for every word

    def __init__(self, model: nn.Module, encoder: TextEncoder, out_sizes: Mapping[str, int]) -> None:
        super().__init__()
        self.model: Any = model
        self.encoder = encoder
        self.out_sizes = dict(out_sizes)
        self.heads = nn.ModuleDict()
        if list(out_sizes) != [MAIN]:
            self.heads.update({name: nn.Linear(self.width, size) for name, size in out_sizes.items()})
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
        return cls.read(where, out_sizes, kinds, max_length)[0]

    @classmethod
    def read(
        cls, where: str | Path, out_sizes: Mapping[str, int], kinds: Mapping[str, str] | None = None,
        max_length: int | None = None,
    ) -> tuple[TextNetwork, tuple[str, ...]]:  # fmt: skip
        """As `pretrained`, with the names of the tensors that it did not bring."""
        single = list(out_sizes) == [MAIN]
        settings: dict[str, Any] = {}
        if single:
            settings = {"num_labels": out_sizes[MAIN], "ignore_mismatched_sizes": True}
            if kinds is not None and kinds[MAIN] in _PROBLEMS:
                settings["problem_type"] = _PROBLEMS[kinds[MAIN]]
        model, fresh = read_model(where, auto=cls.auto if single else "AutoModel", settings=settings)
        encoder = TextEncoder.load(where, max_length)
        most = positions_of(model.config)
        if most is not None and encoder.max_length > most:
            encoder = TextEncoder(encoder.tokenizer, most)
        if getattr(model.config, "pad_token_id", None) is None:  # a decoder finds the end of a row by it
            model.config.pad_token_id = next(iter(encoder.fillers), 0)
        made = cls.around(model, encoder, out_sizes, kinds)
        return made, (*sorted(f"model.{key}" for key in fresh), *(f"heads.{key}" for key in made.heads.state_dict()))

    @classmethod
    def around(
        cls, model: nn.Module, encoder: TextEncoder, out_sizes: Mapping[str, int], kinds: Mapping[str, str] | None
    ) -> TextNetwork:
        """The network around a model, for tasks of these kinds."""
        return cls(model, encoder, out_sizes)

    def over(self, model: nn.Module, encoder: TextEncoder) -> TextNetwork:
        """The same network over another model, with fresh heads where it has heads of its own."""
        return TextNetwork(model, encoder, self.out_sizes)

    @property
    def width(self) -> int:
        """Width of the hidden state."""
        return int(getattr(self.model.config, "hidden_size", 0) or getattr(self.model.config, "dim", 0))

    @property
    def positions(self) -> int | None:
        """How many tokens the model takes; None where nothing limits them."""
        return positions_of(self.model.config)

    def inputs_of(self, rows: Tensor) -> dict[str, Tensor]:
        """What the model takes, of trimmed rows."""
        return model_inputs(rows, self._segments, self._padding)

    @property
    def graph_inputs(self) -> tuple[str, ...]:
        """The segments, where the model tells them apart."""
        return ("token_type_ids",) if self._segments else ()

    def answers(self, rows: Tensor) -> Tensor | dict[str, Tensor]:
        inputs = self.inputs_of(rows)
        if not len(self.heads):
            logits: Tensor = self.model(**inputs).logits
            return logits
        pooled = self.mean_of(self.model(**inputs).last_hidden_state, inputs["attention_mask"])
        return {name: head(pooled) for name, head in self.heads.items()}

    @staticmethod
    def mean_of(hidden: Tensor, there: Tensor) -> Tensor:
        """The mean [B, D] of a hidden state [B, T, D] over the tokens that are there [B, T]."""
        mask = there.to(hidden.dtype)[..., None]
        return (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)

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

    def load_heads(self, folder: Path) -> None:
        """Read the heads beside the model."""
        from safetensors.torch import load_file

        self.heads.load_state_dict(load_file(folder / HEADS))


def positions_of(config: Any) -> int | None:
    """How many tokens a model with this config takes; None where nothing limits them."""
    found = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)
    if found is None or found < 1:
        return None
    # these count from the id of the padding on
    lost = int(config.pad_token_id or 0) + 1 if config.model_type in _COUNT_FROM_PADDING else 0
    return int(found) - lost


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


def text_from(folder: Path, out_sizes: Mapping[str, int], max_length: int, tags: Sequence[str] = ()) -> Tokenised:
    """A network of text as `files` wrote it; `tags` are its tasks of words."""
    from limbeck.models.text.seq2seq import Seq2SeqNetwork
    from limbeck.models.text.tagging import network_class

    if _writes(folder):
        return Seq2SeqNetwork.pretrained(folder, next(iter(out_sizes)), max_length)
    kinds = {name: "tagging" if name in tags else "classification" for name in out_sizes}
    made = network_class(kinds).pretrained(folder, out_sizes, kinds if tags else None, max_length)
    if len(made.heads):
        made.load_heads(folder)
    return made


def read_model(where: str | Path, *, auto: str, settings: Mapping[str, Any]) -> tuple[Any, set[str]]:
    """A model of transformers, loaded by its class `auto`, and the names of the tensors that it did not bring.

    Raises ConfigError where transformers cannot load it.
    """
    source = where_from(where, "a model of transformers", FOLDER)
    loader = getattr(transformers(), auto)
    with quiet():
        try:
            model, info = loader.from_pretrained(
                str(where), dtype=torch.float32, use_safetensors=True, output_loading_info=True, **source, **settings
            )
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"expected a model that transformers loads at {where}, got: {str(error).splitlines()[0]}",
                FOLDER,
            ) from error
    changed = {key if isinstance(key, str) else key[0] for key in info["mismatched_keys"]}
    # copied: what is read lies in the file's memory, where some sums come out otherwise in their last bit
    return copy.deepcopy(model), {*info["missing_keys"], *changed}
