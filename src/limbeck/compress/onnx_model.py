"""Run an exported student: raw rows in, classes, labels or values out; NumPy and onnxruntime, no torch.

A student of text reads the folder `tokenizer` beside its file and needs the package tokenizers, no transformers.

student = OnnxStudent("student.onnx")
student.predict(table)          # class names, 0/1 labels or values
student.predict_proba(table)    # probabilities [N, C]
student.embed(texts)            # embeddings [N, D], of a student that was trained on them
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from scipy.special import expit, softmax

from limbeck.compress.onnx_masks import MASKS, at_once, by_pixel, in_values
from limbeck.compress.onnx_parts import PartRows
from limbeck.compress.onnx_rows import array_feed, clip_rows, table_feeds, text_rows
from limbeck.compress.onnx_text import Texts
from limbeck.compress.onnx_words import by_row
from limbeck.compress.onnx_writer import OnnxDecoder
from limbeck.core.errors import ConfigError, StoreDamaged
from limbeck.data.embedded import EMBEDDED, pair_cosines
from limbeck.data.tasks import task_from_spec

Array: TypeAlias = np.ndarray[Any, Any]
BATCH = 1024
RAW = {"regression": "value", "similarity": "embedding", "retrieval": "embedding"}  # else logits
CHANCES: dict[str, Any] = {
    "classification": lambda logits: softmax(logits, axis=-1),
    "multilabel": expit,
}  # of raw answers


def raw_role(facts: Mapping[str, Any]) -> str:
    """The output of a head that holds its answers as the network gives them."""
    return "answer" if "answer" in facts["outputs"] else RAW.get(facts["kind"], "logits")


class OnnxStudent:
    """A student read from an ONNX file that limbeck wrote; the file says itself what goes in and what comes out.

    `threads` is the number of threads of onnxruntime, 0 for all cores. Raises ConfigError for files that limbeck did
    not write, StoreDamaged for unreadable ones, and refuses files that point at data outside themselves.
    """

    def __init__(self, path: str | Path, threads: int = 0) -> None:
        import onnxruntime as ort

        self.path = Path(path)
        data = _checked_bytes(self.path)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        try:
            self.session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as e:
            raise StoreDamaged(f"expected a model that onnxruntime can run at {path}, got: {e}", "export again") from e
        found = self.session.get_modelmeta().custom_metadata_map
        if "limbeck.heads" not in found:
            raise ConfigError(
                f"expected a student that limbeck exported at {path}, its metadata is missing",
                "run other ONNX files with onnxruntime directly",
            )
        self.inputs: list[dict[str, Any]] = json.loads(found["limbeck.inputs"])
        self.heads: dict[str, dict[str, Any]] = json.loads(found["limbeck.heads"])
        self.user: dict[str, Any] = json.loads(found["limbeck.user"])
        self.version, self.kind = found["limbeck.version"], found["limbeck.kind"]
        names = [facts["name"] for facts in self.inputs]
        self.texts = Texts.beside(self.path, found["limbeck.text"], names) if self.kind == "text" else None
        self.parts: PartRows | None = None
        if self.kind == "parts":
            about = json.loads(found["limbeck.parts"])
            self.parts = PartRows.of(self.path, about, self.inputs, found.get("limbeck.text"))
        writer = found.get("limbeck.writer")
        self.decoder = OnnxDecoder(self.path, writer, threads) if writer is not None else None

    def predict(self, inputs: Any, head: str | None = None) -> Any:
        """Class names [N], 0/1 labels [N, L] or values [N, K] ([N] where K is 1) for raw rows.

        Of a task of words a list of tags for each row, one for each of its words, O where the row was cut; texts are
        split into words (`limbeck.data.words`). Of masks [N, H, W], in the numbers of the training masks. Of similarity
        the score [N] of the two texts of a row, in the units of the training scores; of retrieval their cosine [N]. Of
        a student that writes a text for each row.
        """
        name, facts = self._head(head)
        if self.decoder is not None:
            return self._written(inputs)
        if facts["kind"] == MASKS:
            return in_values(task_from_spec(facts["task"]), self.run(inputs, [facts["outputs"]["label"]])[0])
        if "task" in facts:
            return task_from_spec(facts["task"]).predict(self._said(inputs, {name: "answer"}, BATCH)[name])
        if facts["kind"] in EMBEDDED:
            low, high = facts.get("low", 0.0), facts.get("high", 1.0)  # the scores of a cosine of 0 and of 1
            return np.asarray(low + pair_cosines(self._pairs(inputs, BATCH)) * (high - low))
        if facts["kind"] == "tagging":
            tags = np.array(facts["names"], dtype=object)
            return [tags[ids].tolist() for ids in self._said(inputs, {name: "label"}, BATCH)[name]]
        if facts["kind"] == "regression":
            values = self.run(inputs, [facts["outputs"]["value"]])[0]
            return np.asarray(values[:, 0] if values.shape[1] == 1 else values)
        label = self.run(inputs, [facts["outputs"]["label"]])[0]
        return _values(facts["names"])[label] if facts["kind"] == "classification" else label

    def predict_proba(self, inputs: Any, head: str | None = None) -> Any:
        """Probabilities [N, C] for raw rows, in the order of the names of the head; of words [W, C] for each row, of
        masks [N, C, H, W].
        """
        name, facts = self._head(head)
        if facts["kind"] == MASKS:
            return self.run(inputs, [facts["outputs"]["probabilities"]])[0]
        if "task" in facts and facts["form"] in CHANCES:
            return CHANCES[facts["form"]](self.run(inputs, [facts["outputs"]["answer"]])[0])
        if facts["kind"] in (*RAW, "generation") or "task" in facts:
            raise ConfigError(f"expected a head with classes or labels, '{name}' is a {facts['kind']}", "call predict")
        return self._said(inputs, {name: "probabilities"}, BATCH)[name]

    def embed(self, texts: Any, batch: int = BATCH) -> Array:
        """Embeddings [N, D] of texts; equal ones are asked for once. Raises ConfigError for a student without any."""
        if self.texts is None or not self.texts.apart:
            kinds = ", ".join(facts["kind"] for facts in self.heads.values())
            raise ConfigError(f"expected a student that embeds texts, this one answers {kinds}", "call predict")
        rows = text_rows(texts, ("text",))
        place = {text: number for number, text in enumerate(dict.fromkeys(rows))}
        (output,) = (facts["outputs"]["embedding"] for facts in self.heads.values())
        found = self.texts.over(lambda feeds: self.session.run([output], feeds), list(place), batch)[0]
        return np.asarray(found[np.array([place[text] for text in rows], dtype=np.int64)])

    def _written(self, inputs: Any) -> list[str]:
        """A text for each row."""
        assert self.decoder is not None and self.texts is not None

        def encode(feeds: Mapping[str, Array]) -> Array:
            return np.asarray(self.session.run(["hidden"], dict(feeds))[0])

        return self.decoder.write(self.texts.rows(inputs), self.texts, encode)

    def _pairs(self, inputs: Any, batch: int) -> Array:
        """Embeddings of both texts of each row side by side [N, 2·D]; a text without a second one stands for both."""
        assert self.texts is not None
        rows = self.texts.rows(inputs)
        pairs = [(row, row) if isinstance(row, str) else (row[0], row[1] or row[0]) for row in rows]
        both = self.embed([text for side in (0, 1) for text in (pair[side] for pair in pairs)], batch)
        return np.concatenate([both[: len(rows)], both[len(rows) :]], axis=1)

    def answers(self, inputs: Any, batch: int = BATCH) -> dict[str, Any]:
        """What every head says: logits [N, C], values [N, K] or the embeddings of both texts of a row [N, 2·D].

        Of a task of words a list of logits [W, C], one array for each row; of masks logits [N, P, C] of all pixels.
        """
        if self.decoder is not None:
            return {head: self._written(inputs) for head in self.heads}
        if self.texts is not None and self.texts.apart:
            return {head: self._pairs(inputs, batch) for head in self.heads}
        said = self._said(inputs, {head: raw_role(f) for head, f in self.heads.items()}, batch)
        return {h: by_pixel(v) if self.heads[h]["kind"] == MASKS else v for h, v in said.items()}

    def _said(self, inputs: Any, roles: Mapping[str, str], batch: int) -> dict[str, Any]:
        """One output of each head by its role; of words a list of arrays, one for each row."""
        wanted = [self.heads[head]["outputs"][role] for head, role in roles.items()]
        tagged = [head for head in roles if self.heads[head]["kind"] == "tagging"]
        framed = [head for head in roles if head not in tagged and "mask" in self.heads[head]["outputs"]]
        if framed:
            *found, mask = self.run(inputs, [*wanted, self.heads[framed[0]]["outputs"]["mask"]], batch)
            clips = {head: list(values) for head, values in zip(roles, found, strict=True)}
            return clips | {h: [each[there] for each, there in zip(clips[h], mask, strict=True)] for h in framed}
        if not tagged:
            return dict(zip(roles, self.run(inputs, wanted, batch), strict=True))
        assert self.texts is not None
        rows = self.texts.rows(inputs)
        wanted.append(self.heads[tagged[0]]["outputs"]["mask"])
        *found, mask = self.texts.over(lambda feeds: self.session.run(wanted, feeds), rows, batch)
        said: dict[str, Any] = dict(zip(roles, found, strict=True))
        for head in tagged:
            said[head] = by_row(said[head], mask, rows, roles[head], self.heads[head]["names"])
        return said

    def run(self, inputs: Any, outputs: list[str], batch: int = BATCH) -> list[Array]:
        """Named outputs of the graph for raw rows, in batches; those for words have zeros behind the last word."""
        if self.texts is not None:
            return self.texts.run(lambda feeds: self.session.run(outputs, feeds), inputs, batch)
        if self.parts is not None:
            whole = self.parts.read(inputs)
            few = [self.feeds(whole[at : at + batch]) for at in range(0, max(len(whole), 1), batch)]
            said = [self.session.run(outputs, feeds) for feeds in few]
            return [np.concatenate(values) for values in zip(*said, strict=True)]
        feeds = self.feeds(inputs)
        batch = at_once(self.heads, self.inputs, batch)
        rows = len(next(iter(feeds.values())))
        parts = [
            self.session.run(outputs, {name: values[at : at + batch] for name, values in feeds.items()})
            for at in range(0, max(rows, 1), batch)
        ]
        return [np.concatenate([part[i] for part in parts]) for i in range(len(outputs))]

    def feeds(self, inputs: Any) -> dict[str, Array]:
        """Raw rows as the tensors that the graph takes, by name; raises ConfigError or ShapeMismatch where not fit."""
        if self.texts is not None:
            return self.texts.feeds(self.texts.rows(inputs))
        if self.parts is not None:
            return self.parts.feeds(self.parts.read(inputs))
        if self.kind == "table":
            return table_feeds(inputs, self.inputs)
        (facts,) = self.inputs
        if self.kind == "audio":
            return {facts["name"]: clip_rows(inputs, facts["rate"])}
        return array_feed(inputs, facts)

    def _head(self, head: str | None) -> tuple[str, dict[str, Any]]:
        if head is None and len(self.heads) == 1:
            head = next(iter(self.heads))
        if head not in self.heads:
            raise ConfigError(
                f"expected one of the heads {', '.join(self.heads)}, got {head!r}", "name it: predict(rows, head=...)"
            )
        return head, self.heads[head]


def _values(names: list[str]) -> Array:
    """Class names as the user wrote them: integers where all are, booleans for False and True."""
    if all(name.removeprefix("-").isdecimal() and str(int(name)) == name for name in names):
        return np.array([int(name) for name in names])
    if set(names) == {"False", "True"}:
        return np.array([name == "True" for name in names])
    return np.array(names, dtype=object)


def _checked_bytes(path: Path) -> bytes:
    """The bytes of a model that keeps all its tensors inside; an external path could name any file of the machine."""
    import onnx
    from onnx.external_data_helper import uses_external_data

    if not path.is_file():
        raise ConfigError(f"expected an ONNX file at {os.fspath(path)}, there is none", "run `limbeck export` first")
    data = path.read_bytes()
    try:
        model = onnx.load_model_from_string(data)
    except Exception as e:
        raise StoreDamaged(f"expected an ONNX file at {path}, got: {e}", "export again") from e
    if any(uses_external_data(tensor) for tensor in _tensors(model)):
        raise ConfigError(
            f"expected a model in one file, {path.name} points at data outside of it",
            "limbeck never writes such files; load one you trust with onnx and save it whole",
        )
    return data


def _tensors(model: Any) -> list[Any]:
    found: list[Any] = []

    def visit(nodes: Any) -> None:
        for node in nodes:
            for attribute in node.attribute:
                found.extend([attribute.t, *attribute.tensors])
                for inner in (attribute.g, *attribute.graphs):
                    walk(inner)

    def walk(graph: Any) -> None:
        found.extend(graph.initializer)
        for sparse in graph.sparse_initializer:
            found.extend([sparse.values, sparse.indices])
        visit(graph.node)

    walk(model.graph)
    for function in model.functions:
        visit(function.node)
    return found
