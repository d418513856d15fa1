"""Audio models of transformers as networks of sound: clips [B, N] in, logits of each clip or of each frame out.

A folder holds the model, its feature extractor and, of CTC, its tokenizer. What the model said before is kept where it
fits: the row of its head that spoke of a class (by `id2label`) or of a character (by the vocabulary, the padding being
the blank) starts the row of ours; the others are drawn.

Features of waves (Wav2Vec2, HuBERT, WavLM) are made in torch; those of other models (AST, Whisper) by their own
extractor, which no graph can hold. SpecAugment and layer drop of the model are switched off: they draw outside of the
run's seeds, and views do the like for teacher and student at once.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.core.errors import ConfigError, NotSupported
from limbeck.models.audio.front import trimmed
from limbeck.models.audio.network import FrameNet
from limbeck.models.net import Net
from limbeck.models.surgery.layers import layer_numbers
from limbeck.models.text.hub import where_from
from limbeck.models.text.network import quiet
from limbeck.models.text.tokens import transformers

TODO = "give hf:FOLDER with config.json, model.safetensors and preprocessor_config.json"
_BLANK = "<blank>"  # as the task of transcription calls its first class
_HEADS = ("lm_head", "classifier.dense", "classifier")  # the last linear of each family
_LAYERS = ("encoder.layers", "encoder.layer", "layers")
_DEPTHS = ("num_hidden_layers", "encoder_layers")
_EPS = 1e-7  # of the variance, as Wav2Vec2FeatureExtractor has it
_SAMPLES = 1 << 20


class PretrainedBody(nn.Module):
    """A model of transformers without its last linear: features [B, D] of clips, or [B, T, D] of their frames."""

    def __init__(self, model: nn.Module, extractor: Any, by_frame: bool) -> None:
        super().__init__()
        self.model: Any = model
        self.extractor, self.by_frame = extractor, by_frame
        self.rate = int(extractor.sampling_rate)
        self.waves = type(extractor).__name__ == "Wav2Vec2FeatureExtractor"
        self.least = self._least() if self.waves else 1

    @property
    def by_length(self) -> bool:
        """Whether an answer depends on the padding beside it: the group norm of some models runs over time."""
        return self.waves and getattr(self.model.config, "feat_extract_norm", "layer") == "group"

    def _least(self) -> int:
        """Samples of the shortest clip that has a frame."""
        size = 1
        for kernel, stride in zip(
            reversed(self.model.config.conv_kernel), reversed(self.model.config.conv_stride), strict=True
        ):
            size = (size - 1) * int(stride) + int(kernel)
        return size

    def frames(self, clips: Tensor) -> Tensor:
        """Frames [B] of clips [B, N]."""
        counted: Tensor = self._counted((~clips.isnan()).sum(1).clamp(min=self.least))
        return counted

    def _counted(self, samples: Any) -> Any:
        """Frames of so many samples: of a number, or of each of a tensor [B]."""
        for kernel, stride in zip(self.model.config.conv_kernel, self.model.config.conv_stride, strict=True):
            samples = (samples - int(kernel)) // int(stride) + 1
        return samples

    def mask(self, clips: Tensor) -> Tensor:
        """Which frames [B, T] of the answers belong to a clip."""
        widest = self._counted(self._long_enough(clips).shape[1])
        return torch.arange(widest, device=clips.device)[None] < self.frames(clips)[:, None]

    def _long_enough(self, clips: Tensor) -> Tensor:
        """Clips without columns that are all padding, wide enough for a frame."""
        if torch.compiler.is_exporting():  # no step may depend on values
            return nn.functional.pad(clips, (0, self.least), value=torch.nan)
        clips = trimmed(clips)
        return nn.functional.pad(clips, (0, max(self.least - clips.shape[1], 0)), value=torch.nan)

    def forward(self, clips: Tensor) -> Tensor:
        """Features of clips [B, N]."""
        features: Tensor = self.model(**(self._wave(clips) if self.waves else self._extracted(clips))).logits
        return features

    def _wave(self, clips: Tensor) -> dict[str, Tensor]:
        clips = self._long_enough(clips)
        there = ~clips.isnan()
        samples = torch.where(there, clips, 0.0)
        if self.extractor.do_normalize:
            count = there.sum(1, keepdim=True).clamp(min=1)
            centred = torch.where(there, samples - samples.sum(1, keepdim=True) / count, 0.0)
            samples = centred / (centred.square().sum(1, keepdim=True) / count + _EPS).sqrt()
        there = there | (torch.arange(clips.shape[1], device=clips.device) < self.least)
        return {"input_values": samples, "attention_mask": there.long()}

    def _extracted(self, clips: Tensor) -> dict[str, Tensor]:
        rows = [row[~row.isnan()].cpu().numpy() for row in clips]
        with torch.no_grad():
            made = self.extractor(rows, sampling_rate=self.rate, return_tensors="pt")
        return {name: made[name].to(clips.device) for name in ("input_values", "input_features") if name in made}


def refuse_graph(module: nn.Module) -> None:
    """Raise NotSupported for a network whose answers no graph gives: of a front end outside of torch, or by padding."""
    if not isinstance(module, PretrainedSound):
        return
    body = module.inside
    todo = "set onnx: false (onnx=False); a built-in student such as audio_cnn learns from this teacher and is exported"
    if not body.waves:
        raise NotSupported(
            f"expected a front end that a graph can hold, {type(body.extractor).__name__} runs outside of torch", todo
        )
    if body.by_length:
        raise NotSupported(
            f"expected answers that do not depend on padding, {type(body.model).__name__} has a group norm over time",
            todo,
        )


class PretrainedSound(FrameNet):
    """A `PretrainedBody` with a linear head for each task."""

    def __init__(
        self, body: PretrainedBody, features: int, out_sizes: Mapping[str, int], in_shape: Sequence[int]
    ) -> None:
        Net.__init__(self, body, features, out_sizes, "", tuple(in_shape))

    @property
    def inside(self) -> PretrainedBody:
        """The body."""
        assert isinstance(self.body, PretrainedBody)
        return self.body

    def parts(self, inputs: Tensor) -> Sequence[Tensor]:
        """Positions of rows of like length; of one length where the padding would be heard."""
        if not self.inside.by_length:
            return super().parts(inputs)
        lengths = (~inputs.isnan()).sum(1)
        found: list[Tensor] = []
        for length in sorted(set(lengths.tolist())):
            found += torch.split(torch.nonzero(lengths == length)[:, 0], max(1, _SAMPLES // max(int(length), 1)))
        return found

    def masks(self, inputs: Tensor) -> dict[str, Tensor]:
        """Which frames have an answer, bool [B, T], by task; nothing where a clip has one answer."""
        if not self.inside.by_frame:
            return {}
        return dict.fromkeys(self.out_sizes, self.inside.mask(inputs))

    def notes(self) -> dict[str, Any]:
        """What its config.json has to say so that it is built again."""
        body = self.inside
        return {
            "kind": "sound", "model": body.model.config.to_dict(), "extractor": body.extractor.to_dict(),
            "by_frame": body.by_frame, "in_shape": list(self.in_shape), "out_sizes": self.out_sizes,
        }  # fmt: skip


def auto_of(by_frame: bool) -> Any:
    """The class of transformers that loads a model for the task."""
    return getattr(transformers(), "AutoModelForCTC" if by_frame else "AutoModelForAudioClassification")


def read(
    where: str | Path, rate: int, names: Mapping[str, Sequence[str]], in_shape: Sequence[int], by_frame: bool
) -> PretrainedSound:
    """The model of a folder with heads for classes (or characters behind the blank) of these `names` by task.

    Raises ConfigError where transformers cannot load it, or where it hears at another sampling rate.
    """
    source = where_from(where, "an audio model of transformers", TODO)
    with quiet():
        try:
            extractor = transformers().AutoFeatureExtractor.from_pretrained(str(where), **source)
            model = auto_of(by_frame).from_pretrained(str(where), dtype=torch.float32, use_safetensors=True, **source)
        except (OSError, ValueError, KeyError) as error:
            raise ConfigError(
                f"expected an audio model and its feature extractor that transformers loads at {where}, got: "
                f"{(str(error).splitlines() or [type(error).__name__])[0]}",
                f"{TODO}; for a model that writes what it hears (Whisper) set task: generation" if by_frame else TODO,
            ) from error
    if int(extractor.sampling_rate) != rate:
        raise ConfigError(
            f"expected clips at {extractor.sampling_rate} Hz for hf:{where}, they are at {rate} Hz",
            f"set sample_rate: {extractor.sampling_rate} under data (lb.Data(sample_rate={extractor.sampling_rate})): "
            "clips are resampled",
        )
    known = _characters(where, source) if by_frame else {str(v): int(k) for k, v in model.config.id2label.items()}
    return _around(copy.deepcopy(model), extractor, names, in_shape, by_frame, known)


def _around(
    model: Any, extractor: Any, names: Mapping[str, Sequence[str]], in_shape: Sequence[int], by_frame: bool,
    known: Mapping[str, int],
) -> PretrainedSound:  # fmt: skip
    steady(model.config)
    place, last = _last(model)
    model.set_submodule(place, nn.Identity())
    body = PretrainedBody(model, extractor, by_frame)
    made = PretrainedSound(body, last.in_features, {head: len(n) for head, n in names.items()}, in_shape)
    for head, wanted in names.items():
        _start(made.head if isinstance(made.head, nn.Linear) else made.head[head], last, wanted, known)  # type: ignore[index]
    return made


def steady(config: Any) -> None:
    """Switch off what draws outside of the run's seeds."""
    for name, value in (("apply_spec_augment", False), ("layerdrop", 0.0), ("encoder_layerdrop", 0.0)):
        if hasattr(config, name):
            setattr(config, name, value)


