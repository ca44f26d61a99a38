"""Texts a second beside sentence-transformers: same model files, same texts, same precision, no cache.

    python -m benchmarks text [--data DIR] [--texts 256] [--repeats 5]

Both encode the same list in turns, the one that begins alternating, so that other load on the machine hits both alike;
the ratio is the median over the turns. Vectors must agree to a cosine of .999 before any time is printed.
sentence-transformers is a dependency of this benchmark only: pip install sentence-transformers.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import results
from gnn.text.encoder import TextConfig, TextEncoder
from kg.io.files import checksum

BUNDLE = Path(__file__).parent.parent / "examples" / "movies"
PEER_BATCHES = (32, 8)  # its default, and one that suits two cores better


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the comparison for every kind of text and precision."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks text", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", type=Path, help="folder with movies.csv (title, abstract); else the names in the bundle"
    )
    parser.add_argument("--texts", type=int, default=256, help="abstracts encoded; four times as many titles or names")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args(arguments)
    rows = []
    sources, sums = read_texts(options.data)
    for kind, texts in sources.items():
        count = options.texts * (1 if kind == "abstracts" else 4)
        chosen = [texts[n] for n in np.random.default_rng(0).permutation(len(texts))[:count]]
        for precision in ("float32", "bfloat16"):
            rows += compare(kind, chosen, precision, options.device, options.repeats)
    results.record("text", rows, data=sums, repeats=options.repeats, peer_batches=list(PEER_BATCHES))


def compare(kind: str, texts: list[str], precision: str, device: str, repeats: int) -> list[dict[str, Any]]:
    """Time both on one list of texts; one row a system."""
    import torch
    from sentence_transformers import SentenceTransformer

    encoder = TextEncoder(TextConfig(precision=precision), device)  # type: ignore[arg-type]
    peer = SentenceTransformer(str(encoder.files.folder), device=str(encoder.device))
    peer.to(getattr(torch, precision))
    lengths = [len(ids) for ids in peer.tokenizer(texts, truncation=True, max_length=256)["input_ids"]]
    spread = "/".join(f"{value:.0f}" for value in np.percentile(lengths, [0, 25, 50, 75, 100]))
    systems: dict[str, Callable[[], Any]] = {"graphrecall": lambda: encoder.encode(texts)}
    for batch in PEER_BATCHES:
        systems[f"sentence-transformers, batch {batch}"] = lambda batch=batch: peer.encode(  # type: ignore[misc]
            texts, batch_size=batch, show_progress_bar=False, normalize_embeddings=True
        )
    encoder.encode(texts[:64])
    peer.encode(texts[:64], show_progress_bar=False)
    seconds: dict[str, list[float]] = {name: [] for name in systems}
    cosine = 1.0
    for turn in range(repeats):
        names = list(systems) if turn % 2 == 0 else list(systems)[::-1]
        vectors = {}
        for name in names:
            started = time.perf_counter()
            encoded = np.asarray(systems[name](), dtype=np.float32)
            seconds[name].append(time.perf_counter() - started)
            vectors[name] = encoded / np.linalg.norm(
                encoded, axis=1, keepdims=True
            )  # the peer's bfloat16 ones are not unit
        for name in names:
            cosine = min(cosine, float((vectors["graphrecall"] * vectors[name]).sum(1).min()))
    if cosine < 0.999:
        sys.exit(f"{kind}, {precision}: vectors differ, the lowest cosine is {cosine:.5f}")
    ours = np.array(seconds["graphrecall"])
    return [
        {
            "group": f"{kind}, {precision}",
            "system": name,
            "texts": len(texts),
            "tokens min/quartiles/max": spread,
            "texts/s": len(texts) / float(np.median(taken)),
            "graphrecall, times as fast": None if name == "graphrecall" else float(np.median(np.array(taken) / ours)),
            "lowest cosine": cosine,
        }
        for name, taken in seconds.items()
    ]


def read_texts(folder: Path | None) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Kinds of unique texts, and the checksums of the files they came from."""
    if folder is None:
        titles: list[str] = []
        files = sorted(BUNDLE.glob("*.nt.gz"))
        for path in files:
            with gzip.open(path, "rt", encoding="utf-8") as stream:
                titles += re.findall(r'<https?://schema\.org/name> "((?:[^"\\]|\\.)*)"', stream.read())
        if not titles:
            sys.exit(f"no names in {BUNDLE}: give --data with a folder that holds movies.csv")
        return {"names": list(dict.fromkeys(titles))}, {path.name: checksum(path) for path in files}
    path = folder / "movies.csv"
    csv.field_size_limit(1 << 24)
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    kinds = {"titles": "title", "abstracts": "abstract"}
    texts = {kind: list(dict.fromkeys(row[name] for row in rows if row.get(name))) for kind, name in kinds.items()}
    return {kind: given for kind, given in texts.items() if given}, {path.name: checksum(path)}


if __name__ == "__main__":
    main()
