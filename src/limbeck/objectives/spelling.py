"""An objective as text and back: `0.1 * CE + 0.9 * KD(temperature=4)`.

The text is the same as in Python, parentheses after a name may be left out. It is parsed with `ast` and never
evaluated: names are looked up in the catalog, fields take plain values. A name with a colon, my_package.module:MyLoss,
is a loss of one's own; term(my_package.module:function) wraps a function.
"""

from __future__ import annotations

import ast
import dataclasses
import io
import sys
import tokenize
from collections.abc import Mapping
from typing import Any

from limbeck.core.catalog import load_path
from limbeck.core.errors import ConfigError, LimbeckError, Problem
from limbeck.core.kinds import describe, fits, hints, required, suggest
from limbeck.objectives import objectives
from limbeck.objectives.base import FunctionTerm, Objective, Ramp, Sum, Term, as_sum

COLON = "colon__"  # stands for ":" in an import path, which is no Python expression
EXAMPLE = "0.1 * CE + 0.9 * KD(temperature=4)"
_TWO = "expected a weight before a term, got two terms"

# words of other libraries, and what they are here
WORDS = {
    "alpha": (
        "there is no 'alpha': the word means the teacher's weight in some libraries and the labels' in others",
        f"weights stand in the sum, before the term they weigh: {EXAMPLE}",
    ),
    "weight": ("weights are no fields", f"they stand in the sum, before the term they weigh: {EXAMPLE}"),
    "T": ("unknown field", "it is spelt temperature"),
    "tau": ("unknown field", "it is spelt temperature"),
    "reduction": ("unknown field", "every loss is a mean over rows of a sum over classes"),
}


def parse(text: str) -> Sum:
    """The sum that a text spells; raises ConfigError with all problems at once."""
    if not isinstance(text, str) or not text.strip():
        raise ConfigError(f"expected an objective as text, got {text!r}", f"for example {EXAMPLE}")
    try:
        tree = ast.parse(_without_colons(text.strip()), mode="eval")
    except (SyntaxError, tokenize.TokenError, ValueError) as err:
        where = Problem("objective", f"cannot read '{text}': {getattr(err, 'msg', err)}", f"for example {EXAMPLE}")
        raise ConfigError.of([where], "the objective") from None
    reader = _Reader()
    terms = reader.sum(tree.body)
    if reader.problems:
        raise ConfigError.of(reader.problems, "the objective")
    return Sum(tuple(terms))


def dump(objective: Objective | Sum) -> str:
    """The text of an objective, with the fields that have not their default; `parse` gives an equal one back.

    Raises ConfigError for a class or function that cannot be imported again (a lambda, something local).
    """
    return " + ".join(_weight(term.weight) + _spell(term.objective) for term in as_sum(objective))