def _last(model: Any) -> tuple[str, nn.Linear]:
    for place in _HEADS:
        try:
            found = model.get_submodule(place)
        except AttributeError:
            continue
        if isinstance(found, nn.Linear):
            return place, found
    raise NotSupported(
        f"expected a linear head at the end of {type(model).__name__}, found none under {', '.join(_HEADS)}",
        "hand the model in as a torch module that takes clips [B, N] and gives logits",
    )


def _start(head: Any, last: nn.Linear, names: Sequence[str], known: Mapping[str, int]) -> None:
    """Copy the rows of the model's own head that spoke of the same classes."""
    with torch.no_grad():
        for row, name in enumerate(names):
            own = next((known[form] for form in (name, name.upper(), name.lower()) if form in known), None)
            if own is not None and own < last.out_features:
                head.weight[row] = last.weight[own]
                if last.bias is not None:
                    head.bias[row] = last.bias[own]
                else:
                    head.bias[row] = 0.0


def _characters(where: str | Path, source: Mapping[str, Any]) -> dict[str, int]:
    """Ids of the model's characters, the blank and the space under the names that they have here; {} without them."""
    try:
        tokenizer = transformers().AutoTokenizer.from_pretrained(str(where), **source)
    except (OSError, ValueError, KeyError):
        return {}
    found = {str(sign): int(number) for sign, number in tokenizer.get_vocab().items()}
    between = getattr(tokenizer, "word_delimiter_token", None)
    if between in found:
        found[" "] = found[between]
    if tokenizer.pad_token_id is not None:
        found[_BLANK] = int(tokenizer.pad_token_id)
    return found


