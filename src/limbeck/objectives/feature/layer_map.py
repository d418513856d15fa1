"""Which layer of the teacher a layer of the student learns from."""

from __future__ import annotations

from typing import Literal, TypeAlias

from limbeck.core.errors import ConfigError

How: TypeAlias = Literal["uniform", "last", "skip"]
HOW = ("uniform", "last", "skip")


def layer_map(student_layers: int, teacher_layers: int, how: How = "uniform") -> tuple[tuple[int, int], ...]:
    """Pairs (layer of the student, layer of the teacher), counted from 1, for S layers that learn from T.

    "uniform"  l T / S, half rounded up: evenly spread, the last layer learns from the last (TinyBERT)
    "last"     the last S layers of the teacher
    "skip"     every other layer from the second on: 2, 4, 6, ... (PKD-skip)

    PKD leaves the last pair out, since the outputs teach that layer: `layer_map(6, 12, "skip")[:-1]`.
    Raises ConfigError where the teacher has too few layers.
    """
    for side, layers in (("student", student_layers), ("teacher", teacher_layers)):
        if isinstance(layers, bool) or not isinstance(layers, int) or layers < 1:
            raise ConfigError(
                f"expected the {side} to have a whole number of layers >= 1, got {layers!r}",
                "count its transformer layers, without the embeddings",
            )
    if how not in HOW:
        raise ConfigError(
            f"expected one of {', '.join(repr(word) for word in HOW)} for `how`, got {how!r}",
            "'uniform' spreads the student's layers evenly over the teacher's",
        )
    least = 2 * student_layers if how == "skip" else student_layers
    if teacher_layers < least:
        raise ConfigError(
            f"expected a teacher of at least {least} layers for '{how}' with {student_layers} of the student, "
            f"got {teacher_layers}",
            "use 'uniform'"
            if how == "skip" and teacher_layers >= student_layers
            else "take a student with fewer layers",
        )
    return tuple(
        (layer, _partner(layer, student_layers, teacher_layers, how)) for layer in range(1, student_layers + 1)
    )


def _partner(layer: int, student_layers: int, teacher_layers: int, how: How) -> int:
    if how == "last":
        return teacher_layers - student_layers + layer
    if how == "skip":
        return 2 * layer
    return (2 * layer * teacher_layers + student_layers) // (2 * student_layers)  # in whole numbers: no 2.5 to round
