"""A text model in memory: its tokenizer and its network, whatever library computes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gnn.bert import Bert, is_bert
from gnn.text_model import quiet
from kg.errors import ArtifactError
from kg.files import read_json

TOKENIZER = "tokenizer.json"


class Reader(NamedTuple):
    """What a text encoder asks of a model.

    Attributes:
        tokens: texts, and how many tokens to read of each at most -> the tokens' ids, special ones included; not for
            two threads at once.
        hidden: ids, int64 (texts, width), and which of them are tokens, bool -> last hidden state (texts, width, dim).
        padding: the id that fills up rows.
        limit: tokens that it can read.
    """

    tokens: Callable[[list[str], int], list[list[int]]]
    hidden: Callable[[Tensor, Tensor], Tensor]
    padding: int
    limit: int


def load_reader(folder: Path, device: torch.device, dtype: torch.dtype) -> Reader:
    """Load a model onto a device.

    Args:
        folder: in Hugging Face's layout.
        device: where to compute.
        dtype: of the weights and of all products.

    Raises:
        ArtifactError: weights are missing.
        OSError, ValueError, TypeError, KeyError, RuntimeError, safetensors.SafetensorError: files are missing or
            damaged.
    """
    config: Any = read_json(folder / "config.json")
    if not isinstance(config, dict):
        raise ValueError("config.json is no object")
    # Where there is a whole tokenizer and a network that is known here, transformers need not be imported.
    if is_bert(config) and (folder / TOKENIZER).is_file():
        return _bert(folder, config, device, dtype)
    return _of_transformers(folder, device, dtype)


def _bert(folder: Path, config: Mapping[str, Any], device: torch.device, dtype: torch.dtype) -> Reader:
    from tokenizers import Tokenizer

    network = Bert(folder, config, device=device, dtype=dtype)
    try:
        backend = Tokenizer.from_file(str(folder / TOKENIZER))
    except Exception as error:  # tokenizers raises nothing more special
        raise ValueError(f"{TOKENIZER}: {error}") from error
    names = folder / "tokenizer_config.json"
    named: Any = read_json(names) if names.is_file() else {}
    limit = min(int(named.get("model_max_length") or 1 << 30), int(config.get("max_position_embeddings", 512)))
    return Reader(_tokens_of(backend), network, int(config.get("pad_token_id") or 0), limit)


def _of_transformers(folder: Path, device: torch.device, dtype: torch.dtype) -> Reader:
    from transformers import AutoModel, AutoTokenizer

    with quiet():
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model, info = AutoModel.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    # transformers fills gaps with random numbers and a warning. The pooler is not used here.
    if gaps := sorted(key for key in info["missing_keys"] if not key.startswith("pooler.")):
        raise ArtifactError(
            f"text model {folder} lacks {len(gaps)} weights, the first is {gaps[0]}: the files are of another model "
            "than config.json says"
        )
    network = model.to(device, dtype).eval()

    def hidden(ids: Tensor, mask: Tensor) -> Tensor:
        found: Tensor = network(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        return found

    def slowly(texts: list[str], most: int) -> list[list[int]]:
        found: list[list[int]] = tokenizer(texts, truncation=True, max_length=most)["input_ids"]
        return found

    tokens = _tokens_of(tokenizer.backend_tokenizer) if tokenizer.is_fast else slowly
    limit = min(tokenizer.model_max_length, getattr(model.config, "max_position_embeddings", 1 << 30))
    return Reader(tokens, hidden, tokenizer.pad_token_id or 0, limit)


def _tokens_of(backend: Any) -> Callable[[list[str], int], list[list[int]]]:
    """By a tokenizer of the tokenizers library."""

    def tokens(texts: list[str], most: int) -> list[list[int]]:
        backend.no_padding()
        backend.enable_truncation(most)
        return [encoding.ids for encoding in backend.encode_batch_fast(texts)]

    return tokens
