"""Students and teachers of sound by name: hf:FOLDER, hf:FOLDER | keep_layers(2), or keep_layers(2) of the teacher."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from torch import nn

from limbeck.core.errors import ConfigError
from limbeck.models.audio.pretrained import PretrainedSound, read, with_layers
from limbeck.models.fingerprint import module_hash, object_hash
from limbeck.models.outputs import LOGITS
from limbeck.models.student import Origin, Student
from limbeck.models.text.chain import Chain, base_name
from limbeck.models.text.steps import NAMES, KeepLayers

Untaught = Callable[[], Any]  # the run's teacher as a network, before it is taught


def sound_student(
    text: str, rate: int, names: Mapping[str, Sequence[str]], kinds: Mapping[str, str], in_shape: tuple[int, ...],
    teacher: Untaught | None, who: str,
) -> Student:  # fmt: skip
    """A chain of steps on an audio model of transformers as a student (or a network that is taught as a teacher).

    `names` are the classes of each task; heads of classes that the model does not know are drawn for each seed. Raises
    ConfigError for a step that models of sound do not have, and where there is no model to start from.
    """
    chain = Chain.parse(text)
    step = _only_layers(chain)
    if not names or not all(names.values()):
        raise ConfigError(
            "expected tasks with classes or characters for an audio model of transformers", "use audio_cnn"
        )
    by_frame = "transcription" in kinds.values()
    if by_frame and len(kinds) > 1:
        raise ConfigError(f"expected transcription to be the only task of {text}, got {', '.join(kinds)}",
                          "give it a run of its own")  # fmt: skip

    def done(network: PretrainedSound) -> PretrainedSound:
        return copy.deepcopy(network) if step is None or step.keep is None else with_layers(network, step.keep)

    def student(kind: str, make: Callable[[], nn.Module], origin: Origin) -> Student:
        sizes = {head: len(each) for head, each in names.items()}
        return Student(kind, make, str(chain), in_shape, sizes, kinds, LOGITS, origin=origin)

    if chain.base:
        folder = base_name(chain.base)

        def fresh() -> PretrainedSound:
            return done(read(folder, rate, names, in_shape, by_frame))  # heads are drawn anew

        look = cache(fresh)
        return student("pretrained", fresh, Origin(lambda: object_hash([str(chain), _known(look())]), look))
    if teacher is None:
        raise ConfigError(f"expected a model to make {text} of, got none", f"write hf:FOLDER | {text}")

    def base() -> PretrainedSound:
        found = teacher()
        if not isinstance(found, PretrainedSound):
            raise ConfigError(
                f"expected a teacher that is an audio model of transformers for the student {text}, got {who}",
                f"name what it is made of, hf:FOLDER | {text}; audio_cnn needs no such teacher",
            )
        return done(found)

    look = cache(base)
    look()  # what cannot be made is said before the teacher is taught

    def after(network: nn.Module) -> Callable[[], nn.Module]:
        assert isinstance(network, PretrainedSound)
        made = done(network)
        return lambda: copy.deepcopy(made)

    origin = Origin(lambda: object_hash([str(chain), _known(look())]), look, after)
    return student("derived", lambda: copy.deepcopy(look()), origin)


def _known(network: PretrainedSound) -> str:
    """A hash of the weights that are the same for every seed."""
    return module_hash(network.inside)


def _only_layers(chain: Chain) -> KeepLayers | None:
    for step in chain.steps:
        plain = isinstance(step, KeepLayers) and step.how == "uniform" and step.encoder is None and step.decoder is None
        if not plain:
            raise ConfigError(
                f"expected keep_layers(N) as the only step on an audio model, got {NAMES[type(step)]}"
                + ("" if not isinstance(step, KeepLayers) else " with settings of texts"),
                "for example hf:FOLDER | keep_layers(2), or a built-in student such as audio_cnn",
            )
    found = chain.steps[0] if chain.steps else None
    assert found is None or isinstance(found, KeepLayers)
    return found
