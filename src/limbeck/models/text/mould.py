"""A network of text to take copies of: what it brought stays, what no checkpoint gave is drawn anew for each copy.

Models of a folder are read once a process; describing, fingerprinting and building a student each take a copy.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from limbeck.core.runtime import derive_seed, seeded
from limbeck.models.text.network import Tokenised
from limbeck.models.text.sentences import SentenceNetwork
from limbeck.models.text.seq2seq import Seq2SeqNetwork
from limbeck.models.text.tagging import network_class

_KEPT = 2  # models in memory
_read: OrderedDict[Any, Mould] = OrderedDict()


@dataclass(frozen=True)
class Mould:
    """A network and the names of its tensors that are fresh."""

    network: Tokenised
    fresh: tuple[str, ...] = ()

    def cast(self) -> Tokenised:
        """A copy in training mode, its fresh tensors drawn from torch's random stream."""
        made = copy.deepcopy(self.network)
        for owner in dict.fromkeys(name.rpartition(".")[0] for name in self.fresh):
            _draw(made, owner, [name for name in self.fresh if name.rpartition(".")[0] == owner])
        return made.train()


def pretrained(where: str, out_sizes: Mapping[str, int], kinds: Mapping[str, str]) -> Mould:
    """The model of a folder or name with heads for the tasks, read once for as long as its files are the same.

    Raises ConfigError where transformers cannot load it.
    """

    def read() -> Mould:
        with seeded(derive_seed("mould", 0)):  # the heads that it draws: a fingerprint must not depend on them
            network, fresh = network_class(kinds).read(where, out_sizes, kinds)
        return Mould(network.eval(), fresh)

    return _once((where, _state_of(where), tuple(out_sizes.items()), tuple(kinds.items())), read)


def pretrained_sentences(where: str) -> Mould:
    """The sentence network of a folder or name, read once; raises ConfigError where it cannot be loaded."""
    return _once((where, _state_of(where), SentenceNetwork), lambda: Mould(SentenceNetwork.load(where).eval()))


def pretrained_writer(where: str, head: str) -> Mould:
    """The encoder-decoder of a folder or name, read once; raises ConfigError where it cannot be loaded."""
    key = (where, _state_of(where), head, Seq2SeqNetwork)
    return _once(key, lambda: Mould(Seq2SeqNetwork.pretrained(where, head).eval()))


def _once(key: Any, read: Callable[[], Mould]) -> Mould:
    if key not in _read:
        _read[key] = read()
    _read.move_to_end(key)
    while len(_read) > _KEPT:
        _read.popitem(last=False)
    return _read[key]


def _state_of(where: str) -> tuple[Any, ...]:
    """What tells the files of a folder from others; nothing for a name of the hub."""
    folder = Path(where)
    if not folder.is_dir():
        return ()
    files = sorted(path for path in folder.rglob("*") if path.is_file())  # sentence-transformers have folders in it
    return tuple((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files)


def _draw(network: nn.Module, owner: str, names: list[str]) -> None:
    """Initialise tensors of one submodule as its model does, the others of that submodule stay."""
    module = network.get_submodule(owner)
    own = {f"{owner}.{name}" if owner else name: value for name, value in module.named_parameters(recurse=False)}
    before = {name: value.detach().clone() for name, value in own.items() if name not in names}
    for value in own.values():
        vars(value).pop("_is_hf_initialized", None)  # transformers leaves alone what it believes to be loaded
    vars(module).pop("_is_hf_initialized", None)
    model: Any = getattr(network, "model", None)
    if owner.startswith("model.") and hasattr(model, "_init_weights"):
        model._init_weights(module)
    else:
        reset: Any = module
        reset.reset_parameters()
    for name, kept in before.items():
        own[name].data.copy_(kept)
