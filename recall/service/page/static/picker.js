// A field that searches users or items while one types; arrows, Enter and Escape work as in any list.

import { get } from "./api.js";
import { el, later, title } from "./dom.js";
import { count } from "./format.js";

let number = 0;

export function picker({ kind, label, hint, choose }) {
  number += 1;
  const listId = `picker-${number}`;
  let hits = [];
  let active = -1;
  let asked = null;
  let searched = null; // the text that `hits` belong to
  const input = el("input", {
    type: "search", id: `${listId}-input`, role: "combobox", "aria-expanded": "false", "aria-controls": listId,
    "aria-autocomplete": "list", autocomplete: "off", spellcheck: "false", placeholder: hint, dir: "auto",
  });
  const list = el("ul", { id: listId, role: "listbox", "aria-label": label, hidden: true });
  const note = el("p", { class: "note", role: "status" });

  function show(open) {
    list.hidden = !open;
    input.setAttribute("aria-expanded", String(open));
    if (!open) mark(-1);
  }

  function mark(at) {
    active = at;
    [...list.children].forEach((option, place) => option.setAttribute("aria-selected", String(place === at)));
    if (at < 0) {
      input.removeAttribute("aria-activedescendant");
      return;
    }
    input.setAttribute("aria-activedescendant", list.children[at].id);
    list.children[at].scrollIntoView({ block: "nearest" });
  }

  function take(at) {
    const hit = hits[at];
    show(false);
    input.value = "";
    choose(hit);
  }

  async function search() {
    asked?.abort();
    asked = new AbortController();
    const text = input.value;
    try {
      ({ hits } = await get("search", { kind, q: text, limit: 12 }, asked.signal));
      searched = text;
    } catch (error) {
      if (error.name !== "AbortError") note.textContent = error.message;
      return;
    }
    note.textContent = hits.length || !input.value ? "" : `No ${kind} has this in its id or title.`;
    list.replaceChildren(...hits.map((hit, at) => el(
      "li",
      { id: `${listId}-${at}`, role: "option", "aria-selected": "false", pointerdown: (event) => event.preventDefault(),
        click: () => take(at) },
      el("span", { class: "name" }, title(hit.title)),
      el("span", { class: "note" }, hit.title === hit.id ? "" : [title(hit.id), " · "],
        kind === "user" ? count(hit.likes, "like") : `liked by ${hit.likes.toLocaleString("en")}`),
    )));
    show(hits.length > 0 && document.activeElement === input);
  }

  const soon = later(search, 120);
  input.addEventListener("input", soon);
  input.addEventListener("focus", search);
  input.addEventListener("blur", () => show(false));
  input.addEventListener("keydown", async (event) => {
    if (event.key === "Escape" && !list.hidden) {
      event.preventDefault(); // what was typed stays
      show(false);
    }
    if (event.key === "Enter") {
      event.preventDefault();
      if (searched !== input.value) await search(); // typed faster than searched
      if (searched === input.value && hits.length) take(Math.max(active, 0));
      return;
    }
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step || !hits.length) return;
    event.preventDefault();
    if (list.hidden) show(true);
    mark((active + step + hits.length) % hits.length);
  });
  const field = el("div", { class: "picker" }, el("label", { for: input.id }, label), input, list, note);
  return { field, input };
}
