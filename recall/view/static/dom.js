// Elements. Whatever comes from the data is set as text or as an attribute that is no address and no script.

export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.flat(2).filter((child) => child != null && child !== false));
  return node;
}

// A title in its own direction: it turns nothing around it.
export function title(text) {
  return el("bdi", { dir: "auto" }, text);
}

// A bar as wide as a fraction of its place.
export function bar(fraction, kind = "") {
  const fill = el("span", { class: "fill" });
  fill.style.inlineSize = `${100 * Math.min(Math.max(fraction, 0), 1)}%`;
  return el("span", { class: `bar ${kind}`, "aria-hidden": "true" }, fill);
}

export function hidden(text) {
  return el("span", { class: "hidden" }, text);
}

export function problem(error) {
  return el("p", { class: "problem", role: "alert" }, error.message);
}

let spoken = null;

// Where `say` writes for those who do not see the page.
export function speakIn(place) {
  spoken = place;
}

export function say(text) {
  if (spoken) spoken.textContent = text;
}

// The element of the same document, or of the same part of one, that has the focus.
export function focusedBeside(node) {
  return node.getRootNode().activeElement;
}

// Calls `act` when it has not been called again for some milliseconds.
export function later(act, milliseconds) {
  let timer = 0;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => act(...values), milliseconds);
  };
}
