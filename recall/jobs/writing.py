"""The last step of making a run: its configuration, its pipeline and its report."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from gnn.device import resolve_device
from kg.io.files import write_json
from recall.jobs.state import FITTED, RULES, RunInTheMaking
from recall.runs.report import Reference, Report
from recall.runs.versions import library_versions
from recall.serve.loading import saved_pipeline


def write_report(maker: RunInTheMaking) -> Report:
    """Write configuration, pipeline and report of what is finished."""
    config, facts = maker.config, maker.facts
    write_json(maker.run.config, maker.inputs.kept_config(config))
    fusion = maker.fusion
    saved_pipeline(maker.channels, fusion, {name: maker.recipe(name) for name in maker.channels}).save(maker.run)
    training: dict[str, dict[str, Any]] = {}
    for name in maker.trained:
        for part in ("evaluation", "serving"):
            if (trained := facts.get(f"train {name} for {part}")) is not None and "training" in trained:
                training.setdefault(name, {})[part] = trained["training"]
    # What was found on the validation part is in the facts of the fit for evaluation.
    fitted = {name: said for name, said in facts.get(FITTED, {"facts": {}})["facts"].items() if said}
    if facts.get(RULES):
        fitted["control"] = facts[RULES]
    served = {name: facts.get(f"train {name} for serving", {}) for name in maker.trained}
    findings = [*facts["build"]["findings"], *maker.compared.to_json()["findings"]]
    if (finding := facts.get("store", {}).get("finding")) is not None:
        findings.append(finding)
    reference = maker.plan.reference or Reference(
        run="", steps={name: parts["evaluation"]["steps"] for name, parts in training.items()}, lead=None
    )
    measured: dict[str, Any] = {
        "k": config.evaluation.k,
        "split": maker.parts[0].counts(),
        "serves": None,
        "metrics": [],
    }
    report = Report.model_validate(
        {
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "fingerprint": maker.inputs.fingerprint,
            **maker.plan.to_json(),
            "reference": reference.to_json(),
            "sources": maker.compared.sources,
            "changes": maker.compared.changes,
            "stayed_known": maker.parts[1],
            "data": maker.prepared.graph.facts(),
            "quality": {**facts["build"], "findings": findings},
            "forgotten": maker.inputs.forgotten(maker.plan.base),
            "texts": facts["encode"],
            "training": training,
            "fitted": fitted,
            "fusion": {"weights": fusion.weights, "untouched": fusion.untouched} if fusion.weights else None,
            "evaluation": facts.get("evaluate", measured),
            "timings": maker.runner.timings,
            "seed": config.seed,
            "device": str(resolve_device(config.device)),
            "index": {name: trained["index"] for name, trained in served.items() if "index" in trained},
            "versions": library_versions(),
        }
    )
    report.save(maker.run)
    return report
