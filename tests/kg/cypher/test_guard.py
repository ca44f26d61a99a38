from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kg.cypher.guard import PROCEDURES, as_explain, check_read_only
from kg.errors import QueryRefusedError

if TYPE_CHECKING:
    from kg.stores.neo4j.client import Neo4jStore

READS = [
    "MATCH (m:Movie {id: $id})--(x) RETURN x",
    "match (m:Movie) where m.year >= 1990 return m order by m.name limit 5;",
    "OPTIONAL MATCH (n) RETURN count(n) AS n ;\n// the end",
    "WITH 1 AS one UNWIND [1, 2.5, 1e3, 1.5e-3, 0xFF, -1] AS x RETURN one, x",
    "UNWIND range(1, 3) AS x RETURN x * 2 / 3 % 4 ^ 2",
    "CALL { MATCH (n) RETURN n LIMIT 1 } RETURN n",
    "MATCH (n) CALL (n) { RETURN 1 AS one } RETURN one",
    "CALL db.labels() YIELD label RETURN label",
    "CALL db.labels",
    "CALL `db`.`labels`()",
    "EXPLAIN MATCH (n) RETURN n",
    "PROFILE MATCH (n) RETURN n",
    "MATCH (a)-[:A|B*1..3]->(b) WHERE (a)--(b) AND NOT a = b RETURN [x IN [1, 2] WHERE x > 1 | x] AS xs",
    "MATCH (n) WHERE EXISTS { MATCH (n)--() } RETURN n{.*, a: 1}, n.list[0], n['x'], $list[1..2], $1",
    "RETURN date.truncate('day', date('2020-01-01')) AS d, point.distance(point({x: 1, y: 2}), $p) AS p",
    "RETURN 'it\\'s', \"\\\"\", 'CREATE (n)', \"SET\", '// DELETE', '/* x', 'a\nb', '`'",
    "RETURN 1 // DELETE everything, it's `fine`\r\n, 2",
    "/* LOAD CSV, don't */ MATCH (n) /* SET */ RETURN n",
    "MATCH (t:Transaction)-[:IN]->(b) RETURN t",
    "MATCH (n:`CREATE` {`set`: 1})-[:`LOAD ``CSV```]->() RETURN n.`delete`, $`set`",
    "MATCH (created)-[r:SETS]->(use_of {copy_of: 1}) RETURN created.loaded, $set, $load",
    "MATCH (n) WHERE n.größe > 1 RETURN n.größe AS straße, 'Ünïcödé 😀' AS 名前",
    "MATCH (a) RETURN a UNION ALL MATCH (b) RETURN b AS a",
    "MATCH (n:$($label)) RETURN n",
    "RETURN count(*) AS n, COUNT { MATCH () } AS m, reduce(s = 0, x IN [1] | s + x) AS r",
]

