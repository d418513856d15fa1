"""A report as tables of text, made once from a scorecard; Markdown and HTML only set it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from limbeck.report.exported import int8_sentence, int8_table
from limbeck.report.slices import Cells, heard_table, noise_table, slice_tables
from limbeck.report.words import (
    ARMS,
    GRADES,
    NOTHING,
    ORDER,
    count,
    difference,
    duration,
    interval,
    light,
    metric_name,
    milliseconds,
    number,
    size,
    spoken,
    tested,
)


@dataclass(frozen=True)
class Table:
    """A table with a header; the first column is text, the others are numbers as text."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""


@dataclass(frozen=True)
class Section:
    """A heading with sentences and tables; `bars` are (label, value, low, high, text) for a small chart."""

    title: str
    text: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    bars: tuple[tuple[str, float, float, float, str], ...] = ()
    reliability: Mapping[str, Sequence[Mapping[str, float]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Page:
    """Everything that the report says, in its order."""

    title: str
    verdict: str
    light: str
    sentence: str
    sections: tuple[Section, ...]
    findings: tuple[Mapping[str, Any], ...]
    repeat: tuple[tuple[str, str], ...]


def page_of(scorecard: Mapping[str, Any], state: Mapping[str, Any] | None = None, resolved: str = "") -> Page:
    """Make the page of a scorecard; `state` is run.json, `resolved` the text of resolved.yaml."""
    sections: list[Section] = []
    several = len(scorecard["tasks"]) > 1
    costs = scorecard.get("costs") or {}
    for head, card in scorecard["tasks"].items():
        prefix = f"{head}: " if several else ""
        found = (
            _arms(card, costs), _sources(card), _fidelity(card), _classes(card),
            _told("What the teacher heard", heard_table(card)), _told("Slice by slice", slice_tables(card)),
            _told("In noise", noise_table(card)), _calibration(card), _examples(card),
        )  # fmt: skip
        for section in found:
            if section is not None:
                sections.append(
                    Section(prefix + section.title, section.text, section.tables, section.bars, section.reliability)
                )
    if scorecard.get("int8"):
        sections.append(_int8(scorecard["int8"]))
    if costs:
        sections.append(_costs(costs, _onnx_bytes(state or {})))
    return Page(
        title=scorecard.get("name") or "scorecard",
        verdict=scorecard["verdict"] or "no verdict",
        light=light(scorecard),
        sentence=scorecard["sentence"],
        sections=tuple(sections),
        findings=tuple(sorted(scorecard["findings"], key=lambda f: GRADES.index(f["grade"]))),
        repeat=_repeat(scorecard, state or {}, resolved),
    )


def _arms(card: Mapping[str, Any], costs: Mapping[str, Any]) -> Section:
    unit, chosen = card["metric"]["unit"], card["metric"]["name"]
    fidelity = (card.get("fidelity") or {}).get("arms", {})
    others = [m for m in card["arms"]["student"]["metrics"] if m != chosen]
    rows = []
    for arm in [a for a in ORDER if a in card["arms"]]:
        metrics = card["arms"][arm]["metrics"]
        agrees = fidelity.get(arm, {}).get("agreement")
        rows.append(
            (
                ARMS[arm],
                interval(metrics[chosen], unit),
                *(number(metrics[m]["value"], metrics[m]["unit"]) if m in metrics else NOTHING for m in others),
                interval(agrees),
                count((costs.get(arm) or {}).get("parameters")),
            )
        )
    trivial = card["trivial"]["metrics"]
    units = {m: card["arms"]["student"]["metrics"][m]["unit"] for m in others}
    rows.append(
        (
            ARMS["trivial"],
            number(trivial.get(chosen), unit),
            *(number(trivial.get(m), units[m]) for m in others),
            NOTHING,
            NOTHING,
        )
    )
    counts = card["counts"]
    facts = f"{tested(counts)}, {counts['seeds']} seeds."
    if counts.get("dropped_overlaps"):
        of = "sentences" if "sentences" in counts else "rows"
        facts += f" {count(counts['dropped_overlaps'])} test {of} also stood in training and were dropped."
    header = ("", metric_name(card), *(spoken(m) for m in others), "agrees with teacher", "parameters")
    lines = [f"Gain over the same student without a teacher: {interval(card['gain'], unit, signed=True)}."]
    kept = card.get("retention")
    if kept:
        ratio = f"Retention: {interval(kept['ratio'])} %. " if kept["ratio"] else ""
        lines.append(f"{ratio}Student minus teacher: {interval(kept['difference'], unit, signed=True)}.")
        good = card["as_good"]
        held = "holds" if good["held"] else "is not shown"
        lines.append(f"As good as the teacher within a margin of {number(good['margin'], unit)}: {held}.")
    if "folds" in counts:
        lines.append(
            f"Every row was answered by models of {counts['folds']} folds that had not seen it. What is shipped was "
            f"trained on all rows with the same settings; these numbers are the estimate for it. The intervals count "
            f"that training sets of folds overlap (Nadeau and Bengio 2003)."
        )
    caption = f"Means over seeds, with 95 % intervals in brackets. {facts}"
    return Section("Arms", tuple(lines), (Table(header, tuple(rows), caption),))


def _sources(card: Mapping[str, Any]) -> Section | None:
    found, unit = card.get("attribution"), card["metric"]["unit"]
    if not found:
        return None
    rows = tuple(
        (line["label"], number(line["value"], unit), interval(line["gain"], unit, signed=True))
        for line in found["table"]
    )
    bars = tuple(
        (line["label"], g["value"], g["low"], g["high"], difference(g["value"], unit))
        for line in found["table"]
        if (g := line["gain"]) and None not in g.values()
    )
    beyond = found.get("beyond_data")
    text = (
        f"Soft labels on top of the unlabelled rows with hard pseudo-labels: {interval(beyond, unit, signed=True)}."
        if beyond
        else ""
    )
    table = Table(("trained on", metric_name(card), "gain over hard labels only"), rows)
    return Section("Where the gain came from", (text,) if text else (), (table,), bars)


def _fidelity(card: Mapping[str, Any]) -> Section | None:
    found = card.get("fidelity")
    if not found:
        return None
    rows: list[tuple[str, ...]] = []
    names = {"both_right": "both right", "teacher_only": "teacher only", "student_only": "student only"}
    for arm in [a for a in ORDER if a in found["arms"]]:
        entry = found["arms"][arm]
        if "bleu" in entry:
            rows.append((ARMS[arm], interval(entry["agreement"]), number(entry["bleu"])))
            continue
        if "correlation" in entry:
            rows.append((ARMS[arm], f"{entry['correlation']:.3f}", f"{entry['rmse_to_teacher']:.4g}"))
            continue
        cells = tuple(count(entry["rows"][n]) for n in (*names, "both_wrong"))
        rows.append((ARMS[arm], interval(entry["agreement"]), interval(entry["kl"], unit=""), *cells))
    if not rows:
        return None
    header: tuple[str, ...] = ("", "correlation with the teacher", "RMSE to the teacher")
    if card["kind"] == "generation":
        header = ("", "the same text as the teacher", "BLEU against the teacher's texts")
    elif len(rows[0]) > len(header):  # answers are decisions, no numbers
        header = ("", "agreement", "KL to the teacher (nats)", *names.values(), "both wrong")
    known, text = card.get("knowledge"), []
    if known and not known["credited"]:
        text.append(f"A gain cannot be credited to the teacher's knowledge: {known['reason']}.")
    return Section("How like the teacher", tuple(text), (Table(header, tuple(rows)),))


def _classes(card: Mapping[str, Any], most: int = 30) -> Section | None:
    classes = card.get("classes") or []
    if not classes:
        return None
    rows = tuple(
        (c["name"], count(c["rows"]), *(number(c.get(arm)) for arm in ORDER[:3]), difference(c["damage"]))
        for c in classes[:most]
    )
    judged = "test words" if "sentences" in card["counts"] else "test rows"
    header = ("class", judged, "teacher", "distilled", "no teacher", "lost or won")
    caption = f"Recall in percent, worst loss first; {most} of {len(classes)} shown." if len(classes) > most else ""
    return Section("Class by class", (), (Table(header, rows, caption or "Recall in percent, worst loss first."),))


def _told(title: str, found: tuple[tuple[str, ...], list[Cells]]) -> Section | None:
    text, tables = found
    return Section(title, text, tuple(Table(*cells) for cells in tables)) if tables else None


def _calibration(card: Mapping[str, Any]) -> Section | None:
    found = card.get("calibration")
    if not found:
        return None
    rows = []
    for arm in [a for a in ORDER if found.get(a)]:
        for when in ("before", "after"):
            values = found[arm][when]
            if values:
                numbers: tuple[str, ...] = (number(values["ece"]), number(values["ece_equal_width"]))
                numbers += (f"{values['brier']:.3f}", f"{values['nll']:.3f}")
                rows.append((f"{ARMS[arm]}, {when} scaling" if when == "after" else ARMS[arm], *numbers))
    header: tuple[str, ...] = ("", "ECE % (15 bins, equal mass)", "ECE % (equal width)", "Brier", "NLL (nats)")
    scaled = any(found[arm]["after"] for arm in ORDER if found.get(arm))
    caption = (
        "The temperature is fitted on validation rows." if scaled else "Too few validation rows for a temperature."
    )
    curves = {ARMS[a]: found[a]["reliability"] for a in ("teacher", "student") if found.get(a)}
    return Section("Calibration", (), (Table(header, tuple(rows), caption),), (), curves)


def _examples(card: Mapping[str, Any]) -> Section | None:
    found = card.get("examples") or []
    if not found:
        return None
    names = [name for name in ("source", "reference", "teacher", "student", "control") if name in found[0]]
    rows = tuple(("", *(line[name] for name in names)) for line in found)
    header = ("", *(ARMS.get(name, name) for name in names))
    return Section("Examples", (), (Table(header, rows, "Test rows spread evenly; the first seed of each arm."),))


def _int8(found: Mapping[str, Any]) -> Section:
    if found["reason"]:
        return Section("Exported in int8", (f"{int8_sentence(found, '')}.",))
    several = len(found["tasks"]) > 1
    lines = tuple(f"{f'{head}: ' if several else ''}{int8_sentence(found, head)}." for head in found["tasks"])
    return Section("Exported in int8", lines, tuple(Table(*int8_table(found, head)) for head in found["tasks"]))


def _onnx_bytes(state: Mapping[str, Any]) -> float | None:
    """Bytes of the exported student, which is written after the scorecard."""
    exported: float | None = state.get("stages", {}).get("export", {}).get("facts", {}).get("onnx_bytes")
    return exported


def _costs(costs: Mapping[str, Any], exported: float | None) -> Section:
    rows = []
    for arm in [a for a in ORDER if costs.get(a)]:
        c = dict(costs[arm])
        if arm == "student" and c.get("onnx_bytes") is None:
            c["onnx_bytes"] = exported
        memory = None if c.get("inference_bytes") is None else c["inference_bytes"] + (c.get("state_bytes") or 0)
        rows.append(
            (
                ARMS[arm],
                count(c.get("parameters")),
                count(c.get("flops")),
                size(c.get("state_bytes")),
                size(c.get("onnx_bytes")),
                f"{milliseconds(c)} / {milliseconds(c, at='p95_ms')}",
                f"{milliseconds(c, 64)} / {milliseconds(c, 64, 'p95_ms')}",
                size(memory),
                duration(c.get("training_seconds")),
                count(c.get("training_steps")),
            )
        )
    header: tuple[str, ...] = (
        "",
        "parameters",
        "FLOPs a row",
        "weights",
        "ONNX",
        "p50 / p95, 1 row",
        "p50 / p95, 64 rows",
    )
    header += ("memory, 1 row", "training", "steps")
    caption = (
        "Latency with one thread after a warm-up; memory is weights and tensors; training over all seeds of an arm."
    )
    return Section("Costs", (), (Table(header, tuple(rows), caption),))


def _repeat(scorecard: Mapping[str, Any], state: Mapping[str, Any], resolved: str) -> tuple[tuple[str, str], ...]:
    facts: list[tuple[str, str]] = []
    if state.get("command"):
        facts.append(("command", " ".join(map(str, state["command"]))))
    facts.append(("seeds", ", ".join(map(str, scorecard.get("seeds") or [])) or NOTHING))
    for name in ("versions", "hardware", "fingerprints"):
        entry = state.get(name) or (scorecard.get("provenance") or {}).get(name)
        if entry:
            facts.append((name, ", ".join(f"{k} {v}" for k, v in entry.items())))
    if resolved:
        facts.append(("settings, as resolved", resolved))
    return tuple(facts)
