"""How the HTTP service listens and what a request may ask for: the section `service`."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from kg.settings import Settings


class ServiceLimits(Settings):
    """What a request may ask for. What is above is refused, with the name of the limit."""

    section: ClassVar[str] = "service.limits"

    body_bytes: int = Field(default=4 * 2**20, ge=1024, le=2**30, description="Size of the body of a request.")
    queries: int = Field(default=1000, ge=1, le=100_000, description="Queries, items or pairs in one request.")
    k: int = Field(default=1000, ge=1, le=10_000, description="Candidates of one query, or similar items of one item.")
    candidates: int = Field(
        default=100_000, ge=1, le=10_000_000, description="Candidates in one answer: the sum of k over its queries."
    )
    ids: int = Field(
        default=100_000, ge=1, le=10_000_000, description="Ids in one list, such as a history or exclusions."
    )
    id_length: int = Field(default=1024, ge=1, le=65_536, description="Characters of an id.")
    text_length: int = Field(
        default=10_000, ge=1, le=1_000_000, description="Characters of a text, a filter, or a query in Cypher."
    )
    explanations: int = Field(default=20, ge=1, le=1000, description="Items explained in one request.")
    seconds: float = Field(default=10.0, gt=0, le=3600, description="How long one answer may take.")
    head_seconds: float = Field(
        default=10.0, gt=0, le=3600, description="How long a client may take to send the head of a request."
    )
    body_seconds: float = Field(
        default=10.0, gt=0, le=3600, description="How long a client may take to send the body of a request."
    )
    send_seconds: float = Field(
        default=60.0, gt=0, le=3600, description="How long a client may take until it reads on in an answer."
    )
    waiting: int = Field(
        default=100, ge=1, le=100_000, description="Requests that may wait in one worker; more are refused at once."
    )


class ServiceSettings(Settings):
    """How the HTTP service listens. Options of `graphrecall serve` take precedence; a refresh ignores the section."""

    section: ClassVar[str] = "service"

    host: str = Field(
        default="127.0.0.1", min_length=1, description="Address to listen on. Other machines reach 0.0.0.0 or ::."
    )
    port: int = Field(default=8000, ge=0, le=65_535, description="Port; 0 takes a free one, which the log names.")
    workers: int = Field(
        default=1, ge=1, le=256, description="Processes that answer; they share the memory of the run."
    )
    threads: int = Field(default=2, ge=1, le=256, description="Requests that one worker answers at the same time.")
    reload_every: float = Field(
        default=5.0, gt=0, le=86_400, description="Seconds between two looks whether another run serves."
    )
    warm_text: bool = Field(
        default=True,
        description="Load the text model before the first request; false where no request carries a text.",
    )
    api_key_file: Path | None = Field(
        default=None,
        description="File with the key that requests must carry, relative to the configuration file. The variable "
        "GRAPHRECALL_API_KEY takes precedence. Default: no key is asked for.",
    )
    hosts: tuple[str, ...] = Field(
        default=(),
        description="Names under which the service may be asked, as in the Host header. Default: those of the machine "
        "itself where it listens on its loopback address, else any.",
    )
    cors_origins: tuple[str, ...] = Field(
        default=(), description="Origins of web pages of others that may ask, such as https://shop.example."
    )
    cypher: bool = Field(default=False, description="Whether POST /cypher answers queries that only read.")
    log_ids: bool = Field(
        default=False, description="Whether the access log has whole paths, in which the ids of users stand."
    )
    stop_seconds: int = Field(
        default=30, ge=0, le=3600, description="How long a stop waits for requests that are being answered."
    )
    limits: ServiceLimits = Field(default=ServiceLimits(), description="What a request may ask for.")