REFUSED = [
    ("CREATE (n)", "CREATE", 1),
    ("MATCH (n)\nSET n.x = 1", "SET", 2),
    ("match (n)\n\ndetach delete n", "detach", 3),
    ("MATCH (n) DELETE n", "DELETE", 1),
    ("MATCH (n) REMOVE n.x", "REMOVE", 1),
    ("MERGE (n {id: 1})", "MERGE", 1),
    ("INSERT (n)", "INSERT", 1),
    ("WITH 1 AS x FOREACH (y IN [1] | CREATE (n))", "FOREACH", 1),
    ("DROP INDEX x", "DROP", 1),
    ("MATCH (n) CALL (n) { SET n.x = 1 } RETURN n", "SET", 1),
    ("MATCH (n) WHERE EXISTS { MERGE (m) } RETURN n", "MERGE", 1),
    ("/* MATCH */ CREATE (n)", "CREATE", 1),
    ("// RETURN\nCREATE (n)", "CREATE", 2),
    ("RETURN 1//\r\nSET", "SET", 2),
    ("MATCH (n)SET n.x=1", "SET", 1),
    ("MATCH (n) WHERE n.x='a'SET n.x=1", "SET", 1),
    ("MATCH (n)/**/SET/**/n.x=1", "SET", 1),
    ("EXPLAIN CREATE (n)", "CREATE", 1),
    ("PROFILE CREATE (n)", "CREATE", 1),
    ("LOAD CSV FROM 'file:///etc/passwd' AS row RETURN row", "LOAD", 1),
    ("MATCH (n) LOAD CSV FROM $url AS row RETURN row", "LOAD", 1),
    ("LOAD FROM '/etc/passwd' RETURN *", "LOAD", 1),
    ("LOAD EXTENSION httpfs", "LOAD", 1),
    ("COPY (MATCH (n) RETURN n) TO '/tmp/x.csv'", "COPY", 1),
    ("COPY Movie FROM 'x.csv'", "COPY", 1),
    ("EXPORT DATABASE 'x'", "EXPORT", 1),
    ("IMPORT DATABASE 'x'", "IMPORT", 1),
    ("ATTACH 'x' AS y (dbtype duckdb)", "ATTACH", 1),
    ("INSTALL httpfs", "INSTALL", 1),
    ("CHECKPOINT", "CHECKPOINT", 1),
    ("UPDATE EXTENSION fts", "UPDATE", 1),
    ("ALTER TABLE a ADD b INT64", "ALTER", 1),
    ("COMMENT ON TABLE a IS 'x'", "COMMENT", 1),
    ("BEGIN TRANSACTION", "BEGIN", 1),
    ("COMMIT", "COMMIT", 1),
    ("ROLLBACK", "ROLLBACK", 1),
    ("GRANT ROLE x TO y", "GRANT", 1),
    ("SHOW USERS", "SHOW", 1),
    ("TERMINATE TRANSACTION 'x'", "TERMINATE", 1),
    ("STOP DATABASE neo4j", "STOP", 1),
    ("USING PERIODIC COMMIT LOAD CSV FROM 'x' AS l RETURN l", "USING", 1),
    ("CYPHER runtime=slotted MATCH (n) RETURN n", "CYPHER", 1),
    ("USE system MATCH (n) RETURN n", "USE", 1),
    ("MATCH (n) CALL { USE other MATCH (m) RETURN m } RETURN m", "USE", 1),
    ("MATCH (n) CALL (n) { RETURN 1 AS x } IN TRANSACTIONS RETURN x", "TRANSACTIONS", 1),
    ("MATCH (n) CALL (n) { RETURN 1 AS x } IN 3 CONCURRENT TRANSACTIONS OF 2 ROWS RETURN x", "TRANSACTIONS", 1),
    ("CALL threads = 1", "threads", 1),
    ("CALL show_tables = 1", "show_tables", 1),
    ("CALL apoc.load.json('file:///etc/passwd') YIELD value RETURN value", "apoc.load.json", 1),
    ("CALL `apoc`.`load`.`json`('x')", "apoc.load.json", 1),
    ("CALL dbms.listConfig()", "dbms.listConfig", 1),
    ("CALL db.createLabel('x')", "db.createLabel", 1),
    ("CALL read_csv_serial('/etc/passwd')", "read_csv_serial", 1),
    ("CALL current_setting('threads') RETURN *", "current_setting", 1),
    ("MATCH (n) CALL\n/* x */ db . createLabel('x') RETURN 1", "db.createLabel", 1),
    ("CALL $procedure()", "CALL", 1),
    ("CALL", "CALL", 1),
    ("RETURN apoc.cypher.runFirstColumnSingle('CREATE (n)', {})", "apoc.cypher.runFirstColumnSingle", 1),
    ("RETURN `apoc` . `cypher`\n.`x` ('CREATE (n)', {})", "apoc.cypher.x", 1),
    ("RETURN nextval('numbers')", "nextval", 1),
    ("RETURN setseed(0.5)", "setseed", 1),
    ("MATCH (n) RETURN n; MATCH (m) DELETE m", "second statement", 1),
    ("RETURN 1;\nRETURN 2", "second statement", 1),
    ("RETURN '\\u0027", "\\u", 1),
    ("RETURN 1 AS `a\\u0060`", "\\u", 1),
    ("RETURN 1\n// \\U0000000A CREATE (n)", "\\u", 2),
    ("RETURN '\\\\u0027 CREATE (n) //'", "\\u", 1),
    ("RETURN 'C:\\path'", "'\\\\p'", 1),
    ("RETURN 'open", "does not end", 1),
    ('RETURN "open', "does not end", 1),
    ("RETURN\n\n`open", "does not end", 3),
    ("RETURN 1 /* open", "comment", 1),
    ("/***/ ' /* */ CREATE (n) //'", "comment", 1),
    ("RETURN 1 // a\rCREATE (n)", "control character", 1),
    ("RETURN 1 // a\x0bCREATE (n)", "control character", 1),
    ("RETURN 1 // a\u2028CREATE (n)", "control character", 1),
    ("RETURN 'a\x00b'", "control character", 1),
    ("MATCH (n) WHERE n.x = 1SET n.x = 2", "1SET", 1),
    ("MATCH (n) WHERE n.x = 0x1SET n.x = 2", "0x1SET", 1),
    ("MATCH (n) WHERE n.x = 1e5SET n.x = 2", "1e5SET", 1),
    ("MATCH (n) WHERE n.x = $1SET n.x = 2", "$", 1),
    ("MATCH (n) WHERE n.x = $ SET n.x = 2", "$", 1),
    ("MATCH (n)\u00a0SET n.x = 1", "'\\xa0'", 1),
    ("MATCH (n) \u017fET n.x = 1", "'\u017f'", 1),
    ("MATCH (n) WHERE n.a\u200bb = 1 RETURN n", "'\\u200b'", 1),
    ("MATCH (n) \\SET n.x = 1", "'\\\\'", 1),
    ("(n)", "'('", 1),
    ("42", "'42'", 1),
]


