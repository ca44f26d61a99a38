"""What passes between channels, pipeline, rankers and explanations. Channels import kg, gnn and this room, no more."""

from recall.contracts.attribution import Attribution, FusedShares, NoShares, Part, Share, Shares
from recall.contracts.candidates import CANDIDATE_SCHEMA, FALLBACK, FUSION, CandidateBatch, Candidates
from recall.contracts.channel import Capabilities, Channel, FitData, LoadData, Start, TextEncode
from recall.contracts.query import Query
from recall.contracts.ranker import Ranker
from recall.contracts.scores import Scores, TopK

__all__ = [
    "CANDIDATE_SCHEMA",
    "FALLBACK",
    "FUSION",
    "Attribution",
    "CandidateBatch",
    "Candidates",
    "Capabilities",
    "Channel",
    "FitData",
    "FusedShares",
    "LoadData",
    "NoShares",
    "Part",
    "Query",
    "Ranker",
    "Scores",
    "Share",
    "Shares",
    "Start",
    "TextEncode",
    "TopK",
]
