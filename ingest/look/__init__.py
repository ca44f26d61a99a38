"""A look at files and databases that nobody has described yet, and a proposal of their configuration."""

from ingest.look.proposal import Proposal, Section
from ingest.look.propose import propose

__all__ = ["Proposal", "Section", "propose"]