class _Reader:
    """Walks the syntax tree and gathers problems; a part that is wrong is left out."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def note(self, where: str, what: str, todo: str = "") -> None:
        self.problems.append(Problem(where, what, todo))

    def sum(self, node: ast.expr) -> list[Term]:
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            return self.sum(node.left) + self.sum(node.right)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            return self.product(node)
        if isinstance(node, ast.BinOp):
            sign = "-" if isinstance(node.op, ast.Sub) else "another sign"
            self.note("objective", f"expected terms joined by + and *, got {sign}", f"for example {EXAMPLE}")
            return self.sum(node.left) + self.sum(node.right) if isinstance(node.op, ast.Sub) else []
        if isinstance(node, ast.UnaryOp):
            self.note(_text(node), "expected a weight >= 0, got a sign", "losses are added, never taken away")
            return []
        made = self.objective(node)
        return [] if made is None else [Term(1.0, made)]

    def product(self, node: ast.BinOp) -> list[Term]:
        first, second = (node.left, node.right) if _is_weight(node.left) else (node.right, node.left)
        if not _is_weight(first):
            words = [side.id for side in (node.left, node.right) if isinstance(side, ast.Name)]
            strange = next((word for word in words if word not in objectives), None)
            what = f"expected a number as a weight, got '{strange}'" if strange else _TWO
            self.note(_text(node), what, WORDS["alpha"][1] if strange == "alpha" else f"for example {EXAMPLE}")
            return []
        weight, terms = self.weight(first), self.sum(second)
        if weight is None or not terms:
            return []
        try:
            return list((weight * Sum(tuple(terms))).terms)
        except ConfigError as err:
            self.note(_text(node), err.what, err.todo)
            return []

    def weight(self, node: ast.expr) -> float | Ramp | None:
        if isinstance(node, ast.Call):
            return self.ramp(node)
        value = _literal(node)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return value
        self.note(_text(node), "expected a number as a weight")
        return None

    def ramp(self, node: ast.Call) -> Ramp | None:
        given = dict(zip(("start", "end"), node.args, strict=False))
        for keyword in node.keywords:
            if keyword.arg is None or keyword.arg not in ("start", "end", "until", "begin"):
                near = suggest(keyword.arg or "", ("start", "end", "until", "begin"))
                self.note(f"ramp.{keyword.arg}", "unknown field", near or "a ramp has start, end, until and begin")
                return None
            given[keyword.arg] = keyword.value
        values = {name: _literal(value) for name, value in given.items()}
        numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values.values())
        if len(node.args) > 2 or not {"start", "end"} <= values.keys() or not numbers:
            self.note(_text(node), "expected numbers in a ramp", "for example ramp(0, 0.9, until=0.2) * KD")
            return None
        try:
            return Ramp(**values)
        except ConfigError as err:
            self.note(_text(node), err.what, err.todo)
            return None

    def objective(self, node: ast.expr) -> Objective | None:
        call = node if isinstance(node, ast.Call) else None
        name = _path(call.func if call else node)
        if name is None:
            self.note("objective", f"expected the name of a loss, got '{_text(node)}'", f"for example {EXAMPLE}")
            return None
        if name == "term" and call:
            return self.function(call)
        if ":" not in name and name not in objectives:
            known = f"known: {', '.join(objectives)}; or my_package.module:MyLoss"
            near = suggest(name, objectives)
            self.note("objective", f"expected the name of a loss, got '{name}'", f"{near} {known}" if near else known)
            return None
        try:
            cls = objectives.load(name)
        except LimbeckError as err:
            self.note("objective", err.what, err.todo)
            return None
        if not (isinstance(cls, type) and issubclass(cls, Objective)):
            self.note(
                "objective", f"expected '{name}' to be an objective, got {type(cls).__name__}", _function_hint(cls)
            )
            return None
        return self.made(cls, name, call)

    def made(self, cls: type[Objective], name: str, call: ast.Call | None) -> Objective | None:
        before = len(self.problems)
        if call and call.args:
            self.note(name, f"expected fields by name, got '{_text(call.args[0])}'", f"write {name}(field=value)")
        values = self.fields(cls, name, call.keywords if call else [])
        for field in dataclasses.fields(cls):
            if required(field) and field.name not in {k.arg for k in (call.keywords if call else [])}:
                self.note(f"{name}.{field.name}", "this field is missing", _wanted(name, field.name, hints(cls)))
        if len(self.problems) > before:
            return None
        try:
            return cls(**values)
        except ConfigError as err:
            for problem in err.problems or (Problem("", err.what, err.todo),):
                self.note(f"{name}.{problem.where}".rstrip("."), problem.what, problem.todo)
            return None

    def fields(self, cls: type[Objective], name: str, keywords: list[ast.keyword]) -> dict[str, Any]:
        known, values = hints(cls), {}
        for keyword in keywords:
            if keyword.arg is None or keyword.arg not in known:
                self.note(f"{name}.{keyword.arg or '**'}", *_unknown(keyword.arg or "**", known))
                continue
            raw = _literal(keyword.value)
            right, value = fits(known[keyword.arg], raw) if raw is not _NO_VALUE else (False, None)
            if not right:
                wanted = describe(known[keyword.arg])
                self.note(f"{name}.{keyword.arg}", f"expected {wanted}, got {_text(keyword.value)}")
                continue
            values[keyword.arg] = value
        return values

    def function(self, call: ast.Call) -> Objective | None:
        path = _path(call.args[0]) if len(call.args) == 1 else None
        on = {str(k.arg): _literal(k.value) for k in call.keywords}
        if (
            path is None
            or ":" not in path
            or not on.keys() <= {"on"}
            or not all(isinstance(v, str) for v in on.values())
        ):
            self.note(_text(call), "expected one function in term()", "write term(my_package.module:function)")
            return None
        try:
            fn = load_path(path)
        except LimbeckError as err:
            self.note("objective", err.what, err.todo)
            return None
        if not callable(fn):
            self.note("objective", f"expected a function at '{path}', got {type(fn).__name__}")
            return None
        return FunctionTerm(fn=fn, **on)


_NO_VALUE = object()


def _unknown(name: str, known: Mapping[str, Any]) -> tuple[str, str]:
    if name in WORDS and name not in known:
        return WORDS[name]
    return "unknown field", suggest(name, known) or f"known here: {', '.join(sorted(known))}"


def _wanted(name: str, field: str, known: Mapping[str, Any]) -> str:
    if field == "pair":
        return f"for example {name}(pair=('tap of the student', 'tap of the teacher'))"
    if field in ("layers", "pairs"):
        both = "1, 3" if "int" in str(known[field]) else "'hidden.1', 'hidden.3'"
        return f"for example {name}({field}={f'({both})' if field == 'layers' else f'(({both}),)'}), student's first"
    return f"it takes {describe(known[field])}"


def _function_hint(value: object) -> str:
    return "wrap a function: term(my_package.module:function)" if callable(value) else "name a class of losses"


def _is_weight(node: ast.expr) -> bool:
    if isinstance(node, ast.Call):
        return _path(node.func) == "ramp"
    return _literal(node) is not _NO_VALUE and not isinstance(node, ast.Name)


def _literal(node: ast.expr) -> Any:
    """A plain value: number, text, true or false, null, a tuple or list of them, or the bare word auto."""
    if isinstance(node, ast.Name) and node.id == "auto":
        return "auto"
    if isinstance(node, ast.Tuple | ast.List):
        return [_literal(entry) for entry in node.elts]
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError):
        return _NO_VALUE


def _path(node: ast.expr) -> str | None:
    """The name or import path that a node spells."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    return ".".join([node.id, *reversed(parts)]).replace(f".{COLON}.", ":")


