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
  let searching = null; // the text that is searched, or that `hits` belong to
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
    const text = input.value;
    if (searching?.text !== text) {
      searching?.stop.abort();
      const stop = new AbortController();
      searching = { text, stop, done: ask(text, stop.signal) };
    }
    await searching.done;
    if (text === input.value) show(hits.length > 0 && document.activeElement === input);
  }

  async function ask(text, signal) {
    try {
      ({ hits } = await get("search", { kind, q: text, limit: 12 }, signal));
    } catch (error) {
      if (error.name === "AbortError") return;
      searching = null;
      hits = [];
      note.textContent = error.message;
      return;
    }
    note.textContent = hits.length || !text ? "" : `No ${kind} has this in its id or title.`;
    list.replaceChildren(...hits.map((hit, at) => el(
      "li",
      { id: `${listId}-${at}`, role: "option", "aria-selected": "false", pointerdown: (event) => event.preventDefault(),
        click: () => take(at) },
      el("span", { class: "name" }, title(hit.title)),
      el("span", { class: "note" }, hit.title === hit.id ? "" : [title(hit.id), " · "],
        kind === "user" ? count(hit.likes, "like") : `liked by ${hit.likes.toLocaleString("en")}`),
    )));
    active = -1;
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
      const text = input.value;
      await search(); // what is typed may not have been searched yet
      if (text === input.value && hits.length && (text || active >= 0)) take(Math.max(active, 0));
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
