"""Answers as tables: in notebooks, as files, and for other libraries."""

from __future__ import annotations

import json

import polars as pl
import pyarrow as pa
import pytest

from recall.contracts import CANDIDATE_SCHEMA, Candidates, SimilarItems
from recall.contracts.answer import SHOWN_ROWS

TABLE = pa.table(
    {
        "user_id": ["u1", "u1", "u2"],
        "item_id": ["m1", "m2", "<b>m3</b>"],
        "score": [0.5, 0.25, -1.0],
        "rank": [1, 2, 1],
        "source": ["ease"] * 3,
        "title": ["One & only", "\u202eTwo", None],
    }
)


def test_the_columns_in_their_order_and_types():
    shuffled = Candidates(TABLE.select(["title", "rank", "score", "source", "item_id", "user_id"]))
    assert shuffled.table.column_names == [*CANDIDATE_SCHEMA.names, "title"]
    assert shuffled.table.schema.field("score").type == pa.float32()
    assert pl.DataFrame(shuffled).shape == (3, 6)
    assert [row["item_id"] for row in shuffled.of("u1")] == ["m1", "m2"]


def test_a_notebook_shows_the_first_rows_with_everything_escaped():
    page = Candidates(TABLE)._repr_html_()
    assert page.count("<tr>") == 4
    assert "&lt;b&gt;m3" in page
    assert "<b>m3" not in page
    assert "<bdi>One &amp; only</bdi>" in page
    assert '<td style="text-align:right">-1.0000</td>' in page
    assert "rows" not in page
    many = pa.concat_tables([TABLE] * 10)
    assert f"30 rows, the first {SHOWN_ROWS} are shown" in Candidates(many)._repr_html_()


def test_files_by_their_ending(tmp_path):
    assert Candidates(TABLE).write(tmp_path / "c.jsonl") == 3
    first = json.loads((tmp_path / "c.jsonl").read_text().splitlines()[0])
    assert first == {"user_id": "u1", "item_id": "m1", "score": 0.5, "rank": 1, "source": "ease", "title": "One & only"}
    Candidates(TABLE).write(tmp_path / "c.csv")
    assert (tmp_path / "c.csv").read_text().splitlines()[0] == '"user_id","item_id","score","rank","source","title"'


@pytest.mark.parametrize("kind", [Candidates, SimilarItems])
def test_nothing_under_one_another(kind):
    assert len(kind.concat([])) == 0
    assert kind.concat([]).table.schema == kind.schema
    assert "<tbody></tbody>" in kind.concat([])._repr_html_()


def test_text_shows_titles_where_there_are_any():
    assert "m1  0.5000  ease  One & only" in repr(Candidates(TABLE))
    similar = pa.table({"item_id": ["a"], "similar_id": ["b"], "score": [0.5], "rank": [1], "title": ["B"]})
    assert repr(SimilarItems(similar)).splitlines()[1] == "  a    1. b  0.5000  B"