def _without_colons(text: str) -> str:
    """The text with `package.module:Name` written as attributes, which is Python."""
    tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    spots = [
        now.start
        for before, now, after in zip(tokens, tokens[1:], tokens[2:], strict=False)
        if now.string == ":" and before.type == after.type == tokenize.NAME
    ]
    lines = text.splitlines(keepends=True)
    for row, column in reversed(spots):
        line = lines[row - 1]
        lines[row - 1] = f"{line[:column]}.{COLON}.{line[column + 1 :]}"
    return " ".join("".join(lines).split("\n"))


def _text(node: ast.expr) -> str:
    return ast.unparse(node).replace(f".{COLON}.", ":")


def _weight(weight: float | Ramp) -> str:
    if isinstance(weight, Ramp):
        begin = f", begin={weight.begin!r}" if weight.begin else ""
        return f"ramp({weight.start!r}, {weight.end!r}, until={weight.until!r}{begin}) * "
    if weight == 1:
        return ""
    return f"{int(weight) if float(weight).is_integer() else float(weight)!r} * "


def _spell(objective: Objective) -> str:
    if isinstance(objective, FunctionTerm):
        on = "" if objective.on == FunctionTerm.on else f", on={objective.on!r}"
        return f"term({_import_path(objective.fn)}{on})"
    given = []
    for field in dataclasses.fields(objective):
        value = getattr(objective, field.name)
        if required(field) or value != field.default:
            given.append(f"{field.name}={'auto' if value == 'auto' else repr(value)}")
    return _name(type(objective)) + (f"({', '.join(given)})" if given else "")


def _name(cls: type[Objective]) -> str:
    name = cls.__name__
    target = f"{cls.__module__}:{name}"
    if objectives.builtin.get(name) == target:
        return name
    entry = objectives.entries().get(name)  # looks through all installed packages
    return name if entry is not None and entry.target == target else _import_path(cls)


def _import_path(value: Any) -> str:
    module, name = getattr(value, "__module__", ""), getattr(value, "__qualname__", "")
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is not value:
        raise ConfigError(
            f"expected a loss that can be imported again, got {module}:{name}",
            "define the class or function at the top level of a module, without lambda",
        )
    return f"{module}:{name}"
