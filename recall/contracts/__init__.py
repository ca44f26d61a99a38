"""What passes between channels, pipeline, rankers and explanations. Channels import kg, gnn and this room, no more."""

from recall.contracts.attribution import (
    REQUEST_TEXT,
    Attribution,
    FusedShares,
    LeaveOneOut,
    NoShares,
    Part,
    PathShares,
    Share,
    Shares,
    StepKind,
    StepPaths,
)
from recall.contracts.candidates import (
    CANDIDATE_SCHEMA,
    FALLBACK,
    FUSION,
    RULE_COLUMNS,
    SCORE_SCHEMA,
    CandidateBatch,
    Candidates,
    PairScores,
    with_channels,
)
from recall.contracts.channel import (
    Capabilities,
    Channel,
    FitData,
    InnerProduct,
    LoadData,
    ReachedQueries,
    Start,
    TextEncode,
    WritesCypher,
)
from recall.contracts.query import Query
from recall.contracts.ranker import Ranker
from recall.contracts.scores import Scores, TopK
from recall.contracts.similar import SIMILAR_SCHEMA, SimilarItems

__all__ = [
    "CANDIDATE_SCHEMA",
    "FALLBACK",
    "FUSION",
    "REQUEST_TEXT",
    "RULE_COLUMNS",
    "SCORE_SCHEMA",
    "SIMILAR_SCHEMA",
    "Attribution",
    "CandidateBatch",
    "Candidates",
    "Capabilities",
    "Channel",
    "FitData",
    "FusedShares",
    "InnerProduct",
    "LeaveOneOut",
    "LoadData",
    "NoShares",
    "PairScores",
    "Part",
    "PathShares",
    "Query",
    "Ranker",
    "ReachedQueries",
    "Scores",
    "Share",
    "Shares",
    "SimilarItems",
    "Start",
    "StepKind",
    "StepPaths",
    "TextEncode",
    "TopK",
    "WritesCypher",
    "with_channels",
]
