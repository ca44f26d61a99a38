// The queries that find the paths and recompute the scores in a store, with buttons to copy them.

import { el, say } from "./dom.js";
import { plain } from "./format.js";

export function cypherBox(explanation) {
  const queries = [
    ...(explanation.query ? [["All paths", explanation.query]] : []),
    ...Object.entries(explanation.score_queries).map(([name, query]) => [`The score of ${plain(name)}`, query]),
  ];
  if (!queries.length) return null;
  const choice = el("select", { id: "cypher-choice", change: () => show() }, queries.map(([name], at) => el("option", { value: at }, name)));
  const text = el("pre", { class: "code", tabindex: "0", dir: "ltr" });
  const parameters = el("pre", { class: "code", tabindex: "0", dir: "ltr" });
  const current = () => queries[Number(choice.value)][1];
  const show = () => {
    text.textContent = current().text;
    parameters.textContent = values(current());
  };
  show();
  return el("section", { class: "cypher" }, el("h3", {}, "In Cypher"),
    el("div", { class: "row" }, el("label", { for: "cypher-choice" }, "Query"), choice, copyButton("Copy query", () => current().text),
      copyButton("Copy parameters", () => values(current()))),
    text, el("details", {}, el("summary", {}, "Parameters"), parameters));
}

function values(query) {
  return JSON.stringify(query.parameters, null, 1);
}

function copyButton(label, content) {
  const button = el("button", {
    type: "button",
    click: async () => {
      let done = "Copied";
      try {
        await navigator.clipboard.writeText(content());
      } catch {
        done = "The browser does not allow it";
      }
      button.textContent = done;
      say(done);
      setTimeout(() => { button.textContent = label; }, 2000);
    },
  }, label);
  return button;
}
