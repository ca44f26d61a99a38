"""Make the bundled movie data from the source tables: `python make_bundle.py SOURCE_FOLDER [--out FOLDER | --check]`.

Reads `movies.csv`, `ratings.csv`, `tags.csv` and `dbpedia_edges.csv`. Only what MovieLens and DBpedia allow to pass on
is taken; no cast list, release date, rating or abstract of other origin is even opened. The same source gives the same
bytes.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote, unquote

HERE = Path(__file__).resolve().parent
MOVIE = "https://movielens.org/movies/"
GENRE = "https://movielens.org/genres/"
TERMS = "https://movielens.org/terms#"
SCHEMA = "https://schema.org/"
DBO = "http://dbpedia.org/ontology/"
DBR = "http://dbpedia.org/resource/"
RDF_TYPE = "http://www.w3.org/1999/02/22-rdf-syntax-ns#type"
SAME_AS = "http://www.w3.org/2002/07/owl#sameAs"
G_YEAR = "http://www.w3.org/2001/XMLSchema#gYear"
ARTICLES = "The|A|An|L'|Le|La|Les|Il|El|Los|Las|Das|Der|Die"


def movie_triples(movies: Iterable[dict[str, str]]) -> Iterator[str]:
    """What MovieLens says about movies."""
    for row in movies:
        movie = MOVIE + row["movieId"]
        title = row["title"].strip()
        name = readable_title(title)
        yield triple(movie, RDF_TYPE, SCHEMA + "Movie")
        yield triple(movie, SCHEMA + "identifier", literal(row["movieId"]))
        yield triple(movie, SCHEMA + "name", literal(name))
        if name != title:
            yield triple(movie, SCHEMA + "alternateName", literal(title))
        if row["year"]:
            yield triple(movie, SCHEMA + "datePublished", literal(row["year"], G_YEAR))
        if row["imdbId"]:
            yield triple(movie, TERMS + "imdbId", literal(row["imdbId"]))
        if row["tmdbId"]:
            yield triple(movie, TERMS + "tmdbId", literal(row["tmdbId"]))
        if row["dbpedia_uri"]:
            yield triple(movie, SAME_AS, iri(row["dbpedia_uri"]))
        for genre in row["genres"].split("|"):
            if genre and not genre.startswith("("):
                node = GENRE + quote(genre)
                yield triple(movie, SCHEMA + "genre", node)
                yield triple(node, RDF_TYPE, DBO + "Genre")
                yield triple(node, SCHEMA + "name", literal(genre))


def dbpedia_triples(edges: list[dict[str, str]], films: set[str]) -> Iterator[str]:
    """What DBpedia says about who made the movies.

    An object that distributes at least as often as it does anything else is a company, every other one a person.
    Left out as mistakes of the source: objects that are films themselves or no DBpedia resources, persons that
    distribute and companies that do anything else (12 of 31,427 edges together).
    """
    edges = [edge for edge in edges if is_maker(edge["object_uri"], films)]
    distributed = Counter(edge["object_uri"] for edge in edges if edge["property"] == "distributor")
    total = Counter(edge["object_uri"] for edge in edges)
    companies = {uri for uri in total if 2 * distributed[uri] >= total[uri]}
    for edge in edges:
        if (edge["property"] == "distributor") == (edge["object_uri"] in companies):
            yield triple(MOVIE + edge["movieId"], DBO + edge["property"], iri(edge["object_uri"]))
    for uri in total:
        yield triple(iri(uri), RDF_TYPE, DBO + "Company" if uri in companies else SCHEMA + "Person")
        yield triple(iri(uri), SCHEMA + "name", literal(readable_name(uri)))


def is_maker(uri: str, films: set[str]) -> bool:
    """Whether a DBpedia object can be a person or a company."""
    return uri.startswith(DBR) and uri not in films and not re.search(r"_\((.*_)?film\)$", uri)


def readable_title(title: str) -> str:
    """`Matrix, The` -> `The Matrix`; an article before a colon or a bracket moves to the front too."""
    moved = re.fullmatch(rf"(.+), ({ARTICLES})((?::| \().*)?", title)
    if moved is None:
        return title
    joint = "" if moved[2].endswith("'") else " "
    return f"{moved[2]}{joint}{moved[1]}{moved[3] or ''}"


def readable_name(uri: str) -> str:
    """`http://dbpedia.org/resource/Michael_Mann_(director)` -> `Michael Mann`."""
    name = unquote(uri.removeprefix(DBR)).replace("_", " ")
    return re.sub(r" \([^)]*\)$", "", name).strip() or name


def iri(text: str) -> str:
    """An IRI with the characters escaped that N-Triples forbids inside one."""
    return re.sub(r'[\x00-\x20<>"{}|^`\\]', lambda found: quote(found[0]), text)


def literal(text: str, datatype: str = "") -> str:
    """A literal of N-Triples, escaped."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"' + (f"^^<{datatype}>" if datatype else "")


def triple(subject: str, predicate: str, value: str) -> str:
    """One line; `value` is a literal made by `literal` or an IRI."""
    return f"<{subject}> <{predicate}> {value if value.startswith(chr(34)) else f'<{value}>'} ."


def make(source: Path) -> dict[str, bytes]:
    """The files of the bundle, not yet compressed."""
    movies = read_csv(source / "movies.csv")
    films = {row["dbpedia_uri"] for row in movies}
    lines = sorted({*movie_triples(movies), *dbpedia_triples(read_csv(source / "dbpedia_edges.csv"), films)})
    return {
        "movies.nt": "".join(line + "\n" for line in lines).encode(),
        "ratings.csv": write_csv(read_csv(source / "ratings.csv"), ["userId", "movieId", "rating", "timestamp"]),
        "tags.csv": write_csv(read_csv(source / "tags.csv"), ["userId", "movieId", "tag", "timestamp"]),
    }


def read_csv(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV file with a header."""
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def write_csv(rows: list[dict[str, str]], columns: list[str]) -> bytes:
    """A CSV file of some columns."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def compress(data: bytes) -> bytes:
    """Compress without name and time, so that equal data gives equal bytes."""
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, compresslevel=9, mtime=0) as stream:
        stream.write(data)
    return buffer.getvalue()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, help="folder with movies.csv, ratings.csv, tags.csv, dbpedia_edges.csv")
    parser.add_argument("--out", type=Path, default=HERE, help="where to write; default: beside this script")
    parser.add_argument("--check", action="store_true", help="compare with the files that are there, write nothing")
    arguments = parser.parse_args()
    different = []
    for name, data in make(arguments.source).items():
        target = arguments.out / f"{name}.gz"
        if arguments.check:
            if gzip.decompress(target.read_bytes()) != data:
                different.append(target.name)
        else:
            target.write_bytes(compress(data))
            print(f"{target}: {target.stat().st_size:,} bytes")
    if arguments.check:
        print(f"different: {', '.join(different)}" if different else "the bundle is what the source gives")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