@pytest.mark.parametrize("text", READS)
def test_a_query_that_reads_passes(text: str) -> None:
    check_read_only(text)


@pytest.mark.parametrize(("text", "word", "line"), REFUSED)
def test_what_may_do_more_than_read_is_refused_by_its_word_and_line(text: str, word: str, line: int) -> None:
    with pytest.raises(QueryRefusedError) as refused:
        check_read_only(text)
    assert word in str(refused.value)
    assert f"Line {line}:" in str(refused.value)


@pytest.mark.parametrize("text", ["", "  \n", ";", "// nothing", "/* nothing */ ;"])
def test_an_empty_query_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(QueryRefusedError, match="the query is empty: write Cypher such as MATCH"):
        check_read_only(text)


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(QueryRefusedError, match="a query is a string of Cypher, not NoneType"):
        check_read_only(None)  # type: ignore[arg-type]


@pytest.mark.parametrize("word", ["set", "Create", "LOAD", "copy", "use", "call"])
def test_a_name_that_is_a_word_of_writing_passes_in_backticks_and_the_error_says_so(word: str) -> None:
    with pytest.raises(QueryRefusedError, match="backticks"):
        check_read_only(f"MATCH (n:{word}) RETURN n")
    with pytest.raises(QueryRefusedError, match="backticks"):
        check_read_only(f"MATCH (n) RETURN n.{word}")
    check_read_only(f"MATCH (n:`{word}`) RETURN n.`{word}`, $`{word}`")


def test_every_procedure_of_the_list_passes_whatever_its_case() -> None:
    for name in PROCEDURES:
        check_read_only(f"CALL {name}('x')")
        check_read_only(f"CALL {name.upper()}('x') YIELD a RETURN a")


def test_a_long_query_is_read_in_one_pass() -> None:
    check_read_only("RETURN " + ", ".join(f"'{'x' * 50}' AS `c{n}`" for n in range(1_500)))
    with pytest.raises(QueryRefusedError):
        check_read_only("RETURN " + "(" * 90_000 + "'")


PIECES = (
    *("'", '"', "`", "``", "''", "\\", "\\'", "\\\\", "/", "*", "//", "/*", "*/", "**/", "/**/", "/*/", "\n", "\r\n"),
    *(" ", " ", "1", "a", "$a", ".", ",", "AS b", "RETURN a", "RETURN 'a'", "{", "}", "(", ")", "--", "-", "\t", ";"),
    *("é", "\"'", "'\"", "|", ":", "1.", "0x", "e", "WITH a", "AS `b`", "UNION", "MATCH (n)", "\\n", "[", "]", "+"),
)
WRITING = (
    "CREATE (:X {x: a})",
    "CREATE (:X {x: a})",
    "MERGE (:X {x: a})",
    "MATCH (n) SET n.x=1",
    "CALL db.createLabel('Zz')",
)


def passed(seed: int, count: int) -> list[str]:
    """Texts in which a write is hidden, that the guard lets pass."""
    draw = random.Random(seed)  # noqa: S311

    def some(most: int) -> str:
        return "".join(draw.choice(PIECES) for _ in range(draw.randint(0, most)))

    texts: list[str] = []
    while len(texts) < count:
        beginning, end = draw.choice(
            (("WITH a, ", " AS b RETURN b"), ("WITH a, a AS ", " RETURN a"), ("", "\nRETURN a"))
        )
        again = draw.choice(("", "", draw.choice(WRITING) + some(3)))
        text = f"UNWIND [1, 2] AS a {beginning}{some(4)}{draw.choice(WRITING)}{some(4)}{again}{end}"
        try:
            check_read_only(text)
        except QueryRefusedError:
            continue
        texts.append(text)
    return texts


def test_no_write_hidden_by_quotes_and_comments_reaches_a_writable_ladybug() -> None:
    import ladybug

    with ladybug.Database(":memory:") as database, ladybug.Connection(database) as connection:

        def content() -> Any:
            return connection.execute("MATCH (x:X) RETURN count(*), sum(x.x)").get_next()  # type: ignore[union-attr]

        connection.execute("CREATE NODE TABLE X(id SERIAL PRIMARY KEY, x INT64)")
        connection.execute("CREATE (:X {x: 5})")
        ran = 0
        for text in passed(seed=1, count=400):
            try:
                connection.execute(text, {"a": 1} if "$a" in text else {})
                ran += 1
            except RuntimeError:
                continue
            assert content() == [1, 5], text
        assert ran > 20
        connection.execute("UNWIND [1, 2] AS a CREATE (:X {x: a})")
        assert content() == [3, 8]


