// Why an item is a candidate: in words first, then the paths drawn, then the Cypher that finds them again.

import { post } from "./api.js";
import { bar, el, hidden, problem, say, title } from "./dom.js";
import { channelClass, channelName } from "./channels.js";
import { cypherBox } from "./cypher.js";
import { drawing } from "./drawing.js";
import { share, short } from "./format.js";
import { address } from "./route.js";

const SHOWN = 5;

export class Why {
  constructor(close) {
    this.heading = el("h2", { tabindex: "-1" });
    this.body = el("div", { class: "why-body" });
    const back = el("button", { type: "button", class: "back", click: close }, "Close");
    this.node = el("section", {
      class: "card why", "aria-label": "Reasons", hidden: true,
      keydown: (event) => { if (event.key === "Escape") close(); },
    }, el("div", { class: "why-top" }, this.heading, back), this.body);
  }

  clear() {
    this.asked?.abort();
    this.drawn?.remove();
    this.node.hidden = true;
    this.body.replaceChildren();
  }

  async show(question, row, { focus }) {
    this.asked?.abort();
    this.asked = new AbortController();
    const { signal } = this.asked;
    this.node.hidden = false;
    this.heading.replaceChildren("Why ", title(row.title), "?");
    if (focus) {
      this.body.replaceChildren(el("p", { class: "note" }, "…"));
      this.heading.focus({ preventScroll: true });
      this.node.scrollTop = 0;
    }
    try {
      const answer = await post("explain", { ...question, item_ids: [row.item_id] }, signal);
      this.draw(answer.explanations[0], signal);
    } catch (error) {
      if (error.name !== "AbortError") this.body.replaceChildren(problem(error));
    }
  }

  async draw(explanation, signal) {
    this.heading.replaceChildren("Why ", title(explanation.item_title), "?");
    this.drawn?.remove();
    const place = el("div");
    const itemPage = address(["item", explanation.item_id]);
    this.body.replaceChildren(
      el("p", { class: "note" }, `Score ${short(explanation.score)} from ${explanation.source}. `,
        itemPage ? el("a", { href: itemPage }, "All about this item") : null),
      ...(explanation.moves ? [el("p", { class: "rule" }, `In the list: ${explanation.moves}.`)] : []),
      ...words(explanation),
      el("h3", {}, "The paths"),
      place,
      cypherBox(explanation),
      el("details", {}, el("summary", {}, "All of it as text"), el("pre", { tabindex: "0", dir: "auto" }, explanation.text)));
    say(`Reasons for ${explanation.item_title}`);
    const drawn = await drawing(explanation, place);
    if (signal.aborted) drawn?.remove();
    else this.drawn = drawn;
  }
}

// The reasons in words, of each channel where several are fused.
function words(explanation) {
  if (!explanation.parts.length) return sides(explanation, explanation.shares, explanation.reason, "");
  const mixed = el("div", { class: "mixed", "aria-hidden": "true" }, explanation.parts.map((part) => {
    const piece = el("span", { class: channelClass(part.channel) });
    piece.style.flexGrow = String(Math.max(part.share, 0));
    return piece;
  }));
  return [mixed, ...explanation.parts.map((part) => el("section", { class: "part" },
    el("h3", {}, channelName(part.channel), " ", el("span", { class: "amount" }, share(part.share, part.fraction))),
    sides(part, part, part.reason, channelClass(part.channel))))];
}

function sides(owner, split, reason, kind) {
  if (owner.by_paths) {
    const { lines, others, popularity, weights } = owner.by_paths;
    const sums = [others, popularity].filter(Boolean).map((sum) => ({ ...sum, text: sum.text.replace(/^of /, "") }));
    return [reasons([...lines, ...sums], kind), el("p", { class: "note" }, weights)];
  }
  if (reason) {
    const lost = owner.left_out ?? [];
    return [el("p", {}, `No shares: ${reason}.`),
      lost.length ? [el("p", { class: "note" }, "What the score loses without each of these:"), reasons(lost, kind)] : null];
  }
  const because = (side) => side.filter((entry) => entry.share).map((entry) => ({ ...entry, text: `because ${entry.text}` }));
  return [
    reasons(because(split.history), kind),
    el("details", {}, el("summary", {}, "The same, split from the item's side"), reasons(because(split.neighbours), kind)),
  ];
}

function reasons(entries, kind) {
  const strongest = Math.max(...entries.map((entry) => Math.abs(entry.share)), 0);
  const lines = entries.map((entry) => el("li", {},
    el("span", { class: "sentence", dir: "auto" }, entry.text),
    el("span", { class: "amount" }, share(entry.share, entry.fraction)),
    bar(strongest ? Math.abs(entry.share) / strongest : 0, entry.share < 0 ? "against" : kind)));
  const list = el("ul", { class: "reasons" }, lines.slice(0, SHOWN));
  if (lines.length <= SHOWN + 1) {
    list.append(...lines.slice(SHOWN));
    return list;
  }
  const more = el("button", {
    type: "button", class: "link",
    click: () => {
      list.append(...lines.slice(SHOWN));
      const next = lines[SHOWN];
      next.tabIndex = -1;
      next.focus();
      more.remove();
    },
  }, `${lines.length - SHOWN} more`, hidden(" reasons"));
  return [list, more];
}
