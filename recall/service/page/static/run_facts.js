// What the page has to know of the run that serves: its report, asked for once a run.

import { get } from "./api.js";

let facts = null;

export function forget() {
  facts = null;
}

export function runFacts() {
  facts ??= get("runs/current").then(({ name, report, rules }) => ({
    name,
    created: report.created,
    weights: report.fusion ? report.fusion.weights : {},
    reads_text: Boolean(report.texts),
    rules,
  }));
  return facts;
}
