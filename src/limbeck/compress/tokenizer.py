"""The tokenizer beside an exported student of text: files that `tokenizers` alone reads, cut and padded as the student.

`tokenizer.json` holds the truncation too (length, side), so that whoever encodes with it gets the student's own ids.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limbeck.compress.onnx_writer import decoder_of
from limbeck.core.errors import ConfigError, NotSupported
from limbeck.core.files import checksum, make_folder, write_bytes

if TYPE_CHECKING:
    from limbeck.models.text.tokens import TextEncoder

FOLDER, CORE, _CONFIG = "tokenizer", "tokenizer.json", "tokenizer_config.json"


def core_of(encoder: TextEncoder) -> Any:
    """The `tokenizers.Tokenizer` of an encoder, with its truncation; raises NotSupported where it has none."""
    from tokenizers import Tokenizer

    bare = isinstance(encoder.tokenizer, Tokenizer)  # of static embeddings, which see no special tokens
    backend = encoder.tokenizer if bare else getattr(encoder.tokenizer, "backend_tokenizer", None)
    if not isinstance(backend, Tokenizer):
        raise NotSupported(
            f"expected a tokenizer that can be written as {CORE}, got {type(encoder.tokenizer).__name__}",
            "save it as a fast tokenizer of transformers, or say `export: {onnx: false}` (onnx=False in Python)",
        )
    core = Tokenizer.from_str(backend.to_str())
    if bare:
        core.post_processor = None
    core.enable_truncation(encoder.max_length, direction=str(getattr(encoder.tokenizer, "truncation_side", "right")))
    core.no_padding()
    return core


def tokenizer_files(encoder: TextEncoder) -> dict[str, bytes]:
    """The files of a tokenizer by name, tokenizer.json among them; raises NotSupported where it has none."""
    text = core_of(encoder).to_str(pretty=True).encode()
    if not hasattr(encoder.tokenizer, "save_pretrained"):
        return {CORE: text}
    with tempfile.TemporaryDirectory() as made:
        encoder.tokenizer.save_pretrained(made)
        files = {path.name: path.read_bytes() for path in sorted(Path(made).iterdir()) if path.is_file()}
    config = json.loads(files.get(_CONFIG, b"{}"))
    config["model_max_length"] = encoder.max_length
    for machine in ("name_or_path", "tokenizer_file"):  # paths of this machine have no place in what leaves it
        config.pop(machine, None)
    files |= {CORE: text, _CONFIG: (json.dumps(config, indent=2, ensure_ascii=False) + "\n").encode()}
    return files


def ship(exported: Path, path: Path) -> Path:
    """Copy an exported student, and the tokenizer beside it where there is one; whole and durable.

    Raises ConfigError where the tokenizer of another student stands in the way.
    """
    make_folder(path.parent)
    source, target = exported.parent / FOLDER, path.parent / FOLDER
    if source.is_dir() and source.resolve() != target.resolve():
        if (target / CORE).is_file() and checksum(target / CORE) != checksum(source / CORE):
            raise ConfigError(
                f"expected no other tokenizer beside {path}, {target} belongs to another student",
                "export into a folder of its own",
            )
        for file in sorted(source.iterdir()):
            write_bytes(target / file.name, file.read_bytes())
    if exported.resolve() != path.resolve():
        if decoder_of(exported).is_file():
            write_bytes(decoder_of(path), decoder_of(exported).read_bytes())
        write_bytes(path, exported.read_bytes())
    return path