def test_the_guard_keeps_a_read_only_ladybug_from_reading_and_writing_files(tmp_path: Path) -> None:
    import ladybug

    (tmp_path / "secret.csv").write_text("a\nhidden\n")
    file = tmp_path / "graph.lbug"
    with ladybug.Database(str(file)) as database, ladybug.Connection(database) as connection:
        connection.execute("CREATE NODE TABLE X(id INT64 PRIMARY KEY)")
    reading = f"LOAD FROM '{tmp_path / 'secret.csv'}' (header=true) RETURN *"
    writing = f"COPY (MATCH (x:X) RETURN x.id) TO '{tmp_path / 'out.csv'}'"
    with ladybug.Database(str(file), read_only=True) as database, ladybug.Connection(database) as connection:
        # The read-only database itself does both, so nothing but the guard is in the way.
        assert connection.execute(reading).get_next() == ["hidden"]  # type: ignore[union-attr]
        connection.execute(writing)
    assert (tmp_path / "out.csv").exists()
    for text in (reading, writing):
        with pytest.raises(QueryRefusedError):
            check_read_only(text)


@pytest.mark.neo4j
def test_no_write_hidden_by_quotes_and_comments_reaches_a_writable_neo4j(neo4j_store: Neo4jStore) -> None:
    from neo4j.exceptions import Neo4jError

    ran = 0
    neo4j_store.write("CREATE (:X {x: 5})")
    with neo4j_store.driver.session() as session:
        for text in passed(seed=2, count=400):
            try:
                summary = session.run(text, a=1).consume()
            except Neo4jError:
                continue
            ran += 1
            assert summary.query_type == "r", text
            assert not summary.counters.contains_updates, text
        assert ran > 20
        assert session.run("UNWIND [1, 2] AS a CREATE (:X)").consume().query_type == "w"


@pytest.mark.parametrize(
    "text",
    [
        "UNWIND [1, 2] AS a /***/ RETURN ' /* */ CREATE (:X {x: a}) //'",  # `/***/` does not end the comment there
        "MATCH (x:X) WHERE x.x = 5SET x.x = 6",  # a number ends where its digits end
    ],
)
def test_what_only_ladybug_takes_for_a_write_is_refused(text: str) -> None:
    import ladybug

    with ladybug.Database(":memory:") as database, ladybug.Connection(database) as connection:
        connection.execute("CREATE NODE TABLE X(id SERIAL PRIMARY KEY, x INT64)")
        connection.execute("CREATE (:X {x: 5})")
        connection.execute(text)
        found = connection.execute("MATCH (x:X) RETURN collect(x.x)").get_next()  # type: ignore[union-attr]
    assert found != [[5]]
    with pytest.raises(QueryRefusedError):
        check_read_only(text)


@pytest.mark.neo4j
@pytest.mark.parametrize(
    "text",
    [
        r"UNWIND [1] AS a WITH '\u0027 AS b CREATE (:X) //' AS b RETURN b",  # escapes are read before quotes
        "UNWIND [1] AS a // a\rCREATE (:X)",  # any end of a line ends a comment
    ],
)
def test_what_only_neo4j_takes_for_a_write_is_refused(text: str, neo4j_store: Neo4jStore) -> None:
    neo4j_store.write(text)
    assert neo4j_store.read("MATCH (x:X) RETURN count(x) AS n") == [{"n": 1}]
    with pytest.raises(QueryRefusedError):
        check_read_only(text)


@pytest.mark.neo4j
def test_neo4j_understands_the_queries_that_pass(neo4j_store: Neo4jStore) -> None:
    for text in READS:
        if text.startswith("CALL `"):
            continue
        values = {"id": "1", "list": [1, 2], "1": 1, "p": None, "set": 1, "load": 1, "label": "A"}
        neo4j_store.query(text, values)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("RETURN 1", "EXPLAIN RETURN 1"),
        ("explain RETURN 1", "EXPLAIN  RETURN 1"),
        ("// PROFILE\n /* EXPLAIN */ PROFILE\tMATCH (n) RETURN n;", "EXPLAIN \tMATCH (n) RETURN n;"),
        ("MATCH (n:`EXPLAIN`) RETURN 'PROFILE'", "EXPLAIN MATCH (n:`EXPLAIN`) RETURN 'PROFILE'"),
    ],
)
def test_the_text_that_asks_for_the_plan(text: str, expected: str) -> None:
    check_read_only(text)
    assert as_explain(text) == expected
