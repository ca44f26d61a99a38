"""`python -m benchmarks NAME [--data DIR]`: one command a table, and `numbers` for the pages."""

from __future__ import annotations

import argparse
from importlib import import_module

NAMES = {
    "attacks": "hostile files, queries, runs and disks: tried, refused, lost, memory and time",
    "batch": "users a second of a batch: a plain loop, processes, Ray, Spark",
    "book_crossing": "AUC of labelled pairs, recall and NDCG with and without the knowledge graph",
    "first_hour": "time from own files to explained candidates for five shapes of data, and lines of config to write",
    "evaluation": "seconds to evaluate five channels and their fusion for 70,000 users and 25,000 items",
    "gowalla": "recall and NDCG on the published split of the LightGCN paper, beside the published figures",
    "distributed": "step time with one and two ranks, bytes exchanged, and a large one on paper",
    "faults": "how often each fault was tried by the soak, and how often anything was lost",
    "walk": "the typed walk on five data sets: baselines, ablations, defaults, fused",
    "index": "queries a second, recall and bytes of each kind of index over a million vectors, with filters",
    "movies": "recall and NDCG on the bundled movies: baselines, ablations, cold items",
    "mutants": "how many small faults put into the code the tests notice",
    "fit": "time and memory of recall.fit on generated interactions",
    "neo4j": "read, write and ask a real Neo4j server; recall beside its Graph Data Science",
    "numbers": "write the numbers of docs/ and the README from the results; --check compares",
    "paths": "how good the paths are that the demo run gives as reasons",
    "profile": "where a training step and an evaluation on gowalla spend their time",
    "interests": "text interests of users beside content kNN, for users who wrote tags and for all",
    "requests": "what exclusions and filters cost a request on a million items, and whether they miss anything",
    "rdf": "triples a second into the graph, beside rdflib",
    "rdf_suites": "the W3C test suites of RDF formats: accepted, refused, wrong",
    "refresh": "what a refresh costs by the size of the change, and what an incremental one reaches",
    "text": "texts a second, beside sentence-transformers",
    "training": "seconds to train LightGCN, beside PyG's and RecBole's",
    "stage": "a recall stage as a whole: fused beside its best channel at 100, items reached, new users",
    "scaling": "time and memory of a refresh, stage by stage, at 1, 10 and 50 million generated interactions",
    "walk_groups": "the typed walk with weights for users with few and with many likes",
    "walk_scaling": "time and memory of the walk at 1, 5 and 20 million generated interactions",
    "sequences": "sequence models on Beauty and Toys: leave-one-out, all items ranked",
    "sequence_peer": "seconds to train SASRec, beside RecTools'",
    "sequence_profile": "where a training step of each sequence model spends its time",
    "mixed_load": "an hour of mixed load on the HTTP service while runs are published, from `make soak`",
    "service": "the HTTP service under load: requests a second, latency, memory, cold start, during a publish",
    "serving": "latency of recommend and explain on the demo run",
}


def main() -> None:
    """Run one benchmark by name."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Run a benchmark and keep its result.")
    parser.add_argument("name", choices=sorted(NAMES), help="; ".join(f"{k}: {v}" for k, v in NAMES.items()))
    arguments, rest = parser.parse_known_args()
    import_module(f"benchmarks.{arguments.name}").main(rest)


if __name__ == "__main__":
    main()
