"""Results as people read them: tables within 100 columns, and the same facts as plain data for `--json`."""

from __future__ import annotations

import json
import math
import unicodedata
from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from recall.ops.words import duration, size

if TYPE_CHECKING:
    from kg.cypher.ready import ReadyQuery
    from kg.stores.neo4j.write.load import LoadFacts
    from kg.stores.neo4j.write.write_back import WriteBackFacts
    from recall.contracts import Candidates
    from recall.explain.explainer import Because, ChannelPart, Connection, Explanation
    from recall.ops.doctor import Check
    from recall.serve.recommender import OnUnknown, Recommender
    from recall.tuning.tune import Searched, TuneResult

MOST_LIKED_SHOWN = 10
TOP_REASONS = 5
TOP_TRIALS = 10
LONGEST_LIST = 20
BAR = 20
_JOINERS = "\u200c\u200d"
SHORT = ("recall", "ndcg", "hit_rate", "coverage", "novelty", "long_tail")


def table(*columns: str, right: Sequence[str] = (), title: str | None = None) -> Table:
    """An empty table in the house style; columns named in `right` hold numbers."""
    heading = None if title is None else Text(title, style="bold")
    made = Table(box=box.SIMPLE_HEAD, title=heading, title_justify="left", pad_edge=False)
    for name in columns:
        made.add_column(name, justify="right" if name in right else "left", overflow="fold")
    return made


def labelled(label: str, text: str) -> Table:
    """A line with a heading at its left."""
    made = Table(box=None, show_header=False, padding=0)
    made.add_column(width=9, style="bold")
    made.add_column(overflow="fold")
    made.add_row(label, Text(text))
    return made


def near(path: Path) -> Path:
    """Relative to where the reader is, when it lies below."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def print_metrics(evaluation: Mapping[str, Any], *, console: Console) -> None:
    """A table of rankers for every group of users and cut-off."""
    rows = evaluation["metrics"]
    serves = evaluation.get("serves", "model")
    for group in dict.fromkeys(row["group"] for row in rows):
        of_group = [row for row in rows if row["group"] == group]
        for k in evaluation["k"]:
            made = table(
                "ranker",
                *(f"{name}@{k}" for name in SHORT),
                right=[f"{name}@{k}" for name in SHORT],
                title=f"{group}, {of_group[0]['users']:,} of them, {evaluation['split']['kind']} split, test",
            )
            for row in of_group:
                values = [f"{row[f'{name}@{k}']:.3f}" for name in SHORT]
                style = "bold" if row["ranker"] == serves else None
                made.add_row(row["ranker"], *values, style=style)
            console.print(made)
            intervals = of_group[0].get("intervals", {})
            told = [
                f"{name} {low:.3f} to {high:.3f}" for name, (low, high) in intervals.items() if name.endswith(f"@{k}")
            ]
            if told:
                console.print(
                    Text(f"95% bootstrap interval of the {serves} over users: {', '.join(told)}", style="dim")
                )


def print_tune(result: TuneResult, *, console: Console) -> None:
    """The best trials of every search with what they change, and the file that holds the best of them."""
    for search in result.searches:
        _print_search(search, result, console=console)
    for search in result.searches:
        console.print(labelled("best", f"{search.name}: {_against(search, result.metric)}"))
    # In one line, however long: a path is there to be copied.
    console.print(Text.assemble(("written  ", "bold"), str(near(result.out))), style="green", soft_wrap=True)


def _print_search(search: Searched, result: TuneResult, *, console: Console) -> None:
    ranked = sorted(
        (trial for trial in search.trials if trial.value is not None), key=lambda one: (-(one.value or 0.0), one.number)
    )
    names = list(ranked[0].metrics)
    columns = [*names, *(["steps"] if ranked[0].steps is not None else []), "time"]
    made = table(
        "trial",
        *columns,
        "changed",
        right=["trial", *columns],
        title=f"{search.name}: the best trials on validation, {result.users:,} users",
    )
    for trial in ranked[:TOP_TRIALS]:
        changed = [
            f"{name.rpartition('.')[2]} {json.dumps(value)}"
            for name, value in trial.settings.items()
            if value != search.configured.settings[name]
        ]
        made.add_row(
            str(trial.number),
            *(f"{trial.metrics[name]:.4f}" for name in names),
            *([str(trial.steps)] if "steps" in columns else []),
            duration(trial.seconds),
            Text("nothing: as configured" if trial is search.configured else ", ".join(changed) or "nothing"),
            style="bold" if trial is search.best else None,
        )
    console.print(made)
    states = [trial.state for trial in search.trials]
    told = ", ".join(
        f"{states.count(state)} {state}" for state in ("finished", "given up", "failed") if state in states
    )
    console.print(labelled("trials", told))
    for trial in search.trials:
        if trial.error is not None:
            console.print(Text(f"trial {trial.number} failed: {trial.error}", style="yellow"), soft_wrap=True)
    if search.best.steps == result.max_steps:
        console.print(
            Text(f"the best trial took all of training.max_steps = {result.max_steps}: try more", style="yellow"),
            soft_wrap=True,
        )


def _against(search: Searched, metric: str) -> str:
    best, configured = search.best, search.configured
    shown = f"{metric} {best.value:.4f} on validation"
    if best is configured:
        return f"{shown}, as configured"
    if not configured.value or best.value is None:
        return shown
    return f"{shown}, {best.value / configured.value - 1:+.1%} against {configured.value:.4f} as configured"


def checks_data(checks: Sequence[Check]) -> dict[str, Any]:
    """The doctor's findings as plain data."""
    return {
        "sound": not any(check.status == "broken" for check in checks),
        "checks": [
            {"group": check.group, "name": check.name, "status": check.status, "detail": check.detail}
            for check in checks
        ],
    }