def with_layers(network: PretrainedSound, keep: int | Sequence[int]) -> PretrainedSound:
    """The same network with some of its layers and their weights; raises ConfigError for layers that are not there."""
    made = copy.deepcopy(network)
    model = made.inside.model
    base = getattr(model, model.base_model_prefix, model)
    place = next((p for p in _LAYERS if isinstance(_at(base, p), nn.ModuleList)), None)
    if place is None:
        raise NotSupported(
            f"expected layers under {', '.join(_LAYERS)} of {type(base).__name__}, found none",
            "name a built-in student, such as audio_cnn",
        )
    layers = _at(base, place)
    chosen = layer_numbers(keep, len(layers))
    base.set_submodule(place, nn.ModuleList([layers[number] for number in chosen]))
    for name in _DEPTHS:
        if hasattr(model.config, name):
            setattr(model.config, name, len(chosen))
    return made


def _at(module: nn.Module, place: str) -> Any:
    try:
        return module.get_submodule(place)
    except AttributeError:
        return None


def rebuilt(config: Mapping[str, Any]) -> PretrainedSound:
    """The architecture that `notes` described, with untaught weights."""
    hub = transformers()
    given = dict(config["model"])
    extractor = getattr(hub, config["extractor"]["feature_extractor_type"]).from_dict(dict(config["extractor"]))
    made = auto_of(config["by_frame"]).from_config(hub.AutoConfig.for_model(given.pop("model_type"), **given))
    names = {head: [""] * size for head, size in config["out_sizes"].items()}
    return _around(made, extractor, names, config["in_shape"], config["by_frame"], {})
