// Which page is shown, and which run answers.

import { onRun } from "./api.js";
import { el, speakIn } from "./dom.js";
import { itemPage, nodePage } from "./item.js";
import { newPage, userPage } from "./person.js";
import { here } from "./route.js";
import { forget, runFacts } from "./run_facts.js";
import { runPage } from "./runs.js";

const PAGES = {
  user: ([, id], query) => userPage(id, query),
  new: (_, query) => newPage(query),
  item: ([, id]) => itemPage(id),
  node: ([, type, id]) => nodePage(type, id),
  run: ([, name]) => runPage(name),
};
const NAMES = { user: "User", new: "Somebody new", item: "Items", node: "A node", run: "Runs" };
const main = document.getElementById("main");

speakIn(document.getElementById("status"));

function show({ focus }) {
  const { parts, query } = here();
  const name = Object.hasOwn(PAGES, parts[0]) ? parts[0] : "user";
  document.body.classList.remove("reading");
  main.replaceChildren(PAGES[name](parts, query));
  document.title = `${parts[1] ? `${parts[1]} · ` : ""}${NAMES[name]} · graphrecall`;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.getAttribute("href") === `#${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (!focus) return;
  main.focus({ preventScroll: true });
  scrollTo(0, 0);
}

onRun((run) => {
  forget();
  const place = document.getElementById("serving");
  place.replaceChildren("answers from ", el("a", { href: "#run" }, run));
  runFacts().catch(() => {});
});
document.getElementById("skip").addEventListener("click", () => main.focus());
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, textarea, select, dialog")) return;
  const search = main.querySelector("input[type=search]");
  if (!search) return;
  event.preventDefault();
  search.focus();
});
addEventListener("hashchange", () => show({ focus: true }));
show({ focus: false });
