"""Devices by the names that configurations and command lines use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kg.errors import ConfigError

if TYPE_CHECKING:
    import torch

_ALWAYS = ("auto", "cpu")


def check_device(name: str) -> None:
    """Check that a device is there, without importing torch (seconds) for those that every machine has.

    Raises:
        ConfigError: see `resolve_device`.
    """
    if name not in _ALWAYS:
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
        raise ConfigError(f"device {name!r} is not there: {why}; use auto or cpu")
    index = int(number or 0)
    if index >= available:
        raise ConfigError(
            f"device {name!r} is not there: the machine has {available} of them; use cuda:0 to cuda:{available - 1}"
        )
    return torch.device("cuda", index)


def is_memory_full(error: BaseException) -> bool:
    """Whether memory ran out, in Python or torch, which has an error class for that on CUDA only."""
    import torch

    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)
