"""Texts into vectors, by a BERT-style encoder.

Mean pooling over the tokens and L2 normalisation, as in Sentence-BERT (Reimers and Gurevych, EMNLP 2019).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError

from gnn.device import resolve_device
from gnn.text.model import ModelFiles, TextConfig, find_model, obtain_model, quiet
from kg.errors import ArtifactError, ConfigError
from kg.io.files import read_json
from kg.progress import SILENT, Progress

FloatArray = npt.NDArray[np.float32]

# Texts tokenised at once: bounds the memory of the token lists, and is far more than a batch holds.
_BLOCK = 8_192
CHARACTERS = 200  # for each token that is read; words of BERT's vocabulary have at most some twenty
# A thread is fastest while its share of a layer stays near its cache (measured from 128 to 16,384 tokens).
_TOKENS_PER_THREAD = 512
_TOKENS_ON_GPU = 65_536


class _Loaded(NamedTuple):
    model: Any
    tokenizer: Any
    dtype: torch.dtype


class TextEncoder:
    """A text model on a device. It can be shared between threads; the weights are loaded at the first use.

    Attributes:
        config: which model, and how it reads.
        device: where it runs.
    """

    def __init__(self, config: TextConfig | None = None, device: str = "auto") -> None:
        self.config = config or TextConfig()
        self.device = resolve_device(device)
        self.dtype = _dtype(self.config, self.device)
        self._lock = threading.RLock()
        self._files: ModelFiles | None = None
        self._loaded: _Loaded | None = None

    @property
    def files(self) -> ModelFiles:
        """Where the model is, with a verified checksum; downloads it if it is missing."""
        with self._lock:
            if self._files is None:
                self._files = obtain_model(self.config)
            return self._files

    @property
    def space(self) -> str:
        """A digest of the model and of how it reads: vectors of encoders with the same digest are comparable."""
        return self.files.fingerprint(pooling=self.config.pooling, max_length=self.config.max_length)

    @property
    def fingerprint(self) -> str:
        """A digest of everything that decides a text's vector, precision included: the key of the cache."""
        return self.files.fingerprint(
            pooling=self.config.pooling, max_length=self.config.max_length, precision=str(self.dtype)
        )

    @property
    def dim(self) -> int:
        """Columns of the vectors; read from the model's configuration, without its weights."""
        if self.files.folder is None:
            raise ArtifactError(self.files.describe())
        path = self.files.folder / "config.json"
        width = read_json(path).get("hidden_size")
        if not isinstance(width, int):
            raise ArtifactError(f"{path} names no hidden_size: text.model must be a BERT-style encoder")
        return width

    def encode(self, texts: Sequence[str | None], *, progress: Progress = SILENT) -> FloatArray:
        """Encode texts.

        Args:
            texts: (n,); empty, blank and missing ones are allowed. At most `CHARACTERS` for each token are looked at.
            progress: of finished texts.

        Returns:
            float32 (n, dim), unit vectors; zero for texts that are empty, blank or missing.

        Raises:
            ArtifactError: the model is missing, damaged, or gives vectors that are not numbers.
            ConfigError: the model does not exist, or reads fewer tokens than `max_length`.
        """
        result = np.zeros((len(texts), self.dim), dtype=np.float32)
        filled = [row for row, text in enumerate(texts) if text and not text.isspace()]
        if not filled:
            return result
        loaded = self._load()
        # What is far beyond the last token that is read is not tokenised: texts come from outside, too.
        longest = CHARACTERS * self.config.max_length
        texts = [text if text is None else text[:longest] for text in texts]
        # Longest first: if memory does not suffice for the largest batch, that shows at once.
        order = sorted(filled, key=lambda row: -len(texts[row] or ""))
        with progress.task("encoding texts", total=len(order)) as task:
            for start in range(0, len(order), _BLOCK):
                rows = np.array(order[start : start + _BLOCK])
                parts, places = [], []
                for place, vectors in self._encode_block(loaded, [texts[row] or "" for row in rows]):
                    parts.append(vectors)
                    places.append(rows[place])
                    task.advance(len(place))
                result[np.concatenate(places)] = torch.cat(parts).cpu().numpy()
        if not np.isfinite(result).all():
            raise ArtifactError(f"{self.config.model} gives vectors that are not numbers in {self.dtype}")
        return result

    def _encode_block(self, loaded: _Loaded, texts: list[str]) -> Iterator[tuple[npt.NDArray[np.int64], torch.Tensor]]:
        """Batches of similar token count: positions in `texts`, and their vectors on the device."""
        tokens = self._tokenise(loaded, texts)
        lengths = np.fromiter(map(len, tokens), dtype=np.int64, count=len(tokens))
        order = np.argsort(-lengths, kind="stable")
        lengths = lengths[order]
        flat = np.fromiter(chain.from_iterable(tokens[row] for row in order), dtype=np.int64, count=lengths.sum())
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        budget = self.config.batch_tokens or (
            _TOKENS_ON_GPU if self.device.type == "cuda" else _TOKENS_PER_THREAD * torch.get_num_threads()
        )
        step = 8 if self.device.type == "cuda" else 1  # tensor cores want multiples of eight
        pad = loaded.tokenizer.pad_token_id or 0
        start = 0
        while start < len(order):
            width = -(-int(lengths[start]) // step) * step
            stop = min(start + max(budget // width, 1), len(order))
            mask = np.arange(width) < lengths[start:stop, None]
            ids = np.full(mask.shape, pad)
            ids[mask] = flat[offsets[start] : offsets[stop]]
            yield order[start:stop], self._forward(loaded, torch.from_numpy(ids), torch.from_numpy(mask))
            start = stop

    def _tokenise(self, loaded: _Loaded, texts: list[str]) -> list[list[int]]:
        tokenizer = loaded.tokenizer
        # A call sets the truncation of the shared tokenizer, so two threads must not call it at once.
        with self._lock:
            if tokenizer.is_fast:
                backend = tokenizer.backend_tokenizer
                backend.no_padding()
                backend.enable_truncation(self.config.max_length)
                return [encoding.ids for encoding in backend.encode_batch_fast(texts)]
            ids: list[list[int]] = tokenizer(texts, truncation=True, max_length=self.config.max_length)["input_ids"]
            return ids

    @torch.inference_mode()
    def _forward(self, loaded: _Loaded, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        ids, mask = ids.to(self.device), mask.to(self.device)
        hidden = loaded.model(input_ids=ids, attention_mask=mask.long()).last_hidden_state.float()
        if self.config.pooling == "cls":
            pooled = hidden[:, 0]
        else:
            pooled = (hidden * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True)
        return torch.nn.functional.normalize(pooled, dim=1)

    def _load(self) -> _Loaded:
        with self._lock:
            if self._loaded is None:
                from transformers import AutoModel, AutoTokenizer

                folder = self.files.folder
                try:
                    with quiet():
                        # Code that lies beside the weights is never run; asked for nothing, transformers would ask.
                        plain = {"local_files_only": True, "trust_remote_code": False}
                        tokenizer = AutoTokenizer.from_pretrained(folder, **plain)
                        model, info = AutoModel.from_pretrained(
                            folder, use_safetensors=True, output_loading_info=True, **plain
                        )
                except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
                    raise ArtifactError(
                        f"text model {self.config.model} in {folder} cannot be loaded: {error}"
                    ) from error
                # transformers fills missing weights with random numbers and a warning. The pooler is not used here.
                if missing := sorted(key for key in info["missing_keys"] if not key.startswith("pooler.")):
                    raise ArtifactError(
                        f"text model {self.config.model} in {folder} lacks {len(missing)} weights, "
                        f"the first is {missing[0]}: the files are of another model than config.json says"
                    )
                limit = min(tokenizer.model_max_length, getattr(model.config, "max_position_embeddings", 1 << 30))
                if self.config.max_length > limit:
                    raise ConfigError(
                        f"text.max_length = {self.config.max_length}, but {self.config.model} reads {limit} tokens"
                    )
                self._loaded = _Loaded(model.to(self.device, self.dtype).eval(), tokenizer, self.dtype)
            return self._loaded


def _dtype(config: TextConfig, device: torch.device) -> torch.dtype:
    if config.precision != "auto":
        return torch.bfloat16 if config.precision == "bfloat16" else torch.float32
    if device.type == "cuda":
        native = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        # torch has no stable public function for this.
        checks = (getattr(torch.cpu, name, None) for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"))
        native = any(check is not None and check() for check in checks)
    return torch.bfloat16 if native else torch.float32


__all__ = ["ModelFiles", "TextConfig", "TextEncoder", "find_model"]
