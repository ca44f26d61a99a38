// The page of the runs: what each was measured at beside the earlier ones, what the gate said, and what the data held.

import { get } from "./api.js";
import { bar, el, problem, title } from "./dom.js";
import { bytes, count, moment, plain, short } from "./format.js";
import { address } from "./route.js";

const BESIDE = 4; // earlier runs in the table of metrics

export function runPage(name) {
  const page = el("div", {}, el("div", { class: "heading" }, el("h1", {}, "Runs")));
  get("runs").then(async ({ runs }) => {
    const chosen = name ?? runs.find((run) => run.answers)?.name ?? "current";
    page.append(runsCard([...runs].reverse(), chosen));
    const at = runs.findIndex((run) => run.name === chosen);
    const earlier = runs.slice(0, Math.max(at, 0)).filter((run) => !run.refused.length && !run.problem).slice(-BESIDE).reverse();
    const names = [chosen, ...earlier.map((run) => run.name)];
    const reports = await Promise.allSettled(names.map((run) => get(`runs/${encodeURIComponent(run)}`)));
    if (reports[0].status === "rejected") throw reports[0].reason;
    const answers = reports.filter((one) => one.status === "fulfilled").map((one) => one.value);
    const [{ report }] = answers;
    page.append(el("h2", { class: "run-name" }, title(answers[0].name)), summary(report), metricsCard(answers),
      el("div", { class: "columns" }, gateCard(report.gate), qualityCard(report.quality ?? {})));
  }).catch((error) => page.append(problem(error)));
  return page;
}

function runsCard(runs, chosen) {
  const metrics = [...new Set(runs.flatMap((run) => Object.keys(run.metrics)))];
  return el("section", { class: "card" }, table("Runs, newest first", ["Run", "Made", "State", ...metrics, "Size"], runs.map((run) => [
    el("a", { href: address(["run", run.name]), "aria-current": run.name === chosen ? "true" : null }, title(run.name)),
    moment(run.created), state(run), ...metrics.map((metric) => short(run.metrics[metric])), bytes(run.bytes),
  ])));
}

function state(run) {
  if (run.problem) return badge("bad", `damaged: ${run.problem}`);
  if (run.refused.length) return badge("bad", `refused: ${run.refused.join("; ")}`);
  if (run.answers) return badge("good", "answers");
  return run.current ? badge("good", "serves") : badge("", "kept");
}

function badge(kind, text) {
  return el("span", { class: `badge ${kind}` }, text);
}

function summary(report) {
  const data = report.data ?? {};
  const facts = [
    `Made ${moment(report.created)}`,
    report.kind === "incremental" ? `continues ${report.base}` : "trained in full",
    data.users == null ? null : count(data.users, "user"),
    data.items == null ? null : count(data.items, "item"),
    data.interactions == null ? null : count(data.interactions, "interaction"),
  ];
  return el("p", { class: "note" }, facts.filter(Boolean).join(" · "));
}

function metricsCard(answers) {
  const evaluations = answers.map((answer) => answer.report.evaluation ?? {});
  const rows = evaluations[0].metrics ?? [];
  if (!rows.length) return el("section", { class: "card" }, el("h2", {}, "Metrics"), el("p", { class: "note" }, "This run was not measured."));
  const names = Object.keys(rows[0]).filter((name) => name.includes("@"));
  const place = el("div");
  const choice = el("select", { id: "metric", change: () => draw() }, names.map((name) => el("option", { value: name }, plain(name))));
  choice.value = names.find((name) => name.startsWith("ndcg")) ?? names[0];

  function draw() {
    const metric = choice.value;
    const highest = Math.max(...rows.map((row) => row[metric] ?? 0));
    const of = (evaluation, row) => (evaluation.metrics ?? []).find((other) => other.ranker === row.ranker && other.group === row.group)?.[metric];
    const earlier = answers.slice(1).map((answer, at) => el("span", { title: answer.name }, at ? moment(answer.report.created) : "The run before"));
    place.replaceChildren(table("Metrics by channel", ["Channel", "Users", "This run", ...earlier], rows.map((row) => [
      el("span", { class: row.ranker === evaluations[0].serves ? "serves" : "" }, row.ranker),
      row.group,
      el("span", { class: "measured" }, short(row[metric]), bar(highest > 0 ? row[metric] / highest : 0), change(row[metric], of(evaluations[1] ?? {}, row))),
      ...evaluations.slice(1).map((evaluation) => short(of(evaluation, row))),
    ])));
  }

  draw();
  return el("section", { class: "card" }, el("div", { class: "row" }, el("h2", {}, "Metrics by channel"),
    el("label", { for: "metric" }, "Metric"), choice), place,
  answers.length > 1 ? null : el("p", { class: "note" }, "There is no earlier run to compare with."));
}

function change(now, before) {
  if (now == null || !before) return null;
  const part = now / before - 1;
  if (Math.abs(part) < 0.0005) return el("span", { class: "note" }, "as before");
  return el("span", { class: "note" }, `${part > 0 ? "+" : "−"}${(100 * Math.abs(part)).toFixed(1)}%`);
}

function gateCard(gate) {
  const box = el("section", { class: "card" }, el("h2", {}, "Gate"));
  if (!gate) box.append(el("p", { class: "note" }, "No gate has judged this run."));
  else {
    box.append(el("p", {}, gate.passed ? badge("good", "passed") : badge("bad", "refused"), " ", gate.note ?? ""),
      el("ul", { class: "plain" }, gate.readings.map((reading) => el("li", {}, badge(reading.passed ? "good" : "bad", reading.passed ? "✓" : "✗"), " ", reading.text))));
  }
  return box;
}

function qualityCard(quality) {
  const findings = quality.findings ?? [];
  const sources = quality.sources ?? [];
  return el("section", { class: "card" }, el("h2", {}, "Data quality"),
    sources.length ? table("What was read", ["Source", "Kind", "Read", "Set aside"],
      sources.map((source) => [title(source.name), source.kind, short(source.read), short(source.set_aside)])) : null,
    findings.length ? el("ul", { class: "plain" }, findings.map((finding) => el("li", {},
      badge(finding.severity === "warning" ? "warn" : "", finding.severity), " ", el("strong", {}, `${short(finding.count)} ${finding.kind}`), ": ", finding.explanation,
      finding.examples?.length ? el("span", { class: "note", dir: "auto" }, ` for example ${finding.examples.join(", ")}`) : null)))
      : el("p", { class: "note" }, "Nothing was noticed."));
}

function table(label, heads, rows) {
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, el("table", {},
    el("thead", {}, el("tr", {}, heads.map((head) => el("th", { scope: "col" }, head)))),
    el("tbody", {}, rows.map((cells) => el("tr", {}, cells.map((cell, at) => el(at ? "td" : "th", at ? {} : { scope: "row" }, cell)))))));
}

