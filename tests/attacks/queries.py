"""Cypher that would end the process of a database, fill its memory, or keep it busy."""

from __future__ import annotations


def nested(opening: str, closing: str, times: int) -> str:
    """A value in brackets in brackets."""
    return f"RETURN {opening * times}1{closing * times} AS x"


# Each ended the process that asked, or took it many seconds or gigabytes, when it ran in it.
CRASHES = {
    "a long text": "RETURN size(repeat('abcdefghij', 1000000000)) AS x",
    "a date that Python has not": "RETURN date('20000-01-01') AS x",
    "lists in lists": nested("[", "]", 800),
    "maps in maps": nested("{a: ", "}", 3000),
    "brackets": nested("(", ")", 3000),
    "calls": nested("abs(", ")", 1500),
    "not": f"RETURN {'NOT ' * 20_000}true AS x",
    "sums": f"RETURN {'1+' * 20_000}1 AS x",
}
MEMORY_BOMBS: dict[str, str] = {
    "a list": "RETURN size(range(1, 1000000000)) AS x",
    "padding": "RETURN size(lpad('a', 1000000000, 'b')) AS x",
    "doubled": "WITH 'abcdefghij' AS s0 "
    + "".join(f"WITH s{n} + s{n} AS s{n + 1} " for n in range(30))
    + "RETURN size(s30) AS x",
}
SLOW = {
    "CASE in CASE": f"RETURN {'CASE WHEN true THEN ' * 24}1{' END' * 24} AS x",
    "a product of all nodes": "MATCH (a), (b), (c), (d), (e) RETURN count(*) AS n",
    "paths of any length": "MATCH (a)-[*1..30]-(b) RETURN count(*) AS n",
    "rows without end": "UNWIND range(1, 10000000) AS x RETURN x",
    "a literal of 50 MB": "RETURN '" + "x" * (50 << 20) + "' AS x",
}
# Functions and forms that a reviewer tried later.
VARIANTS = {
    "list_reduce": "RETURN list_reduce(range(1, 100000000), (a, b) -> a + b) AS x",
    "list_transform": "RETURN size(list_transform(range(1, 50000000), x -> repeat('x', 100))) AS x",
    "list comprehension": "RETURN size([x IN range(1, 200000000) | x * 2]) AS x",
    "texts joined in UNWIND": "UNWIND range(1, 3000) AS x WITH repeat('x', 1000000) + toString(x) AS s "
    "RETURN size(collect(s)) AS x",
    "a regular expression that backtracks": f"RETURN '{'a' * 40}!' =~ '(a+)+b' AS x",
    "a replacement that grows": "RETURN size(replace(repeat('a', 1000000), 'a', repeat('b', 100000))) AS x",
    "a regular replacement that grows": "WITH repeat('a', 1000000) AS s "
    "RETURN size(regexp_replace(s, 'a', repeat('b', 100000), 'g')) AS x",
    "maps in maps, quoted": nested("{`a`: [", "]}", 60),
    "lists joined": "WITH range(1, 1000000) AS l0 "
    + "".join(f"WITH list_concat(l{n}, l{n}) AS l{n + 1} " for n in range(14))
    + "RETURN size(l14) AS x",
    "a list of lists": "RETURN size(list_transform(range(1, 100000), x -> range(1, 100000))) AS x",
    "a product in UNWIND": "UNWIND range(1, 100000) AS a UNWIND range(1, 100000) AS b RETURN count(*) AS n",
    "a sorted product": "UNWIND range(1, 20000) AS a UNWIND range(1, 20000) AS b RETURN a, b ORDER BY b, a LIMIT 1",
    "different values": "UNWIND range(1, 300000000) AS a RETURN count(DISTINCT a) AS n",
    "a collection": "UNWIND range(1, 500000000) AS a RETURN size(collect(a)) AS n",
    "many parts of UNION": " UNION ALL ".join(["RETURN 1 AS x"] * 6000),
    "many MATCH": " ".join(f"MATCH (n{n})" for n in range(3000)) + " RETURN 1 AS x",
    "a long IN": f"RETURN 1 IN [{','.join(map(str, range(15000)))}] AS x",
    "many WITH": " ".join(f"WITH {n} AS x" for n in range(6000)) + " RETURN x",
    "comments": "/*" * 3000 + "*/" * 3000 + "RETURN 1 AS x",
    "numbers without end": f"RETURN {'9' * 50_000} AS x",
    "backticks": f"RETURN 1 AS {'`' * 9999}",
    "a year out of range": "RETURN timestamp('290000-01-01') AS x",
    "an interval out of range": "RETURN interval('999999999 years') AS x",
    "a decimal": "RETURN cast('1e300' AS DECIMAL(38, 10)) AS x",
    "a shift": "RETURN bitshift_left(1, 1000000) AS x",
    "a factorial": "RETURN factorial(100000) AS x",
    "powers": "RETURN 10 ^ 10 ^ 10 ^ 10 AS x",
}
