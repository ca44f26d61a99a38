"""BERT's encoder (Devlin et al., NAACL 2019), to read texts with.

Most sentence encoders are of this architecture. Importing transformers and building its model of the six layers of the
default one takes as long as a whole incremental refresh apart from it, so this architecture is computed here, by the
same operations of torch; every other one is left to transformers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from kg.errors import ArtifactError

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"gelu": functional.gelu, "relu": functional.relu}
_PREFIX = "bert."  # of checkpoints that hold a head as well
_OLD_NAMES = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}


def is_bert(config: Mapping[str, Any]) -> bool:
    """Whether a model's `config.json` describes what `Bert` computes."""
    return (
        config.get("model_type") == "bert"
        and config.get("hidden_act", "gelu") in _ACTIVATIONS
        and config.get("position_embedding_type", "absolute") == "absolute"
        and not config.get("is_decoder")
        and "auto_map" not in config  # a model with code of its own
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    """The sizes that `config.json` names; what it leaves out is as in BERT-base."""

    hidden: int
    layers: int
    heads: int
    inner: int
    words: int
    positions: int
    types: int
    epsilon: float
    activation: str

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> _Shape:
        found = cls(
            hidden=int(config.get("hidden_size", 768)),
            layers=int(config.get("num_hidden_layers", 12)),
            heads=int(config.get("num_attention_heads", 12)),
            inner=int(config.get("intermediate_size", 3072)),
            words=int(config.get("vocab_size", 30522)),
            positions=int(config.get("max_position_embeddings", 512)),
            types=int(config.get("type_vocab_size", 2)),
            epsilon=float(config.get("layer_norm_eps", 1e-12)),
            activation=str(config.get("hidden_act", "gelu")),
        )
        if found.hidden % found.heads:
            raise ValueError(f"{found.hidden} columns are no multiple of {found.heads} attention heads")
        return found

    def weights(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every weight that is used."""
        row, square = (self.hidden,), (self.hidden, self.hidden)
        found: dict[str, tuple[int, ...]] = {
            "embeddings.word_embeddings.weight": (self.words, self.hidden),
            "embeddings.position_embeddings.weight": (self.positions, self.hidden),
            "embeddings.token_type_embeddings.weight": (self.types, self.hidden),
            "embeddings.LayerNorm.weight": row,
            "embeddings.LayerNorm.bias": row,
        }
        for layer in range(self.layers):
            at = f"encoder.layer.{layer}"
            for name in ("self.query", "self.key", "self.value", "output.dense"):
                found |= {f"{at}.attention.{name}.weight": square, f"{at}.attention.{name}.bias": row}
            found |= {
                f"{at}.intermediate.dense.weight": (self.inner, self.hidden),
                f"{at}.intermediate.dense.bias": (self.inner,),
                f"{at}.output.dense.weight": (self.hidden, self.inner),
                f"{at}.output.dense.bias": row,
            }
            for name in ("attention.output", "output"):
                found |= {f"{at}.{name}.LayerNorm.weight": row, f"{at}.{name}.LayerNorm.bias": row}
        return found


class Bert:
    """The encoder with its weights on a device.

    Args:
        folder: `model*.safetensors`, of Hugging Face's names.
        config: of its `config.json`; `is_bert` holds.
        device: where to compute.
        dtype: of the weights and of all products.

    Raises:
        ArtifactError: weights are missing.
        ValueError: the sizes do not fit each other, or the weights do not fit them.
        safetensors.SafetensorError, OSError: the files cannot be read.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any], *, device: torch.device, dtype: torch.dtype) -> None:
        self._shape = _Shape.of(config)
        tensors: dict[str, Tensor] = {}
        for path in sorted(folder.glob("model*.safetensors")):
            for name, tensor in load_file(path).items():
                plain = name.removeprefix(_PREFIX)
                for old, new in _OLD_NAMES.items():
                    plain = plain.replace(old, new)
                tensors[plain] = tensor
        wanted = self._shape.weights()
        if gaps := sorted(wanted.keys() - tensors.keys()):
            raise ArtifactError(
                f"text model {folder} lacks {len(gaps)} weights, the first is {gaps[0]}: the files are of another "
                "model than config.json says"
            )
        for name, shape in wanted.items():
            if tuple(tensors[name].shape) != shape:
                raise ValueError(f"{name} is of shape {tuple(tensors[name].shape)}, config.json asks for {shape}")
        self._weights = {name: tensors[name].to(device, dtype) for name in wanted}

    def __call__(self, ids: Tensor, mask: Tensor) -> Tensor:
        """The last hidden state of each token.

        Args:
            ids: of the tokens, int64 (texts, width); what stands at padding does not matter.
            mask: bool, same shape: the tokens that are there, at least one a row.

        Returns:
            (texts, width, hidden).
        """
        width = ids.shape[1]
        # All are of the first of the two segments that BERT tells apart.
        hidden = self._embedded("word", ids) + self._embedded("token_type", torch.zeros_like(ids))
        hidden = hidden + self._embedded("position", torch.arange(width, device=ids.device))
        hidden = self._normalised("embeddings", hidden)
        keys = None if bool(mask.all()) else mask[:, None, None, :].expand(-1, 1, width, -1)
        activation = _ACTIVATIONS[self._shape.activation]
        for layer in range(self._shape.layers):
            at = f"encoder.layer.{layer}"
            attended = self._attention(f"{at}.attention.self", hidden, keys)
            attended = self._linear(f"{at}.attention.output.dense", attended)
            hidden = self._normalised(f"{at}.attention.output", attended + hidden)
            inner = activation(self._linear(f"{at}.intermediate.dense", hidden))
            hidden = self._normalised(f"{at}.output", self._linear(f"{at}.output.dense", inner) + hidden)
        return hidden

    def _attention(self, at: str, hidden: Tensor, keys: Tensor | None) -> Tensor:
        heads = (*hidden.shape[:-1], self._shape.heads, -1)
        query, key, value = (
            self._linear(f"{at}.{name}", hidden).view(heads).transpose(1, 2) for name in ("query", "key", "value")
        )
        found = functional.scaled_dot_product_attention(query, key, value, attn_mask=keys)
        return found.transpose(1, 2).reshape(hidden.shape)

    def _embedded(self, kind: str, ids: Tensor) -> Tensor:
        return functional.embedding(ids, self._weights[f"embeddings.{kind}_embeddings.weight"])

    def _linear(self, at: str, hidden: Tensor) -> Tensor:
        return functional.linear(hidden, self._weights[f"{at}.weight"], self._weights[f"{at}.bias"])

    def _normalised(self, at: str, hidden: Tensor) -> Tensor:
        weight, bias = self._weights[f"{at}.LayerNorm.weight"], self._weights[f"{at}.LayerNorm.bias"]
        return functional.layer_norm(hidden, (self._shape.hidden,), weight, bias, self._shape.epsilon)
