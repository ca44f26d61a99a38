"""Who is to be forgotten, and under which names users go: the key, and a list that holds keyed hashes alone.

Both lie in `.privacy` of the runs folder unless the configuration puts the key elsewhere. Who reads both can ask
whether a user whose id is known is on the list, as a refresh does; nobody can read ids from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from kg.errors import ArtifactError, ConfigError
from kg.io.files import digest, read_json, write_json
from kg.privacy.user_key import UserKey
from recall.config.privacy import PrivacyConfig
from recall.runs.config import read_section
from recall.runs.layout import RunLayout
from recall.runs.registry import RunsFolder

KEY, LIST = "key", "forgotten.json"
_FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """One who is to be forgotten.

    Attributes:
        mark: a keyed hash (kg.privacy.user_key).
        since: ISO 8601, UTC.
        done: whether nothing is left under the runs folder; until then the next refresh continues with it.
    """

    mark: str
    since: str
    done: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Privacy:
    """The list of a runs folder, and the key it needs.

    Attributes:
        folder: of the list.
        key_file: of the key.
        pseudonyms: whether users go by pseudonyms.
        key: None where nothing needs one yet.
        users: the list.
    """

    folder: Path
    key_file: Path
    pseudonyms: bool
    key: UserKey | None = field(repr=False)
    users: tuple[Forgotten, ...]

    @classmethod
    def open(cls, runs: Path, config: PrivacyConfig | None = None) -> Privacy:
        """Read what a runs folder knows.

        Args:
            runs: the folder.
            config: where the key is, and whether users go by pseudonyms; a key is made then.

        Raises:
            ConfigError: the key is missing or another one, so that nobody on the list would be known.
            ArtifactError: the list is damaged.
        """
        config = config or PrivacyConfig()
        folder = RunsFolder(runs).privacy_root
        key_file = folder / KEY if config.key_file is None else Path(config.key_file)
        name, users = _read(folder / LIST)
        key = UserKey.load(key_file) if key_file.exists() else None
        if name is not None and key is None:
            raise ConfigError(
                f"the key of the user ids is not at {key_file}, and without it nobody on the list {folder / LIST} is "
                "known: restore it from a backup, or correct privacy.key_file"
            )
        if name is not None and key is not None and key.name != name:
            raise ConfigError(
                f"{key_file} is not the key that the list {folder / LIST} was made with: restore that one, or correct "
                "privacy.key_file"
            )
        privacy = cls(folder=folder, key_file=key_file, pseudonyms=config.pseudonyms, key=key, users=users)
        return privacy.with_key() if config.pseudonyms and name is None else privacy

    def with_key(self) -> Privacy:
        """The same with a key, which is made when there is none.

        Raises:
            ConfigError: it cannot be written.
        """
        with_key = self if self.key is not None else replace(self, key=UserKey.create(self.key_file))
        with_key._save()
        return with_key

    @staticmethod
    def somebody_is_forgotten(runs: Path) -> bool:
        """Whether anybody is on the list of a runs folder.

        Raises:
            ArtifactError: the list is damaged.
        """
        return bool(_read(RunsFolder(runs).privacy_root / LIST)[1])

    @property
    def marks(self) -> frozenset[str]:
        """Of all who are to be forgotten."""
        return frozenset(user.mark for user in self.users)

    @property
    def pending(self) -> frozenset[str]:
        """Of those who are not yet forgotten everywhere."""
        return frozenset(user.mark for user in self.users if not user.done)

    def fingerprint(self, inputs: str) -> str:
        """A digest of inputs and of this list, the inputs' own where it is empty."""
        return digest({"inputs": inputs, "forgotten": sorted(self.marks)}) if self.users else inputs

    def add(self, marks: Iterable[str]) -> Privacy:
        """Put users on the list; those who are there already are pending again."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        there = {user.mark: user for user in self.users}
        for mark in marks:
            there[mark] = replace(there[mark], done=False) if mark in there else Forgotten(mark=mark, since=now)
        return self._with(there.values())

    def remove(self, marks: Iterable[str]) -> Privacy:
        """Take users off the list."""
        off = set(marks)
        return self._with(user for user in self.users if user.mark not in off)

    def finish(self, marks: Iterable[str]) -> Privacy:
        """Note that nothing is left of some users."""
        over = set(marks)
        return self._with(replace(user, done=user.done or user.mark in over) for user in self.users)

    def _with(self, users: Iterable[Forgotten]) -> Privacy:
        changed = replace(self, users=tuple(sorted(users, key=lambda user: user.mark)))
        changed._save()
        return changed

    def _save(self) -> None:
        if self.key is None:
            raise ConfigError("a list of users needs a key: this is a mistake in graphrecall")
        body = {"format": _FORMAT, "key": self.key.name, "users": [asdict(user) for user in self.users]}
        write_json(self.folder / LIST, {**body, "digest": digest(body)})


def _read(file: Path) -> tuple[str | None, tuple[Forgotten, ...]]:
    """The name of the list's key, None where there is no list, and who is on it."""
    if not file.exists():
        return None, ()
    data = read_json(file)
    advice = f"{file} is damaged: restore it from a backup; without it those who are to be forgotten would come back"
    try:
        body = {name: value for name, value in data.items() if name != "digest"}
        if body["format"] != _FORMAT or digest(body) != data["digest"]:
            raise ArtifactError(advice)
        return str(body["key"]), tuple(Forgotten(**user) for user in body["users"])
    except (AttributeError, KeyError, TypeError) as error:
        raise ArtifactError(advice) from error


def privacy_of(run: RunLayout) -> PrivacyConfig:
    """How a run names users.

    Raises:
        ArtifactError: its configuration is damaged.
    """
    return read_section(run, "privacy", PrivacyConfig) or PrivacyConfig()


def names_in_run(run: RunLayout | Path | str, ids: Sequence[str]) -> list[str]:
    """What a run calls users: their pseudonyms where it has any, else their ids.

    With them a `Recommender` of the run is asked: `rec.recommend(names_in_run("runs/current", ["u42"]))`.

    Args:
        run: published; its folder, or the link to it.
        ids: of users, as the sources name them.

    Raises:
        ConfigError: the run has pseudonyms, and their key is not there.
        ArtifactError: its configuration is damaged.
    """
    run = run if isinstance(run, RunLayout) else RunLayout.open(run)
    config = privacy_of(run)
    if not config.pseudonyms:
        return list(ids)
    key = RunsFolder.of(run).privacy_root / KEY
    file = key if config.key_file is None else Path(config.key_file)
    return UserKey.load(file).pseudonyms(ids)


def marks_in_run(run: RunLayout, key: UserKey, names: Sequence[str]) -> list[str]:
    """The marks of users by what a run calls them."""
    return key.marks(names) if privacy_of(run).pseudonyms else key.marks_of_ids(names)
