"""Whether a module fits: it takes the rows of the data and answers as wide as the tasks are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from limbeck.core.errors import ConfigError, LimbeckError, ShapeMismatch
from limbeck.models.outputs import check_pixels, check_width, to_outputs
from limbeck.models.predict import answering


def moved(rows: Any, device: Any) -> Any:
    """Encoded rows, a mapping of parts or one tensor, on a device."""
    return {name: part.to(device) for name, part in rows.items()} if isinstance(rows, Mapping) else rows.to(device)


def check_fit(
    module: nn.Module, in_shape: tuple[int, ...], out_sizes: Mapping[str, int], who: str, *, tokens: bool = False,
    masked: Sequence[str] = (),
) -> None:  # fmt: skip
    """Run two rows of zeros (token 0) through a module and refuse it where its widths are not those of the tasks.

    Heads that are `masked` must have scores for every pixel.
    """
    if not in_shape:  # rows of text have no shape of their own
        raise ConfigError(
            f"expected a network that takes text, got {who}, which takes numbers",
            "give one that brings a tokenizer, such as hf:FOLDER",
        )
    parameter = next(module.parameters(), None)
    device = parameter.device if parameter is not None else None
    probe = torch.zeros((2, *in_shape), device=device, dtype=torch.int32 if tokens else torch.float32)
    what, fits = f"inputs of shape {in_shape}", f"{in_shape} (without the batch)"
    for head, output in check_answers(module, probe, out_sizes, who, what, fits).items():
        if head in masked:
            check_pixels(output, in_shape[-2:], head, who)


def check_answers(
    module: nn.Module, probe: Any, out_sizes: Mapping[str, int], who: str, what: str, fits: str = "them"
) -> dict[str, Any]:
    """The answers of a module to a probe; refused where it fails or its widths are not those of the tasks."""
    parameter = next(module.parameters(), None)
    with answering(module):
        try:
            raw = module(probe if parameter is None else moved(probe, parameter.device))
        except LimbeckError:
            raise
        except Exception as error:
            first_line = (str(error).splitlines() or [type(error).__name__])[0]
            raise ShapeMismatch(
                f"expected {who} to take {what}, it fails on them: {first_line}",
                f"make its first layer fit {fits}, or change the preprocessing",
            ) from error
    answers = dict(to_outputs(raw, list(out_sizes)))
    for head, output in answers.items():
        if out_sizes[head]:  # 0: as wide as the vocabulary
            check_width(output, out_sizes[head], head, who)
    return answers
