// What a user did, latest first.

import { get } from "./api.js";
import { el, problem, title } from "./dom.js";
import { count, day } from "./format.js";
import { address } from "./route.js";

export function historyOf(id) {
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
