"""The hyper-parameters of the channels of a deployment, and the channels made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, create_model

from kg.settings import Settings
from recall.channels.registry import channel_class, registered
from recall.contracts import Channel


class _Channels(Settings):
    """One section for each kind of channel that has hyper-parameters, whether it serves or is measured beside."""

    section: ClassVar[str] = "channels"


def _fields() -> dict[str, Any]:
    """A section for each registered kind of channel, also of other packages, that has hyper-parameters."""
    kinds = {name: kind.config_type for name, kind in registered().items() if kind.config_type.model_fields}
    return {
        name: (kind, Field(default=kind(), description=str(kind.__doc__ or name).partition("\n")[0]))
        for name, kind in kinds.items()
    }


if TYPE_CHECKING:

    class ChannelsConfig(_Channels):
        """A section for each kind of channel, by its name."""

        def __getattr__(self, name: str) -> Any: ...
else:
    ChannelsConfig = create_model(
        "ChannelsConfig", __base__=_Channels, __doc__=_Channels.__doc__, __module__=__name__, **_fields()
    )


def make_channel(config: ChannelsConfig, name: str) -> Channel:
    """An unfitted channel of a name, with its section of the configuration or the defaults.

    Raises:
        ConfigError: there is no channel of that name.
    """
    kind = channel_class(name)
    return kind(getattr(config, name, None))