def print_checks(checks: Sequence[Check], *, console: Console) -> None:
    """The doctor's findings under their headings."""
    marks = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "broken": ("✗", "red")}
    for group in dict.fromkeys(check.group for check in checks):
        console.print(Text(group, style="bold"))
        made = Table(box=None, show_header=False, padding=(0, 1), pad_edge=True)
        for check in (one for one in checks if one.group == group):
            mark, style = marks[check.status]
            made.add_row(
                Text(mark, style=style), Text(check.name), Text(check.detail, style="" if style == "green" else style)
            )
        console.print(made)
    broken = sum(check.status == "broken" for check in checks)
    console.print("[green]sound[/green]" if not broken else f"[red]{broken} broken[/red]")


def print_files(folder: Path, files: Mapping[str, int], *, console: Console) -> None:
    """The files of an export with their sizes."""
    made = table("file", "size", right=["size"])
    for name, count in files.items():
        made.add_row(name, size(count))
    console.print(made)
    console.print(f"written to {folder}", soft_wrap=True)


def print_write_back(facts: WriteBackFacts, *, console: Console) -> None:
    """What went into the database of a run."""
    what = [f"{facts.candidates:,} candidates"]
    what += [f"vectors of {count:,} {role}" for role, count in facts.vectors.items()]
    lacking = f"; {facts.missing:,} of them found no node" if facts.missing else ""
    done = "written back" if facts.status == "written" else "were there"
    console.print(labelled("neo4j", f"{', '.join(what)} {done}{lacking}"), style="green")


def print_load(server: str, facts: LoadFacts, *, console: Console) -> None:
    """What a database holds after a load."""
    shown = table("in the database", "count", right=["count"])
    for label, count in facts.nodes.items():
        shown.add_row(Text(f"(:{label})"), f"{count:,}")
    for kind, count in facts.relationships.items():
        shown.add_row(Text(f"-[:{kind}]->"), f"{count:,}")
    console.print(shown)
    done = (
        f"{facts.written:,} nodes and relationships written" if facts.written else "nothing to do, all of it was there"
    )
    console.print(labelled("load", f"{server}: {done}"), style="green")


def ready_data(queries: Mapping[str, ReadyQuery]) -> dict[str, Any]:
    """The ready queries as plain data."""
    return {
        "ready": [
            {
                "name": one.name,
                "help": one.help,
                "parameters": list(one.parameters),
                "defaults": dict(one.defaults),
                "text": one.text,
            }
            for one in queries.values()
        ]
    }


