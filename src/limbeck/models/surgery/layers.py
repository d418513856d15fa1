"""Students with fewer layers: some of the teacher's layers are kept, with their weights.

    student = keep_layers(teacher, 6)                          # spread evenly, first and last kept
    student = keep_layers(teacher, [0, 2, 4])                  # these
    student = keep_layers(t5, encoder=6, decoder=2)

Layers are numbered from 0, as in model.encoder.layer[0]; the tap "hidden.1" is what layer 0 gives.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.core.errors import ConfigError, NotSupported
from limbeck.models.surgery.anatomy import Anatomy, Stack
from limbeck.models.surgery.probe import Tokens, decoder_mask, encoder_mask, watch
from limbeck.models.surgery.rebuild import M, rebuild

HOW = ("uniform", "first_last", "importance")
Keep = int | Sequence[int]


def keep_layers(
    model: M,
    keep: Keep | None = None,
    how: str = "uniform",
    *,
    encoder: Keep | None = None,
    decoder: Keep | None = None,
    batches: Iterable[Tokens] | None = None,
) -> M:
    """A new model with some of the layers of `model`, which stays as it is.

    `keep` is a number or the layer numbers themselves, `encoder` and `decoder` are the same for models that have both
    (one that is left out is kept whole). `how` chooses where a number is given: "uniform" spreads them, first and last
    kept; "first_last" takes them from both ends; "importance" takes those that change their input most over `batches`.
    Raises ConfigError for what cannot be kept, NotSupported for an unknown architecture.
    """
    if how not in HOW:
        raise ConfigError(f"expected how to be one of {', '.join(HOW)}, got {how!r}")
    anatomy = Anatomy.of(model)
    asked = _asked(anatomy, keep, encoder, decoder)
    if how == "importance" and batches is None and any(isinstance(want, int) for want in asked.values()):
        raise ConfigError("expected batches to measure the importance of layers, got none", "give batches=[...]")
    rows = list(batches) if batches is not None else []
    chosen: dict[str, list[int]] = {}
    for name, want in asked.items():
        scores = layer_importance(model, rows, name) if how == "importance" and isinstance(want, int) else None
        chosen[name] = _numbers(want, len(anatomy.stacks[name]), how, scores, name)
    return rebuild(model, _config(model, anatomy, chosen), _state(model, anatomy, chosen))


def layer_importance(model: nn.Module, batches: Iterable[Tokens], part: str = "") -> list[float]:
    """How much each layer changes what it is given: 1 - mean cosine similarity of input and output over valid tokens.

    `part` is "encoder" or "decoder" where a model has both. Raises ConfigError where there are no batches.
    """
    stacks = Anatomy.of(model).stacks
    part = part or next(iter(stacks))
    if part not in stacks:
        raise ConfigError(f"expected part to be one of {', '.join(stacks)}, got '{part}'")
    stack = stacks[part]
    total = [0.0] * len(stack)
    count = [0] * len(stack)

    def note(number: int) -> Any:
        def seen(given: Tensor, made: Tensor) -> None:
            cosine = torch.nn.functional.cosine_similarity(given.double(), made.double(), dim=-1)
            total[number] += float(cosine.sum())
            count[number] += len(cosine)

        return seen

    mask = decoder_mask if part == "decoder" and "encoder" in stacks else encoder_mask
    watch(model, batches, {layer.path: note(n) for n, layer in enumerate(stack.layers)}, mask)
    return [1 - similar / max(tokens, 1) for similar, tokens in zip(total, count, strict=True)]


def uniform(count: int, of: int) -> list[int]:
    """`count` layer numbers spread over `of`, first and last among them (the first alone for one)."""
    if count == 1:
        return [0]
    return [round(n * (of - 1) / (count - 1)) for n in range(count)]


def _asked(anatomy: Anatomy, keep: Keep | None, encoder: Keep | None, decoder: Keep | None) -> dict[str, Keep]:
    given = {name: want for name, want in (("encoder", encoder), ("decoder", decoder)) if want is not None}
    stacks = anatomy.stacks
    if keep is not None and (given or len(stacks) > 1):
        raise ConfigError(
            f"expected keep alone for a model with one stack of layers, got a {anatomy.kind} with "
            f"{' and '.join(stacks)}{' and ' + ', '.join(f'{n}=' for n in given) if given else ''}",
            f"say it for each: {', '.join(f'{name}=...' for name in stacks)}",
        )
    if keep is not None:
        given = {next(iter(stacks)): keep}
    if not given:
        raise ConfigError("expected layers to keep, got none", "give their number or a list of layer numbers")
    if missing := [name for name in given if name not in stacks]:
        raise ConfigError(f"expected layers of the {next(iter(stacks))} of a {anatomy.kind}, got {missing[0]}=")
    return given


def layer_numbers(keep: Keep, depth: int, name: str = "encoder") -> list[int]:
    """Which of `depth` layers stay: these, or so many spread evenly; raises ConfigError for what cannot be kept."""
    return _numbers(keep, depth, "uniform", None, name)


def _numbers(want: Keep, depth: int, how: str, scores: list[float] | None, name: str) -> list[int]:
    if isinstance(want, int) and not isinstance(want, bool):
        if not 1 <= want <= depth:
            raise ConfigError(f"expected 1 to {depth} layers of the {name} to keep, got {want}")
        if scores is not None:
            return sorted(sorted(range(depth), key=lambda n: -scores[n])[:want])
        if how == "first_last":
            return sorted({*range((want + 1) // 2), *range(depth - want // 2, depth)})
        return uniform(want, depth)
    numbers = list(want) if isinstance(want, Sequence) else []
    inside = bool(numbers) and all(type(n) is int and 0 <= n < depth for n in numbers)
    if not inside or numbers != sorted(set(numbers)):
        raise ConfigError(
            f"expected layer numbers of the {name} from 0 to {depth - 1} in ascending order, got {want!r}",
            "for example [0, 2, 4]: layers keep their order",
        )
    return numbers


def _config(model: nn.Module, anatomy: Anatomy, chosen: dict[str, list[int]]) -> Any:
    config = copy.deepcopy(model.config)
    loose: Any = config
    if anatomy.encoder is not None and anatomy.decoder is not None:
        # T5 without a decoder's depth takes the encoder's: say both
        for stack in anatomy.stacks.values():
            setattr(loose, stack.spec.depth, len(stack))
    for name, numbers in chosen.items():
        setattr(loose, anatomy.stacks[name].spec.depth, len(numbers))
    kinds = getattr(loose, "layer_types", None)
    if kinds and len(anatomy.stacks) == 1:
        loose.layer_types = [kinds[n] for n in next(iter(chosen.values()))]
    if getattr(loose, "scale_attn_by_inverse_layer_idx", False):
        raise NotSupported(
            "expected attention that does not depend on the layer's number, the config has "
            "scale_attn_by_inverse_layer_idx=True",
            "such layers cannot move to another place",
        )
    return config


def _state(model: nn.Module, anatomy: Anatomy, chosen: dict[str, list[int]]) -> dict[str, Tensor]:
    """The tensors of the new model: those of the kept layers under their new numbers."""
    state = dict(model.state_dict())
    for name, numbers in chosen.items():
        stack = anatomy.stacks[name]
        own = {key: state.pop(key) for key in list(state) if key.startswith(f"{stack.path}.")}
        for new, old in enumerate(numbers):
            state |= _moved(own, f"{stack.path}.{old}.", f"{stack.path}.{new}.")
        state |= _first_only(own, stack)
    return state


def _moved(own: dict[str, Tensor], old: str, new: str) -> dict[str, Tensor]:
    return {new + key.removeprefix(old): value for key, value in own.items() if key.startswith(old)}


def _first_only(own: dict[str, Tensor], stack: Stack) -> dict[str, Tensor]:
    prefixes = [f"{stack.path}.0.{part}." for part in stack.spec.first_only]
    return {key: value for key, value in own.items() if any(key.startswith(prefix) for prefix in prefixes)}
