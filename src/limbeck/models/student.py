"""A student as a recipe knows it: a name, a factory or an instance; what it is built of.

A name ("mlp(hidden=[64])", "package.module:factory") or a factory is initialised per seed. An instance is copied,
and its weights count as pretrained.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.core.catalog import load_path
from limbeck.core.errors import ConfigError, LimbeckError
from limbeck.core.runtime import derive_seed, device_of, seeded
from limbeck.models import zoo
from limbeck.models.factory import caller
from limbeck.models.fingerprint import module_hash, object_hash
from limbeck.models.fit_check import check_fit, moved
from limbeck.models.keras_network import as_module
from limbeck.models.outputs import (
    AUTO,
    LOGITS,
    PROBABILITIES,
    AsLogits,
    check_output_kind,
    looks_like_probabilities,
    replace_module,
    strip_softmax,
    to_outputs,
)
from limbeck.models.predict import answering
from limbeck.models.text.chain import is_chain
from limbeck.models.text.ground import Ground
from limbeck.models.text.network import Tokenised
from limbeck.models.text.sentences import SentenceNetwork, is_sentence_transformer, is_sentences, refuse_kinds
from limbeck.models.text.subwords import Texts
from limbeck.models.text.tokens import TextEncoder

_PROBE_ROWS = 32


@dataclass(frozen=True)
class Bridge:
    """How probabilities become logits: final activations that are taken off for training, by path, and heads that are
    wrapped (the logarithm of what they return stands in).
    """

    paths: tuple[str, ...] = ()
    wrapped: tuple[str, ...] = ()

    def described(self) -> str:
        """In words for resolved.yaml; "" where the network gives logits."""
        parts = [f"{', '.join(self.paths)} taken off for training"] if self.paths else []
        parts += [f"logarithm of {', '.join(self.wrapped)}"] if self.wrapped else []
        return "; ".join(parts)


@dataclass(frozen=True)
class Origin:
    """What a student of text is made of, where making it is dear.

    `fingerprint` is a hash of that, `blank` a module of the same shapes to look at, `after` what makes the student of
    the run's teacher once that is taught.
    """

    fingerprint: Callable[[], str]
    blank: Callable[[], nn.Module]
    after: Callable[[nn.Module], Callable[[], nn.Module]] | None = None


@dataclass(frozen=True)
class Student:
    """How to make a student: `kind` is "name", "factory" or "instance"; of text also "pretrained" (a model of
    transformers), "derived" (made of one) or "text" (a small network with a tokenizer).
    """

    kind: str
    make: Callable[[], nn.Module]
    label: str
    in_shape: tuple[int, ...]
    out_sizes: Mapping[str, int]
    kinds: Mapping[str, str]
    output: str = AUTO
    instance: nn.Module | None = field(default=None, compare=False, repr=False)
    encoder: TextEncoder | None = field(default=None, compare=False, repr=False)
    origin: Origin | None = field(default=None, compare=False, repr=False)

    @classmethod
    def of(
        cls,
        what: Any,
        in_shape: tuple[int, ...],
        out_sizes: Mapping[str, int],
        *,
        kinds: Mapping[str, str] | None = None,
        output: str = AUTO,
        ground: Ground | None = None,
        texts: Texts | None = None,
    ) -> Student:
        """Take a zoo text, a chain of steps on text, an import path, a factory or a module.

        Raises ConfigError for anything else.

        A factory is called with in_shape and out_sizes where it names them. `output` says whether the network gives
        logits or probabilities; auto looks. `kinds` maps heads to kinds of task (classification where not given).
        `ground` has the training texts and the teacher that students of text are made from; `texts` gives all texts
        that a vocabulary of networks that write is learned from.
        """
        from limbeck.models.text.students import handed_in, sentence_student, text_student

        check_output_kind(output)
        in_shape = tuple(int(size) for size in in_shape)
        kinds = {head: (kinds or {}).get(head, "classification") for head in out_sizes}
        if isinstance(what, Student):
            return what
        if "generation" in kinds.values():
            from limbeck.models.text.written import written_by

            return written_by(what, kinds, texts, ground or Ground())
        if is_sentence_transformer(what):
            what = SentenceNetwork.of(what)
        what = as_module(what)
        chained = isinstance(what, str) and is_chain(what, tuple(zoo.ZOO))
        sentences = isinstance(what, SentenceNetwork) or (chained and is_sentences(what, kinds))
        if sentences or isinstance(what, Tokenised):
            refuse_kinds(what, kinds, sentences)
        if isinstance(what, Tokenised):
            return handed_in(what, out_sizes, kinds)
        if sentences:
            return sentence_student(what, out_sizes, kinds, ground or Ground())
        if chained:
            return text_student(what, out_sizes, kinds, ground or Ground())
        if isinstance(what, nn.Module):
            name = f"{type(what).__module__}:{type(what).__qualname__}"
            return cls("instance", lambda: copy.deepcopy(what), name, in_shape, out_sizes, kinds, output, what)
        if isinstance(what, str) and (":" not in what or zoo.is_zoo_name(what)):
            text = zoo.canonical(what)
            return cls("name", lambda: zoo.build(text, in_shape, out_sizes), text, in_shape, out_sizes, kinds, LOGITS)
        factory = load_path(what) if isinstance(what, str) else what
        if callable(factory):
            name = f"{getattr(what, '__module__', '?')}:{getattr(what, '__qualname__', type(what).__qualname__)}"
            label = what if isinstance(what, str) else name
            return cls("factory", caller(factory, in_shape, out_sizes), label, in_shape, out_sizes, kinds, output)
        raise ConfigError(
            f"expected a student as a name, a function that makes a module, or a module, got {type(what).__name__}",
            "for example student='mlp(hidden=[64, 32])', or a torch.nn.Module",
        )

    @property
    def pretrained(self) -> bool:
        """Whether the weights come with it: true for an instance, and for a model of text that is or was pretrained."""
        return self.kind in ("instance", "pretrained", "derived")

    @property
    def wants_teacher(self) -> bool:
        """Whether it is made of what the run's teacher has learnt: until then it has untaught weights."""
        return self.origin is not None and self.origin.after is not None

    @property
    def fine_tunes(self) -> bool:
        """Whether training changes a pretrained model of transformers, which wants small steps."""
        from limbeck.models.audio.pretrained import PretrainedSound
        from limbeck.models.text.students import fine_tunes

        if self.encoder is None and self.pretrained:
            return isinstance(self.blank(), PretrainedSound)
        return self.encoder is not None and fine_tunes(self.blank(), self.pretrained)

    def taught_by(self, network: nn.Module) -> Student:
        """The student made of a taught teacher; its name and fingerprint stay."""
        if self.origin is None or self.origin.after is None:
            return self
        return replace(self, make=self.origin.after(network))

    def blank(self) -> nn.Module:
        """A module to look at, of the same shapes as what `build` gives, without the work."""
        if self.instance is not None:
            return self.instance
        return self.origin.blank() if self.origin is not None else self.build(0)

    def build(self, seed: int) -> nn.Module:
        """A fresh module for a seed (an instance: its copy, the same for every seed), checked against the task.

        Raises ConfigError where a factory returns no module, ShapeMismatch where inputs or outputs do not fit.
        """
        from limbeck.models.text.tagging import refuse_whole_texts

        module = self._raw(seed)
        refuse_whole_texts(module, self.kinds, f"the student {self.label}")
        self.check(module)
        for path in self.bridge.paths:
            replace_module(module, path, nn.Identity())
        if not self.bridge.wrapped:
            return module
        kinds = {head: kind if head in self.bridge.wrapped else "regression" for head, kind in self.kinds.items()}
        return AsLogits(module, kinds)

    def check(self, module: nn.Module) -> None:
        """Refuse a module that does not fit the rows or the tasks; raises ShapeMismatch."""
        check_fit(
            module, self.in_shape, self.out_sizes, f"the student {self.label}", tokens=self.encoder is not None,
            masked=tuple(head for head, kind in self.kinds.items() if kind == "segmentation"),
        )  # fmt: skip

    def probe(self) -> Any:
        """Encoded rows to look at outputs with."""
        return _probe(self.in_shape)

    @cached_property
    def bridge(self) -> Bridge:
        """How the network's probabilities become logits, found with a probe batch."""
        # a sigmoid at the end of a regression bounds its values: it is part of the model
        on = [head for head, kind in self.kinds.items() if kind != "regression"]
        if self.output == LOGITS or not on:
            return Bridge()
        module = self._raw(0)
        probe = moved(self.probe(), device_of(module))
        heads = list(self.out_sizes)
        before = _outputs(module, probe, heads)
        paths = tuple(stripped.path for stripped in strip_softmax(module, probe, heads, on))
        after = _outputs(module, probe, heads)
        kept = [head for head in on if torch.equal(before[head], after[head])]
        said = self.output == PROBABILITIES
        return Bridge(paths, tuple(h for h in kept if said or looks_like_probabilities(after[h], self.kinds[h])))

    def finish(self, module: nn.Module) -> nn.Module:
        """The module as the user wrote it, in place: with its own final activations again."""
        module = module.inner if isinstance(module, AsLogits) else module
        whole = self._raw(0) if self.bridge.paths else module
        for path in self.bridge.paths:
            replace_module(module, path, whole.get_submodule(path))
        return module

    def _raw(self, seed: int) -> nn.Module:
        with seeded(derive_seed("init", seed)):
            try:
                module = self.make()
            except LimbeckError:
                raise
            except Exception as error:
                first = (str(error).splitlines() or [""])[0]
                raise ConfigError(
                    f"expected the student {self.label} to be made for inputs of shape {self.in_shape}, "
                    f"{type(error).__name__}: {first}",
                    "call the factory by itself to see where; in_shape and out_sizes are given to it where it names "
                    "them",
                ) from error
        module = as_module(module)
        if not isinstance(module, nn.Module):
            raise ConfigError(
                f"expected the student factory {self.label} to return a torch.nn.Module, got {type(module).__name__}",
                "return the module itself, not a class or a tuple",
            )
        return module

    def describe(self) -> dict[str, Any]:
        """What resolved.yaml says about the student."""
        module = self.blank()
        return {
            "kind": self.kind,
            "name": self.label,
            "parameters": count_parameters(module),
            "pretrained": self.pretrained,
            "probabilities": self.bridge.described(),
        }

    @property
    def fingerprint(self) -> str:
        """A hash of what it is: the text of a name, the weights that a factory or an instance gives."""
        parts: list[Any] = [self.kind, self.label, list(self.in_shape), dict(self.out_sizes)]
        if self.encoder is not None:
            parts.append(self.encoder.fingerprint)
        if self.origin is not None:
            parts.append(self.origin.fingerprint())
        elif self.kind != "name":
            module = self.instance if self.instance is not None else self.build(0)
            parts.append(module_hash(module))
        return object_hash(parts)


def count_parameters(module: nn.Module) -> int:
    """Number of parameters, shared ones once."""
    return sum(parameter.numel() for parameter in module.parameters())


def _probe(in_shape: tuple[int, ...]) -> Tensor:
    """Rows of very different size: on some of them logits leave the range of probabilities."""
    with seeded(derive_seed("probe", 0)):
        size = torch.logspace(-1, 3, _PROBE_ROWS).reshape(-1, *[1] * len(in_shape))
        return torch.randn((_PROBE_ROWS, *in_shape)) * size


def _outputs(module: nn.Module, probe: Any, heads: Sequence[str]) -> dict[str, Tensor]:
    with answering(module):
        return to_outputs(module(probe), heads)