def print_ready(queries: Mapping[str, ReadyQuery], *, console: Console) -> None:
    """The ready queries, a line each, and how to ask one."""
    made = table("--ready", "--param", "what it tells")
    for one in queries.values():
        values = [f"{name}=..." for name in one.parameters]
        values += [f"{name}:={value}" for name, value in one.defaults.items()]
        made.add_row(Text(one.name), Text("\n".join(values)), Text(one.help))
    console.print(made)


def rows_data(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The answer of a query as JSON can hold it: times as ISO 8601, bytes as base64, NaN and infinity by name."""
    return [{name: _json_value(value) for name, value in row.items()} for row in rows]


def print_rows(rows: Sequence[Mapping[str, Any]], *, console: Console) -> None:
    """The answer of a query, a line a row; nodes and relationships as Cypher writes them."""
    if not rows:
        console.print("no rows")
        return
    numbers = [name for name in rows[0] if all(_is_number(row[name]) for row in rows)]
    names = {name: escape(_visible(name)) for name in rows[0]}
    made = table(*names.values(), right=[names[name] for name in numbers])
    for row in rows:
        made.add_row(*(Text(_cell(value)) for value in row.values()))
    console.print(made)
    console.print(Text(f"{len(rows):,} row{'s' if len(rows) > 1 else ''}", style="dim"))


def liked(recommender: Recommender, user: str) -> list[dict[str, Any]]:
    """What a user likes, latest first: id, title, timestamp and rating where there are any.

    Raises:
        UnknownIdError: the user is not in the graph.
    """
    graph = recommender.graph
    (position,) = graph.users.index([user])
    interactions = graph.interactions
    rows = np.flatnonzero((interactions.user == position) & interactions.positive)
    rows = rows[np.argsort(-interactions.timestamp[rows], kind="stable")]
    table = graph.edges[graph.schema.interaction_key].take(pa.array(rows))
    ids = graph.items.take(interactions.item[rows]).to_pylist()
    columns = {name: table[name].to_pylist() for name in ("rating", "timestamp") if name in table.column_names}
    return [
        {"item_id": item, "title": recommender.title(item), **{name: values[at] for name, values in columns.items()}}
        for at, item in enumerate(ids)
    ]


def user_data(
    recommender: Recommender,
    users: Sequence[str],
    *,
    k: int,
    history: bool = False,
    explain: bool = False,
    candidates: Sequence[str] | None = None,
    on_unknown: OnUnknown = "raise",
) -> dict[str, Any]:
    """Candidates with titles, and on request each user's history and the reasons for the best candidate."""
    found = recommender.recommend(users, k=k, candidates=candidates, on_unknown=on_unknown)
    rows = [{**row, "title": recommender.title(row["item_id"])} for row in found]
    data: dict[str, Any] = {"candidates": rows}
    known = [user for user in users if _is_known(recommender, user)]
    if history:
        data["history"] = {user: liked(recommender, user) for user in known}
    if explain:
        best = {row["user_id"]: row["item_id"] for row in rows if row["rank"] == 1 and row["user_id"] in known}
        data["explanations"] = [one.to_json() for one in recommender.explain(list(best.items()))]
    return data


def print_user(
    recommender: Recommender,
    user: str,
    *,
    k: int,
    console: Console,
    history: bool = False,
    explain: bool = False,
    candidates: Sequence[str] | None = None,
    on_unknown: OnUnknown = "raise",
) -> None:
    """One user's candidates, and on request the history before them and the reasons for the best one after them."""
    found = recommender.recommend([user], k=k, candidates=candidates, on_unknown=on_unknown)
    known = _is_known(recommender, user)
    if history and known:
        _print_liked(liked(recommender, user), user, console=console)
    if not len(found):
        why = "has seen all of them" if known else "is not in the graph"
        console.print(Text(f"no candidates for user {user}, who {why}"))
        return
    _print_ranked(recommender, found, title=f"{len(found)} candidates for user {user}", console=console)
    if "popular" in found.table["source"].to_pylist():
        who = "has no positive interaction" if known else "is not in the graph"
        console.print(Text(f"user {user} {who}: these are the most liked items", style="yellow"))
    if explain and known:
        (explanation,) = recommender.explain([(user, found.table["item_id"][0].as_py())])
        print_explanation(explanation, console=console)


def similar_data(recommender: Recommender, items: Sequence[str], *, k: int) -> dict[str, Any]:
    """Similar items as plain data."""
    return {
        "similar": [
            {
                "item_id": row["user_id"],
                "similar_id": row["item_id"],
                "title": recommender.title(row["item_id"]),
                "score": row["score"],
                "rank": row["rank"],
            }
            for row in recommender.similar(items, k=k)
        ]
    }


def print_similar(recommender: Recommender, items: Sequence[str], *, k: int, console: Console) -> None:
    """A table for each item."""
    found = recommender.similar(items, k=k)
    for item in dict.fromkeys(items):
        rows = [row for row in found if row["user_id"] == item]
        made = table(
            "", "title", "cosine", "id", right=["", "cosine"], title=f"like {recommender.title(item)} ({item})"
        )
        for row in rows:
            title = Text(recommender.title(row["item_id"]))
            made.add_row(str(row["rank"]), title, f"{row['score']:.3f}", Text(row["item_id"]))
        console.print(made if rows else Text(f"nothing was learned about {item}, so nothing is similar to it"))


def print_explanation(explanation: Explanation, *, console: Console) -> None:
    """Shares as bars, paths as sentences."""
    item, user = explanation.item, explanation.user
    name = item.title if item.title == item.id else f"{item.title} ({item.id})"
    head = Text.assemble(("Why ", "bold"), (name, "bold cyan"), (f" for user {user.title}", "bold"))
    console.print(head + Text(f"   score {explanation.score:.4f} from {explanation.source}", style="dim"))
    console.print()
    if explanation.parts:
        _print_parts(explanation.parts, console)
    if explanation.reason is not None:
        console.print(Text(f"no shares: {explanation.reason}"))
    else:
        _print_reasons("because of, from the user's side; the shares add up to the score", explanation.history, console)
        _print_reasons("because of, from the item's side; the same score, split again", explanation.neighbours, console)
    if not explanation.paths:
        console.print(Text("no path of the graph connects the two within the hops asked for", style="dim"))
    else:
        _print_paths(explanation, console)
    if explanation.linked_fraction is not None:
        console.print(
            Text(
                f"pairs of outer hops that the graph joins carry {explanation.linked_fraction:.1%} of all shares", "dim"
            )
        )


def _print_liked(rows: Sequence[Mapping[str, Any]], user: str, *, console: Console) -> None:
    shown = rows[:MOST_LIKED_SHOWN]
    extra = [name for name in ("rating", "timestamp") if any(row.get(name) is not None for row in shown)]
    heads = ["on" if name == "timestamp" else name for name in extra]
    if not rows:
        console.print(Text(f"user {user} likes no item", style="bold"))
        return
    some = f", {'the latest' if 'timestamp' in extra else 'some of them'}:" if len(rows) > len(shown) else ":"
    console.print(Text(f"user {user} likes {len(rows)} item{'s' if len(rows) > 1 else ''}{some}", style="bold"))
    made = table("title", *heads, "id", right=["rating"])
    for row in shown:
        values = [_day(row[name]) if name == "timestamp" else _number(row[name]) for name in extra]
        made.add_row(Text(row["title"]), *values, Text(row["item_id"]))
    console.print(made)


def _json_value(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(_json_value(key)): _json_value(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_json_value(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else f"{'-' if value < 0 else ''}Infinity"
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, timedelta):
        return f"P{value.days}DT{value.seconds + value.microseconds / 1e6:g}S"
    if isinstance(value, bytes):
        return b64encode(value).decode("ascii")
    return value.isoformat() if isinstance(value, date | time) else str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _cell(value: Any) -> str:
    """A value as Cypher writes it; a text that is a whole cell stands without quotes."""
    if value is None:
        return ""
    return _visible(value if isinstance(value, str) else _as_cypher(value))


def _as_cypher(value: Any) -> str:
    if isinstance(value, Mapping):
        if value.keys() == {"labels", "properties"}:
            return f"({''.join(f':{label}' for label in value['labels'])}{_properties(value)})"
        if value.keys() == {"type", "properties"}:
            return f"[:{value['type']}{_properties(value)}]"
        if value.keys() == {"nodes", "relationships"}:
            steps = [_as_cypher(step) for step in value["relationships"]]
            nodes = [_as_cypher(node) for node in value["nodes"]]
            return nodes[0] + "".join(f"-{step}-{node}" for step, node in zip(steps, nodes[1:], strict=True))
        return "{" + ", ".join(f"{key}: {_as_cypher(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        shown = [_as_cypher(inner) for inner in value[:LONGEST_LIST]]
        # A vector would fill the screen.
        more = [f"... {len(value):,} in all"] if len(value) > LONGEST_LIST else []
        return "[" + ", ".join([*shown, *more]) + "]"
    return json.dumps(_json_value(value), ensure_ascii=False)


def _properties(entity: Mapping[str, Any]) -> str:
    return f" {_as_cypher(entity['properties'])}" if entity["properties"] else ""


def _visible(text: str) -> str:
    """Without characters that move a terminal's cursor or turn the direction of a line."""
    return "".join(
        f"\\u{ord(one):04x}" if unicodedata.category(one) in ("Cc", "Cf") and one not in _JOINERS else one
        for one in text
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _day(seconds: int | None) -> str:
    return "" if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d}"


def _print_ranked(recommender: Recommender, found: Candidates, *, title: str, console: Console) -> None:
    made = table("", "title", "score", "id", "source", right=["", "score"], title=title)
    for row in found:
        name = Text(recommender.title(row["item_id"]))
        made.add_row(str(row["rank"]), name, f"{row['score']:.4f}", Text(row["item_id"]), Text(row["source"], "dim"))
    console.print(made)


def _print_parts(parts: Sequence[ChannelPart], console: Console) -> None:
    console.print(Text("from the channels; their parts add up to the score", style="bold"))
    _print_bars([(part.text, part.share, part.fraction) for part in parts], console)


def _print_reasons(heading: str, reasons: Sequence[Because], console: Console) -> None:
    console.print(Text(heading, style="bold"))
    hops, own = reasons[:-1], reasons[-1]
    rest = hops[TOP_REASONS:]
    lines = [(reason.text, reason.share, reason.fraction) for reason in hops[:TOP_REASONS]]
    if rest:
        fractions = [reason.fraction for reason in rest if reason.fraction is not None]
        lines.append((f"and {len(rest)} more", sum(r.share for r in rest), sum(fractions) if fractions else None))
    lines.append((own.text.removeprefix("of "), own.share, own.fraction))
    _print_bars(lines, console)


def _print_bars(lines: Sequence[tuple[str, float, float | None]], console: Console) -> None:
    largest = max(abs(share) for _, share, _ in lines) or 1.0
    made = Table(box=None, show_header=False, padding=(0, 1))
    made.add_column(justify="right", no_wrap=True)
    made.add_column(no_wrap=True, width=BAR)
    made.add_column(overflow="fold")
    for text, share, fraction in lines:
        amount = f"{share:+.3g}" if fraction is None else f"{fraction:.1%}"
        # The sum of the rest is no single reason: its bar is shown, but dim.
        color = ("cyan" if share >= 0 else "red") + (" dim" if text.startswith("and ") else "")
        bar = Text("█" * max(round(BAR * abs(share) / largest), 1), style=color)
        made.add_row(amount, bar, Text(text))
    console.print(made)
    console.print()


def _print_paths(explanation: Explanation, console: Console) -> None:
    console.print(Text("connected by; paths of the graph, not causes of the score", style="bold"))
    made = Table(box=None, show_header=False, padding=(0, 1))
    made.add_column(justify="right", no_wrap=True)
    made.add_column(overflow="fold")
    made.add_column(justify="right", no_wrap=True, style="dim")
    for number, path in enumerate(explanation.paths, start=1):
        made.add_row(str(number), Text(path.text), _carried(path))
    single = sum(not path.users for path in explanation.paths)
    if explanation.found > single:
        made.add_row("", Text(f"and {explanation.found - single} more paths", style="dim"), "")
    console.print(made)
    console.print(Text("right: what the outer hops of a path carry of the score", style="dim"))


def _carried(path: Connection) -> str:
    if path.share is None:
        return ""
    if path.repeats is not None:
        return f"as {path.repeats + 1}"
    return f"{path.share:+.3g}" if path.fraction is None else f"{path.fraction:.2%}"


def _is_known(recommender: Recommender, user: str) -> bool:
    return bool(recommender.graph.users.index([user], missing="negative")[0] >= 0)
