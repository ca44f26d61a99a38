"""Where tensors live."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kg.errors import ConfigError

if TYPE_CHECKING:
    import torch

EVERYWHERE = ("auto", "cpu")


def check_device(name: str) -> None:
    """Make sure of a device that not every machine has; of the others, without importing torch, which takes seconds.

    Raises:
        ConfigError: see `resolve_device`.
    """
    if name not in EVERYWHERE:
        resolve_device(name)


def resolve_device(name: str = "auto") -> torch.device:
    """The torch device behind a name from a config or a command line.

    Args:
        name: "auto" (the first CUDA device if there is one, else the CPU), "cpu", "cuda" or "cuda:N".

    Raises:
        ConfigError: the name is unknown, or the device is not there.
    """
    import torch

    available = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return torch.device("cuda:0" if available else "cpu")
    if name == "cpu":
        return torch.device("cpu")
    kind, _, number = name.partition(":")
    if kind != "cuda" or (":" in name and not (number.isascii() and number.isdigit())):
        raise ConfigError(f"device {name!r} is unknown: use auto, cpu, cuda or cuda:N")
    if not available:
        why = "no CUDA device is visible" if torch.version.cuda else "this torch is built without CUDA"
        raise ConfigError(f"device {name!r} was asked for, but {why}: use auto or cpu")
    at = int(number or 0)
    if at >= available:
        raise ConfigError(
            f"device {name!r} was asked for, but there are {available}: use cuda:0 to cuda:{available - 1}"
        )
    return torch.device("cuda", at)


def is_memory_full(error: BaseException) -> bool:
    """Whether Python or torch found no memory; torch has a class of its own for that on CUDA only."""
    import torch

    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)
