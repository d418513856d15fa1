"""The list of contracts and the one function that checks an objective against all of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from limbeck.objectives.base import Objective
from limbeck.testing import batching, numbers, partial, structure

Check: TypeAlias = Callable[[Objective], None]


@dataclass(frozen=True)
class Contract:
    """One promise: its name, and a check that raises AssertionError where it is broken."""

    name: str
    check: Check


CONTRACTS: tuple[Contract, ...] = (
    Contract("builds from its defaults", structure.builds_from_defaults),
    Contract("is a value", structure.is_a_value),
    Contract("asks for all it reads", structure.asks_for_all_it_reads),
    Contract("zero at equal", numbers.zero_at_equal),
    Contract("finite at extreme logits", numbers.finite_at_extremes),
    Contract("temperature scaling", numbers.temperature_scaling),
    Contract("shift invariance", numbers.shift_invariance),
    Contract("direction", numbers.direction),
    Contract("sum over classes", numbers.sum_over_classes),
    Contract("no gradient to the teacher", numbers.no_gradient_to_the_teacher),
    Contract("stored answers", numbers.stored_answers),
    Contract("top-k with k = C", numbers.topk_equals_dense),
    Contract("projected equals dense", numbers.projected_equals_dense),
    Contract("count ahead", batching.count_ahead),
    Contract("batch permutation", batching.permutation),
    Contract("row weights", batching.row_weights),
    Contract("masked positions", batching.masked_positions),
    Contract("padding length", batching.padding_length),
    Contract("padding side", batching.padding_side),
    Contract("micro-batches", batching.micro_batches),
    Contract("missing labels", batching.missing_labels),
    Contract("missing entries", partial.missing_entries),
    Contract("unequal widths", structure.unequal_widths),
    Contract("heads", structure.heads),
    Contract("keeps no state", structure.keeps_no_state),
    Contract("round trip", structure.round_trip),
    Contract("compiles", structure.compiles),
)


def contract_names() -> tuple[str, ...]:
    """The names of all contracts, in the order in which they are checked."""
    return tuple(contract.name for contract in CONTRACTS)


def failures(objective: Objective, only: Sequence[str] = ()) -> dict[str, str]:
    """The contracts that an objective breaks, with what was found; `only` checks some of them."""
    objective = _settled(objective)
    found = {}
    for contract in CONTRACTS:
        if only and contract.name not in only:
            continue
        try:
            contract.check(objective)
        except Exception as err:  # whatever a loss does wrong is a finding
            found[contract.name] = str(err) if isinstance(err, AssertionError) else f"{type(err).__name__}: {err}"
    return found


def check_objective(objective: Objective, only: Sequence[str] = ()) -> None:
    """Raise AssertionError that names every contract which the objective breaks, and what was found."""
    found = failures(objective, only)
    if found:
        lines = "\n".join(f"  {name}: {what}" for name, what in found.items())
        count = f"{len(found)} contract{'s' if len(found) > 1 else ''}"
        raise AssertionError(f"{objective.name} breaks {count}\n\n{lines}")


def _settled(objective: Objective) -> Objective:
    """An objective that can compute: a temperature that is still to be chosen becomes 2."""
    names = {field.name for field in dataclasses.fields(objective)}
    if "temperature" in names and getattr(objective, "temperature", None) == "auto":
        return dataclasses.replace(objective, temperature=2.0)  # type: ignore[call-arg]
    return objective
