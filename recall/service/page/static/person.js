// The pages of a user and of somebody new: who asks, what they liked, and the candidates.

import { get } from "./api.js";
import { el, later, title } from "./dom.js";
import { historyOf } from "./history.js";
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
  const liked = new Examples(query.getAll("liked"), { label: "Add an item that is liked", name: "Liked items", changed });
  const disliked = new Examples(query.getAll("disliked"), { label: "Add an item that is not liked", name: "Disliked items", changed });
  const sentence = el("textarea", { id: "sentence", rows: "2", dir: "auto", placeholder: "slow space drama with a twist" });
  sentence.value = query.get("text") ?? "";
  const workbench = new Workbench({ side: null, opened: remember });
  const written = el("div", { class: "field", hidden: true },
    el("label", { for: "sentence" }, "Say what is looked for"), sentence);
  sentence.addEventListener("input", later(() => changed(), 400));
  runFacts().then((facts) => { written.hidden = !facts.reads_text; }, () => {});

  function asker() {
    const text = sentence.value.trim();
    return {
      ...(liked.ids.length ? { liked: liked.ids } : {}),
      ...(disliked.ids.length ? { disliked: disliked.ids } : {}),
      ...(text ? { text } : {}),
    };
  }

  function remember(item) {
    keep(["new"], { ...asker(), item });
  }

  // An item that joins one list leaves the other.
  function changed(list, id) {
    if (list === liked) disliked.remove(id);
    if (list === disliked) liked.remove(id);
    remember("");
    show(null);
  }

  function show(item) {
    if (Object.keys(asker()).length) workbench.show(asker(), item);
    else workbench.clear();
  }

  show(query.get("item"));
  return el("div", {}, el("div", { class: "heading" }, el("h1", {}, "Somebody new")),
    el("div", { class: "describe" }, liked.node, disliked.node, written), workbench.node);
}

// Items as examples of what is wanted, or not: a search, and a chip for each.
class Examples {
  constructor(ids, { label, name, changed }) {
    this.titles = new Map(ids.map((id) => [id, id]));
    this.changed = changed;
    this.chips = el("ul", { class: "chips", "aria-label": name });
    this.search = picker({ kind: "item", label, hint: "id or title", choose: (hit) => this.add(hit) });
    this.node = el("div", {}, this.search.field, this.chips);
    this.draw();
    for (const id of ids) {
      get(`items/${encodeURIComponent(id)}`, { neighbours: 0 }).then((node) => {
        if (!this.titles.has(id)) return; // left out meanwhile
        this.titles.set(id, node.title);
        this.draw();
      }, () => {});
    }
  }

  get ids() {
    return [...this.titles.keys()];
  }

  add(hit) {
    this.titles.set(hit.id, hit.title);
    this.draw();
    this.changed(this, hit.id);
  }

  remove(id) {
    if (this.titles.delete(id)) this.draw();
  }

  draw() {
    this.chips.replaceChildren(...[...this.titles].map(([id, text]) => el("li", {},
      el("a", { href: address(["item", id]) }, title(text)),
      el("button", {
        type: "button", "aria-label": `Leave out ${text}`,
        click: () => { this.remove(id); this.changed(null, id); this.search.input.focus(); },
      }, "×"))));
  }
}
