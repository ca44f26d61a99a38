"""The models by the class of their hyper-parameters: a new one is a file with its backbone, and a line here."""

from __future__ import annotations

from gnn.sequence.backbone import Backbone
from gnn.sequence.bert4rec import BERT4Rec
from gnn.sequence.gru4rec import GRU4Rec
from gnn.sequence.narm import NARM
from gnn.sequence.sasrec import SASRec
from gnn.sequence.settings import BERT4RecConfig, GRU4RecConfig, NARMConfig, SASRecConfig, SequenceConfig

MODELS: dict[type[SequenceConfig], type[Backbone]] = {
    SASRecConfig: SASRec,
    GRU4RecConfig: GRU4Rec,
    BERT4RecConfig: BERT4Rec,
    NARMConfig: NARM,
}


def backbone_of(config: SequenceConfig) -> type[Backbone]:
    """The model of a configuration, which may be of a subclass."""
    return next(backbone for kind, backbone in MODELS.items() if isinstance(config, kind))


def config_type(name: str) -> type[SequenceConfig]:
    """The class of the hyper-parameters of a model by its name.

    Raises:
        KeyError: there is no such model.
    """
    return {backbone.name: kind for kind, backbone in MODELS.items()}[name]
