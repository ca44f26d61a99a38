// Candidates of whoever asks, what moves them, and the reasons of the one that is chosen.

import { post } from "./api.js";
import { bar, el, focusedBeside, hidden, problem, say, title } from "./dom.js";
import { channelClass, channelName } from "./channels.js";
import { Controls } from "./controls.js";
import { count, short } from "./format.js";
import { Why } from "./why.js";

const STEP = 20;

export class Workbench {
  constructor({ side, opened }) {
    this.opened = opened;
    this.controls = new Controls(() => this.ask());
    this.why = new Why(() => this.close());
    this.list = el("ol", { class: "candidates", keydown: (event) => this.move(event) });
    this.about = el("p", { class: "note" });
    this.more = el("button", { type: "button", hidden: true, click: () => { this.k += STEP; this.ask(); } }, "Show more");
    this.problem = el("div");
    this.left = el("section", { class: "left", "aria-label": "Candidates" }, side,
      el("div", { class: "card" }, el("h2", {}, "Candidates"), this.controls.node, this.problem, this.about, this.list,
        this.more));
    this.node = el("div", { class: "workbench", hidden: true }, this.left, this.why.node);
  }

  clear() {
    this.node.hidden = true;
    this.asker = null;
    this.asked?.abort();
    this.close();
  }

  async show(asker, item) {
    this.asker = asker;
    this.k = STEP;
    this.places = null;
    this.chosen = null;
    this.node.hidden = false;
    this.why.clear();
    await this.ask();
    if (!this.node.isConnected || this.asker !== asker) return; // another page is shown meanwhile
    this.choose(item);
  }

  // Shows the reasons of an item; of none without an id.
  choose(item) {
    if ((item || undefined) === this.chosen?.item_id) return;
    const row = this.rows?.find((candidate) => candidate.item_id === item);
    if (item) this.open(row ?? { item_id: item, title: item });
    else this.close();
  }

  async ask() {
    this.asked?.abort();
    this.asked = new AbortController();
    this.list.setAttribute("aria-busy", "true");
    this.about.textContent = "Searching …";
    const { asker, k } = this;
    const query = { queries: [asker], k, channel_scores: true, ...this.controls.limits };
    const start = performance.now();
    try {
      const answers = [post("recommend", { ...query, ...this.controls.turned }, this.asked.signal)];
      if (this.controls.differs) answers.push(post("recommend", query, this.asked.signal));
      const [answer, usual] = await Promise.all(answers);
      this.rows = answer.answers[0].candidates;
      this.places = usual ? new Map(usual.answers[0].candidates.map((row) => [row.item_id, row.rank])) : null;
      this.problem.replaceChildren();
    } catch (error) {
      if (error.name === "AbortError") return;
      this.rows = [];
      this.problem.replaceChildren(problem(error));
    }
    this.list.removeAttribute("aria-busy");
    this.draw();
    const took = `${count(this.rows.length, "candidate")} in ${Math.round(performance.now() - start)} ms`;
    this.about.textContent = this.rows.length ? took : "";
    say(took);
    if (this.chosen) this.reasons({ focus: false });
  }

  draw() {
    const highest = {};
    for (const row of this.rows) {
      for (const [name, score] of Object.entries(row.channels)) highest[name] = Math.max(highest[name] ?? 0, score);
    }
    this.list.replaceChildren(...this.rows.map((row) => this.row(row, highest)));
    this.more.hidden = this.rows.length < this.k;
    this.mark();
  }

  row(row, highest) {
    const scores = Object.entries(row.channels).map(([name, score]) => el("span", { class: "score", title: `${name} ${short(score)}` },
      hidden(`${name} ${short(score)}, `), bar(highest[name] ? score / highest[name] : 0, channelClass(name))));
    const usual = row.source === "popularity" ? el("span", { class: "note" }, "among the most liked items: no channel answers")
      : el("span", { class: "sources" }, listing(row.source).map((name) => el("span", { class: "listed" },
      channelName(name), " ", el("span", { class: "number", "aria-hidden": "true" }, short(row.channels[name])))));
    return el("li", {}, el("button", { type: "button", class: "candidate", "data-item": row.item_id, click: () => this.open(row) },
      el("span", { class: "rank" }, String(row.rank)),
      el("span", { class: "name" }, title(row.title), this.moved(row), usual, row.moves ? el("span", { class: "note rule" }, row.moves) : null),
      el("span", { class: "scores" }, scores)));
  }

  // How far what was turned moved a candidate.
  moved(row) {
    if (!this.places) return null;
    const before = this.places.get(row.item_id);
    if (before === undefined) return el("span", { class: "moved up" }, "new");
    const up = before - row.rank;
    if (up === 0) return null;
    return el("span", { class: `moved ${up > 0 ? "up" : "down"}` }, up > 0 ? `▲ ${up}` : `▼ ${-up}`,
      hidden(up > 0 ? " places up" : " places down"));
  }

  open(row) {
    this.chosen = row;
    this.mark();
    this.opened(row.item_id);
    document.body.classList.add("reading");
    this.left.inert = getComputedStyle(this.why.node).position === "fixed"; // the reasons cover it on a phone
    this.reasons({ focus: true });
  }

  reasons(options) {
    this.why.show({ ...this.asker, ...this.controls.turned, k: this.k }, this.chosen, options);
  }

  close() {
    document.body.classList.remove("reading");
    this.left.inert = false;
    const chosen = this.chosen?.item_id;
    this.chosen = null;
    this.why.clear();
    this.mark();
    if (!chosen) return;
    this.opened("");
    [...this.list.querySelectorAll("button")].find((button) => button.dataset.item === chosen)?.focus();
  }

  mark() {
    for (const button of this.list.querySelectorAll("button")) {
      const chosen = button.dataset.item === this.chosen?.item_id;
      button.toggleAttribute("aria-current", chosen);
      if (chosen) button.setAttribute("aria-current", "true");
    }
  }

  move(event) {
    const buttons = [...this.list.querySelectorAll("button")];
    const at = buttons.indexOf(focusedBeside(this.list));
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: buttons.length - 1 }[event.key];
    if (at < 0 || !buttons[to]) return;
    event.preventDefault();
    buttons[to].focus();
  }
}

// The channels that list a candidate, by its source: `fusion(lightgcn+walk)`.
function listing(source) {
  return source.replace(/^fusion\((.*)\)$/, "$1").split("+");
}
