"""BERT computed here is the BERT of transformers, bit by bit; what is no BERT is left to transformers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel, ElectraConfig, ElectraModel

from gnn.bert import Bert, is_bert
from gnn.text import TextConfig, TextEncoder
from gnn.text_model import find_model
from gnn.text_reader import load_reader
from kg.errors import ArtifactError

CPU = torch.device("cpu")
DEFAULT = find_model(TextConfig()).folder
HOSTILE = [
    "[MASK] x [SEP]",
    "\x00a\u200b zero",
    "İstanbul e\u0301e\u0301 ﬁ",
    "日本語 テキスト 🎬",
    "##ing",
    "x" * 5000,
    "many words " * 600,
    "Heat (1995)",
]


def batch(folder: Path) -> tuple[Any, Any]:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    found = tokenizer(HOSTILE, truncation=True, max_length=200, padding=True, return_tensors="pt")
    return found["input_ids"], found["attention_mask"]


def small(folder: Path, **settings: Any) -> Path:
    """A model of random weights and unusual sizes, with the tokenizer of the default one."""
    torch.manual_seed(7)
    sizes = {"hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 80}
    BertModel(BertConfig(**{**sizes, "layer_norm_eps": 1e-5, **settings})).save_pretrained(folder)
    return with_tokenizer(folder)


def with_tokenizer(folder: Path) -> Path:
    assert DEFAULT is not None
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((DEFAULT / name).read_bytes())
    return folder


def config_of(folder: Path) -> Any:
    return json.loads((folder / "config.json").read_text())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("model", ["default", "gelu", "relu"])
def test_every_number_is_that_of_transformers(tmp_path: Path, model: str, dtype: torch.dtype) -> None:
    assert DEFAULT is not None
    folder = DEFAULT if model == "default" else small(tmp_path, hidden_act=model)
    ids, mask = batch(folder)
    assert (mask == 0).any()
    oracle = AutoModel.from_pretrained(folder).to(dtype).eval()
    own = Bert(folder, config_of(folder), device=CPU, dtype=dtype)
    with torch.inference_mode():
        for rows in (slice(None), slice(5, 7)):  # with padding and without
            expected = oracle(input_ids=ids[rows], attention_mask=mask[rows]).last_hidden_state
            found = own(ids[rows], mask[rows].bool())
            there = mask[rows].bool()
            assert found.dtype == dtype
            torch.testing.assert_close(found[there], expected[there], rtol=1e-5, atol=1e-5)


def test_tokens_are_those_of_transformers() -> None:
    assert DEFAULT is not None
    reader = load_reader(DEFAULT, CPU, torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(DEFAULT)
    for most in (3, 17, 256):
        assert reader.tokens(HOSTILE, most) == tokenizer(HOSTILE, truncation=True, max_length=most)["input_ids"]
    assert reader.limit == 512


def test_what_stands_at_padding_does_not_matter() -> None:
    assert DEFAULT is not None
    ids, mask = batch(DEFAULT)
    own = Bert(DEFAULT, config_of(DEFAULT), device=CPU, dtype=torch.float32)
    with torch.inference_mode():
        there = mask.bool()
        torch.testing.assert_close(own(ids, there)[there], own(torch.where(there, ids, 999), there)[there])


def test_weights_of_a_checkpoint_with_a_head_and_of_old_names_are_found(tmp_path: Path) -> None:
    folder = small(tmp_path)
    ids, mask = batch(folder)
    plain = Bert(folder, config_of(folder), device=CPU, dtype=torch.float32)(ids, mask.bool())
    renamed = {
        "bert." + name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
        for name, value in load_file(folder / "model.safetensors").items()
    }
    save_file({**renamed, "cls.seq.bias": torch.zeros(2)}, folder / "model.safetensors", metadata={"format": "pt"})
    assert torch.equal(plain, Bert(folder, config_of(folder), device=CPU, dtype=torch.float32)(ids, mask.bool()))


def test_weights_in_several_files_are_one_model(tmp_path: Path) -> None:
    folder = small(tmp_path)
    ids, mask = batch(folder)
    plain = Bert(folder, config_of(folder), device=CPU, dtype=torch.float32)(ids, mask.bool())
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    for number, part in enumerate((names[::2], names[1::2]), start=1):
        save_file({name: tensors[name] for name in part}, folder / f"model-{number:05d}-of-00002.safetensors")
    assert torch.equal(plain, Bert(folder, config_of(folder), device=CPU, dtype=torch.float32)(ids, mask.bool()))


def test_another_architecture_is_read_by_transformers(tmp_path: Path) -> None:
    torch.manual_seed(1)
    ElectraModel(ElectraConfig(hidden_size=48, num_hidden_layers=2, intermediate_size=64)).save_pretrained(tmp_path)
    folder = with_tokenizer(tmp_path)
    assert not is_bert(config_of(folder))
    found = TextEncoder(TextConfig(model=str(folder), precision="float32"), device="cpu").encode(
        ["Heat", "Alien (1979)"]
    )
    oracle, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    for row, text in zip(found, ["Heat", "Alien (1979)"], strict=True):
        tokens = tokenizer(text, return_tensors="pt")
        with torch.no_grad():
            mean = oracle(**tokens).last_hidden_state[0].mean(0)
        np.testing.assert_allclose(row, torch.nn.functional.normalize(mean, dim=0).numpy(), atol=1e-5)


@pytest.mark.parametrize(
    "change",
    [
        {"hidden_act": "gelu_new"},
        {"position_embedding_type": "relative_key"},
        {"is_decoder": True},
        {"auto_map": {"AutoModel": "own--code"}},
        {"model_type": "roberta"},
        {"model_type": None},
    ],
)
def test_what_is_computed_in_another_way_is_no_bert(change: dict[str, Any]) -> None:
    assert DEFAULT is not None
    assert is_bert(config_of(DEFAULT))
    assert not is_bert({**config_of(DEFAULT), **change})


def test_weights_and_sizes_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    folder = small(tmp_path)
    for change, message in (
        ({"intermediate_size": 81}, r"intermediate\.dense\.weight is of shape \(80, 48\), config\.json asks for"),
        ({"num_attention_heads": 5}, "48 columns are no multiple of 5 attention heads"),
        ({"hidden_size": None}, "cannot be loaded"),
    ):
        changed = tmp_path / "changed"
        changed.mkdir(exist_ok=True)
        for path in folder.glob("*.*"):
            (changed / path.name).write_bytes(path.read_bytes())
        (changed / "config.json").write_text(json.dumps({**config_of(folder), **change}))
        with pytest.raises(ArtifactError, match=message):
            load_and_encode(changed)
    (changed / "config.json").write_text("[]")
    with pytest.raises(ArtifactError):
        load_and_encode(changed)


def load_and_encode(folder: Path) -> Any:
    encoder = TextEncoder(TextConfig(model=str(folder)), device="cpu")
    return encoder._load()


def test_a_bert_needs_no_transformers() -> None:
    program = """
import sys
from gnn.text import TextEncoder
assert TextEncoder(device="cpu").encode(["Heat"]).any()
print(sorted({"transformers", "sklearn", "sentence_transformers"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
