// The page of an item, or of any other node: what the graph holds about it, and what is like it.

import { get, post } from "./api.js";
import { el, problem, title } from "./dom.js";
import { count, plain } from "./format.js";
import { picker } from "./picker.js";
import { address, go, keep } from "./route.js";

const NEIGHBOURS = 24;

export function itemPage(id) {
  const search = picker({ kind: "item", label: "Find an item", hint: "id or title", choose: (hit) => go(["item", hit.id]) });
  if (id === undefined) {
    return el("div", { class: "narrow" }, el("h1", {}, "Items"),
      el("p", { class: "lead" }, "What the graph holds about an item, what it is joined to, and which items are like it."), search.field);
  }
  return nodeView(`items/${encodeURIComponent(id)}`, search.field);
}

export function nodePage(type, id) {
  return nodeView(`nodes/${encodeURIComponent(type)}/${encodeURIComponent(id)}`, null);
}

function nodeView(path, search) {
  const heading = el("h1", {}, "…");
  const page = el("div", {}, el("div", { class: "heading" }, heading, search));
  get(path, { neighbours: NEIGHBOURS }).then((node) => {
    const isItem = node.liked_by != null;
    if (isItem) keep(["item", node.id]);
    heading.replaceChildren(title(node.title));
    const facts = Object.entries(node.attributes).filter(([, value]) => value != null && value !== "");
    page.append(
      el("p", { class: "note" }, `${plain(node.type)} `, el("code", {}, title(node.id)),
        isItem ? ` · liked by ${count(node.liked_by, "user")}` : ""),
      ...(isItem ? [el("a", { class: "action", href: address(["new"], { liked: [node.id] }) }, "Candidates for somebody who likes it")] : []),
      el("div", { class: "columns" },
        el("section", { class: "card" }, el("h2", {}, "What is known"), facts.length
          ? el("dl", { class: "facts" }, facts.map(([name, value]) => [el("dt", {}, plain(name)), el("dd", { dir: "auto" }, written(value))]))
          : el("p", { class: "note" }, "Nothing but its id.")),
        el("section", { class: "card" }, el("h2", {}, "What it is joined to"), node.neighbours.map(joined)),
        isItem ? similar(node.id) : []));
  }, (error) => { heading.replaceChildren("Not found"); page.append(problem(error)); });
  return page;
}

function joined(group) {
  const left = group.count - group.nodes.length;
  return [
    el("h3", {}, plain(group.relation), " ", el("span", { class: "note" }, `${group.forward ? "→" : "←"} ${plain(group.type)}, ${group.count.toLocaleString("en")}`)),
    group.nodes.length ? el("ul", { class: "chips" }, group.nodes.map((node) => el("li", {}, el("a", { href: address(["node", group.type, node.id]) }, title(node.title)))),
      left ? el("li", { class: "note" }, `and ${left.toLocaleString("en")} more`) : null) : el("p", { class: "note" }, "Counted, not named."),
  ];
}

function similar(id) {
  const list = el("ol", { class: "plain" });
  const box = el("section", { class: "card" }, el("h2", {}, "Items like it"), list);
  post("similar", { item_ids: [id], k: 12 }).then(({ answers }) => {
    const rows = answers[0].similar;
    list.append(...rows.map((row) => el("li", {}, el("a", { href: address(["item", row.item_id]) }, title(row.title)))));
    if (!rows.length) list.replaceWith(el("p", { class: "note" }, "Nothing was learned about this item yet."));
  }, (error) => list.replaceWith(problem(error)));
  return box;
}

function written(value) {
  return Array.isArray(value) ? value.join(", ") : typeof value === "object" ? JSON.stringify(value) : String(value);
}
