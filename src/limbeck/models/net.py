"""The shape of every built-in network: a body that makes features, and a linear head for each task."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from limbeck.signals import MAIN

Shape = tuple[int, ...]


class Net(nn.Module):
    """A body and one linear head for each task; `spec`, `in_shape` and `out_sizes` are enough to build it again."""

    def __init__(
        self, body: nn.Module, features: int, out_sizes: Mapping[str, int], spec: str, in_shape: Shape
    ) -> None:
        super().__init__()
        self.body = body
        if list(out_sizes) == [MAIN]:
            self.head: nn.Module = nn.Linear(features, out_sizes[MAIN])
        else:
            self.head = nn.ModuleDict({name: nn.Linear(features, size) for name, size in out_sizes.items()})
        self.spec = spec
        self.in_shape = tuple(in_shape)
        self.out_sizes = dict(out_sizes)

    def forward(self, inputs: Tensor) -> Tensor | dict[str, Tensor]:
        """Logits [B, C] for one task, a dict of them for several."""
        features = self.body(inputs)
        if isinstance(self.head, nn.ModuleDict):
            return {name: head(features) for name, head in self.head.items()}
        logits: Tensor = self.head(features)
        return logits
