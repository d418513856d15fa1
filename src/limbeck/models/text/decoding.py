"""Texts by a sequence-to-sequence network: sources of like length together, so that little is padding."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from limbeck.core.runtime import derive_seed, device_of, seeded
from limbeck.models.predict import answering
from limbeck.models.text.network import quiet
from limbeck.models.text.pairs import sources_of, targets_of
from limbeck.models.text.seq2seq import Seq2SeqNetwork
from limbeck.models.text.tokens import Array

FACTOR, MORE = 2, 16  # tokens of a text, at most: a network that has learned nothing yet never ends one


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """How a text is found: greedy, by beam search, or drawn at a temperature."""

    beams: int = 1
    temperature: float | None = None
    length_penalty: float = 1.0
    max_length: int = 128
    tokens: int = 8192


def write(network: Seq2SeqNetwork, rows: Tensor, how: Decoding, seed: int = 0) -> list[str]:
    """A text for the source of each row; `seed` decides what is drawn. Targets in the rows are not looked at."""
    texts = [""] * len(rows)
    device = device_of(network)
    with answering(network), quiet():
        for number, (places, ids, mask) in enumerate(_parts(network, rows, how)):
            with seeded(derive_seed("write", seed, number)):
                made = _generated(network, ids.to(device), mask.to(device), how)
            said = network.encoder.tokenizer.batch_decode(made, skip_special_tokens=True)
            for place, text in zip(places.tolist(), said, strict=True):
                texts[place] = text.strip()
    return texts


def _parts(network: Seq2SeqNetwork, rows: Tensor, how: Decoding) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Positions, ids and masks of sources of like length, long ones first, under the budget of tokens."""
    ids, mask = sources_of(rows, network.padding)
    lengths = mask.sum(1).clamp(min=1)
    order = lengths.argsort(descending=True, stable=True)
    start = 0
    while start < len(order):
        longest = int(lengths[order[start]])
        count = max(1, network.stride * how.tokens // (longest * how.beams))
        places = order[start : start + count]
        yield places, ids[places, :longest], mask[places, :longest]
        start += count


def _generated(network: Seq2SeqNetwork, ids: Tensor, mask: Tensor, how: Decoding) -> Tensor:
    drawn = how.temperature is not None
    most = min(how.max_length, network.encoder.max_length, FACTOR * ids.shape[1] // network.stride + MORE)
    settings = {
        "num_beams": how.beams, "do_sample": drawn, "temperature": how.temperature if drawn else None,
        "top_k": 0 if drawn else None, "top_p": None, "length_penalty": how.length_penalty,
        "early_stopping": how.beams > 1, "max_length": None, "max_new_tokens": most,
    }  # fmt: skip
    return network.generated(ids, mask, settings)


def mean_logprobs(network: Seq2SeqNetwork, rows: Tensor, tokens: int = 8192) -> Array:
    """Mean log-probability float32 [N] of the tokens of each row's target, its end token included."""
    made = np.zeros(len(rows), np.float32)
    lengths = (rows >= 0).sum(1).clamp(min=1)
    order = lengths.argsort(descending=True, stable=True)
    device, start = device_of(network), 0
    with answering(network):
        while start < len(order):
            places = order[start : start + max(1, network.stride * tokens // int(lengths[order[start]]))]
            part = rows[places].to(device)
            ids, mask = targets_of(part)
            said = network(part).float().log_softmax(-1).gather(-1, ids[..., None])[..., 0]
            mean = (said * mask).sum(1) / mask.sum(1).clamp(min=1)
            made[places.numpy()] = mean.cpu().numpy()
            start += len(places)
    return made


class Writing(nn.Module):
    """A network as what is run in use: sources in, token ids of its texts out; what its cost is measured on."""

    def __init__(self, network: Seq2SeqNetwork, how: Decoding) -> None:
        super().__init__()
        self.network = network
        self.how = how

    def forward(self, rows: Tensor) -> Tensor:
        """Token ids [B, T] of texts for the sources of rows."""
        ids, mask = sources_of(rows, self.network.padding)
        with quiet():
            return _generated(self.network, ids, mask, self.how)
