// The pages of a user and of somebody new: who asks, what they liked, and the candidates.

import { get } from "./api.js";
import { el, later, problem, title } from "./dom.js";
import { count, day } from "./format.js";
import { picker } from "./picker.js";
import { address, go, keep } from "./route.js";
import { runFacts } from "./run_facts.js";
import { Workbench } from "./workbench.js";

export function userPage(id, query) {
  const search = picker({
    kind: "user", label: "Find a user", hint: "id or name", choose: (hit) => go(["user", hit.id]),
  });
  if (id === undefined) {
    return el("div", { class: "narrow" }, el("h1", {}, "Candidates, and why"),
      el("p", { class: "lead" }, "Pick a user of the graph to see what was liked, what is recommended and the paths "
        + "behind it. Or describe ", el("a", { href: "#new" }, "somebody new"), "."), search.field);
  }
  const workbench = new Workbench({
    side: historyOf(id),
    opened: (item) => keep(["user", id], { item }),
  });
  workbench.show({ user_id: id }, query.get("item"));
  return el("div", {}, el("div", { class: "heading" }, el("h1", {}, "User ", title(id)), search.field), workbench.node);
}

export function newPage(query) {
  const liked = new Map(query.getAll("liked").map((id) => [id, id]));
  const chips = el("ul", { class: "chips", "aria-label": "Liked items" });
  const sentence = el("textarea", { id: "sentence", rows: "2", dir: "auto", placeholder: "slow space drama with a twist" });
  sentence.value = query.get("text") ?? "";
  const workbench = new Workbench({ side: null, opened: remember });
  const search = picker({ kind: "item", label: "Add an item that is liked", hint: "id or title", choose: add });
  const written = el("div", { class: "field", hidden: true },
    el("label", { for: "sentence" }, "Say what is looked for"), sentence);
  sentence.addEventListener("input", later(() => changed(), 400));
  runFacts().then((facts) => { written.hidden = !facts.reads_text; }, () => {});

  function asker() {
    const text = sentence.value.trim();
    return { ...(liked.size ? { liked: [...liked.keys()] } : {}), ...(text ? { text } : {}) };
  }

  function remember(item) {
    keep(["new"], { liked: [...liked.keys()], text: sentence.value.trim(), item });
  }

  function add(hit) {
    liked.set(hit.id, hit.title);
    changed();
  }

  function changed() {
    remember("");
    draw();
    show(null);
  }

  function show(item) {
    if (Object.keys(asker()).length) workbench.show(asker(), item);
    else workbench.clear();
  }

  function draw() {
    chips.replaceChildren(...[...liked].map(([id, name]) => el("li", {},
      el("a", { href: address(["item", id]) }, title(name)),
      el("button", {
        type: "button", "aria-label": `Leave out ${name}`,
        click: () => { liked.delete(id); changed(); search.input.focus(); },
      }, "×"))));
  }

  draw();
  show(query.get("item"));
  for (const id of liked.keys()) {
    get(`items/${encodeURIComponent(id)}`, { neighbours: 0 }).then((node) => { liked.set(id, node.title); draw(); }, () => {});
  }
  return el("div", {}, el("div", { class: "heading" }, el("h1", {}, "Somebody new")),
    el("div", { class: "describe" }, el("div", {}, search.field, chips), written), workbench.node);
}

function historyOf(id) {
  const rows = el("ul", { class: "history" });
  const summary = el("summary", {}, "History");
  const box = el("details", { class: "card", open: matchMedia("(min-width: 60rem)").matches }, summary, rows);
  get(`users/${encodeURIComponent(id)}/history`, { limit: 200 }).then((answer) => {
    summary.append(` · ${count(answer.count, "item")}`);
    rows.append(...answer.history.map((entry) => el("li", { class: entry.liked ? "liked" : "" },
      el("a", { href: address(["item", entry.item_id]) }, title(entry.title)),
      el("span", { class: "note" }, [entry.liked ? "liked" : "not liked",
        entry.rating == null ? "" : `rated ${entry.rating}`,
        entry.timestamp == null ? "" : day(entry.timestamp)].filter(Boolean).join(" · ")))));
    if (answer.count > answer.history.length) {
      rows.append(el("li", { class: "note" }, `and ${count(answer.count - answer.history.length, "earlier item")}`));
    }
  }, (error) => box.replaceWith(problem(error)));
  return box;
}
