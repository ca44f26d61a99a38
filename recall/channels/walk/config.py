"""Hyper-parameters of the typed walk."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from kg.settings import Settings


class WalkConfig(Settings):
    """Hyper-parameters of the typed walk: paths through the graph that are the score."""

    section: ClassVar[str] = "channels.walk"

    weights: dict[str, float] | None = Field(
        default=None,
        description="Weight of each type of step, by its name in the report; default: found on the validation part, "
        "and without one those that are usual for the graph.",
    )
    trials: int = Field(
        default=40,
        ge=0,
        description="Changes of the settings below that are tried on the validation part; 0 keeps them as "
        "they stand here.",
    )
    trial_users: int = Field(
        default=2000, ge=1, description="Users of the validation part, drawn by the seed, that weights are found on."
    )
    seed: int = Field(default=0, description="Seed of the trials, of the users and of the items they are compared on.")
    age_decay: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="What an item of the history counts less for each newer item; 1: all count the same. Default: 0.8 "
        "where interactions have times or an order of their own, else 1.",
    )
    dislike: float = Field(
        default=0.0,
        ge=-1,
        le=1,
        description="What an item that the user interacted with and does not like counts, beside a liked one, in steps "
        "through users; below 0 it counts against what it leads to.",
    )
    popularity_power: float = Field(
        default=0.5, ge=0, description="Power of an item's likes in what popularity adds to its score."
    )
    user_start: float = Field(default=0.5, ge=0, description="Steps through users: power of the likes of the start.")
    user_middle: float = Field(default=0.5, ge=0, description="Steps through users: power of the likes of the user.")
    user_end: float = Field(
        default=0.3,
        ge=-1,
        description="Steps through users: power of the likes of the end; below 0 much liked ends count more, as "
        "very sparse data wants.",
    )
    next_start: float = Field(default=0.2, ge=0, description="Steps to what followed: power of the likes of the start.")
    next_middle: float = Field(
        default=0.0, ge=0, description="Steps to what followed: power of the number of likes of the user."
    )
    next_end: float = Field(default=0.1, ge=0, description="Steps to what followed: power of the likes of the end.")
    next_decay: float = Field(
        default=0.9, gt=0, le=1, description="Steps to what followed: what one more place between the two costs."
    )
    next_window: int = Field(
        default=20, ge=0, description="Largest number of places between the two; 0: no steps to what followed."
    )
    relation_start: float = Field(
        default=0.0, ge=0, description="Steps through the graph: power of the number of entities of the start."
    )
    relation_middle: float = Field(
        default=0.5, ge=0, description="Steps through the graph: power of the number of items that the entity joins."
    )
    relation_end: float = Field(
        default=0.0, ge=0, description="Steps through the graph: power of the number of entities of the end."
    )
    relation_likes: float = Field(
        default=0.3,
        ge=0,
        description="Steps through the graph: power of 1 + likes of the end, by which a path counts more.",
    )
    rarity: float = Field(
        default=0.0, ge=0, description="Steps through the graph: power of ln(items / items that the entity joins)."
    )
    relations: tuple[str, ...] | None = Field(
        default=None, description="Names of the relations that are walked; default: all that touch items."
    )
    chains: bool = Field(
        default=False,
        description="Also walk through two relations, item - band - member - band - item; the trials turn it on where "
        "that ranks better.",
    )
    text_power: float = Field(default=3.0, ge=0, description="Steps to similar texts: power of the cosine.")
    text_likes: float = Field(
        default=0.3, ge=0, description="Steps to similar texts: power of 1 + likes of the end, by which it counts more."
    )
    neighbours: int = Field(default=500, ge=1, description="Ends kept for each item and type of step.")
    text_neighbours: int = Field(default=50, ge=1, description="Most similar texts kept for each item.")
    longest: int = Field(
        default=2000, ge=1, description="Likes up to which a user is walked through, for others than themselves."
    )

    @property
    def decay(self) -> float:
        """`age_decay`, 1 where it was not chosen yet."""
        return 1.0 if self.age_decay is None else self.age_decay
