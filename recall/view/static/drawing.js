// The paths of an explanation as a drawing whose lines are as wide as their shares; nodes open their neighbourhood.

import { get } from "./api.js";
import { el, focusedBeside, say, title } from "./dom.js";
import { count, plain, share } from "./format.js";
import { arrange, below, bends, leastWidth, NODE } from "./layout.js";
import { nodeAddress } from "./route.js";

const NEIGHBOURS = 6;
const KINDS = ["user", "history", "item", "other users"];

export async function drawing(explanation, place) {
  const { nodes, edges } = explanation.drawing;
  if (!edges.length) {
    place.append(el("p", { class: "note" }, "No path of the graph connects them within the hops asked for."));
    return null;
  }
  const { default: cytoscape } = await import("./vendor/cytoscape.esm.min.mjs");
  const drawn = new Drawing(cytoscape, explanation, place);
  drawn.arrange();
  return drawn;
}

class Drawing {
  constructor(cytoscape, explanation, place) {
    const { nodes, edges } = explanation.drawing;
    this.nodes = nodes;
    this.edges = edges;
    this.itemType = nodes[1].type;
    this.opened = new Map();
    this.canvas = el("div", {
      class: "drawing", role: "img",
      "aria-label": `Drawing of ${count(nodes.length, "node")} and ${count(edges.length, "line")} from you to ${explanation.item_title}; `
        + "the sentences above say the same.",
    });
    this.chips = el("ul", { class: "chips" });
    this.about = el("div", { class: "about-node", role: "status" });
    this.scroll = el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "The paths, drawn" }, this.canvas);
    place.append(this.scroll, this.legend(), el("p", { class: "note", id: "look-around" }, "Look around a node:"), this.chips, this.about);
    this.chips.setAttribute("aria-labelledby", "look-around");
    this.cy = cytoscape({
      container: this.canvas, elements: this.elements(), layout: { name: "preset" },
      style: this.canvas.isConnected ? this.style() : [{ selector: "edge", style: { "curve-style": "straight" } }],
      userZoomingEnabled: false, userPanningEnabled: false, boxSelectionEnabled: false, autoungrabify: true,
    });
    // Cytoscape remembers where it stands, and in a notebook does not see when something around it scrolls.
    this.canvas.addEventListener("pointerdown", () => this.cy.resize(), { capture: true });
    this.cy.on("tap", "node", (event) => this.toggle(event.target.id()));
    this.drawChips();
    this.sized = new ResizeObserver(() => this.arrange());
    this.sized.observe(this.scroll);
    this.dark = matchMedia("(prefers-color-scheme: dark)");
    this.recolour = () => this.cy.style(this.style());
    this.dark.addEventListener("change", this.recolour);
  }

  remove() {
    if (this.cy.destroyed()) return;
    this.sized.disconnect();
    this.dark.removeEventListener("change", this.recolour);
    this.cy.destroy();
  }

  elements() {
    const strongest = Math.max(...this.edges.map((edge) => Math.abs(edge.share ?? 0)), 0);
    return [
      ...this.nodes.map((node, at) => ({
        data: { id: `n${at}`, label: node.kind === "user" ? "you" : node.title, at },
        classes: className(node.kind),
      })),
      ...this.edges.map((edge, at) => ({
        data: {
          id: `e${at}`, source: `n${edge.near}`, target: `n${edge.far}`,
          label: edge.share == null ? edge.label : `${edge.label}\n${share(edge.share, edge.fraction)}`,
          width: edge.share == null ? 1.5 : 1.5 + (strongest ? (9 * Math.abs(edge.share)) / strongest : 0),
        },
        classes: edge.share == null ? "plain" : edge.share < 0 ? "against" : "for",
      })),
    ];
  }

  // Places everything anew, for the width that there is.
  arrange() {
    if (!this.scroll.isConnected) { // another page is shown
      this.remove();
      return;
    }
    const width = Math.max(this.scroll.clientWidth, leastWidth(this.nodes));
    if (!this.scroll.clientWidth || width === this.width) return;
    if (!this.width) this.recolour(); // before it is a part of the page an element has no styles
    this.width = width;
    this.canvas.style.inlineSize = `${width}px`;
    const { places, guides, height } = arrange(this.nodes, this.edges, width);
    places.forEach((position, at) => this.cy.getElementById(`n${at}`).position(position));
    this.edges.forEach(({ near, far }, at) => {
      const edge = this.cy.getElementById(`e${at}`);
      if (!guides[at].length) return;
      const { weights, distances } = bends(places[near], places[far], guides[at]);
      edge.style({ "curve-style": "round-segments", "segment-weights": weights, "segment-distances": distances, "segment-radii": 40, "edge-distances": "node-position" });
    });
    this.height = height;
    this.arrangeOpened();
  }

  arrangeOpened() {
    let top = this.height + 56;
    for (const ids of this.opened.values()) {
      const { places, height } = below(ids.length, this.width, top);
      ids.forEach((id, at) => this.cy.getElementById(id).position(places[at]));
      top += height + 56;
    }
    this.canvas.style.blockSize = `${(this.opened.size ? top - 56 : this.height) + 8}px`;
    this.cy.resize();
    this.cy.viewport({ zoom: 1, pan: { x: 0, y: 4 } });
  }

  async toggle(id) {
    const node = this.node(id);
    if (!canOpen(node)) return;
    if (this.opened.has(id)) this.shut(id);
    else await this.open(id, node);
    this.arrangeOpened();
    this.drawChips();
  }

  shut(id) {
    for (const inner of this.opened.get(id)) {
      if (this.opened.has(inner)) this.shut(inner);
      this.cy.getElementById(inner).remove();
    }
    this.opened.delete(id);
    this.about.replaceChildren();
  }

  async open(id, node) {
    const path = node.type === this.itemType ? `items/${encodeURIComponent(node.id)}`
      : `nodes/${encodeURIComponent(node.type)}/${encodeURIComponent(node.id)}`;
    let answer;
    try {
      answer = await get(path, { neighbours: NEIGHBOURS });
    } catch (error) {
      this.about.textContent = error.message;
      return;
    }
    const added = [];
    for (const group of answer.neighbours) {
      const left = group.count - group.nodes.length;
      const several = left ? [{ id: "", title: group.nodes.length ? `and ${left.toLocaleString("en")} more` : count(left, plain(group.type)) }] : [];
      for (const other of [...group.nodes, ...several]) {
        const inner = `${id}.${added.length}`;
        added.push(inner);
        const kind = other.id ? "around" : "other-users";
        this.cy.add([
          { data: { id: inner, label: other.title, relation: plain(group.relation), open: { type: group.type, id: other.id, title: other.title } }, classes: kind },
          { data: { source: id, target: inner, width: 1.2, label: "" }, classes: "beside" },
        ]);
      }
    }
    this.opened.set(id, added);
    this.about.replaceChildren(el("p", {}, el("a", { href: nodeAddress(answer.type, answer.id, this.itemType) }, title(answer.title)),
      ` (${plain(answer.type)}): `, answer.neighbours.map((group) => count(group.count, plain(group.relation), plain(group.relation))).join(", ")));
    say(`${added.length} neighbours of ${answer.title} drawn`);
  }

  node(id) {
    const data = this.cy.getElementById(id).data();
    return data.open ?? this.nodes[data.at];
  }

  // The same as tapping a node, for the keyboard and for those who do not see the drawing.
  drawChips() {
    const focused = focusedBeside(this.chips)?.dataset?.node;
    const able = this.cy.nodes().filter((node) => canOpen(this.node(node.id())));
    this.chips.replaceChildren(...able.map((node) => el("li", {}, el("button", {
      type: "button", "data-node": node.id(), "aria-pressed": String(this.opened.has(node.id())), click: () => this.toggle(node.id()),
    }, title(this.node(node.id()).title)))));
    if (focused) [...this.chips.querySelectorAll("button")].find((button) => button.dataset.node === focused)?.focus();
  }

  legend() {
    const other = [...new Set(this.nodes.map((node) => node.kind))].filter((kind) => !KINDS.includes(kind));
    const names = { user: "you", history: "your history", item: "the candidate", "other users": "other users, counted" };
    const kinds = [...KINDS.filter((kind) => this.nodes.some((node) => node.kind === kind)), ...other];
    return el("p", { class: "legend" }, kinds.map((kind) => el("span", { class: `swatch of-${className(kind)}` }, names[kind] ?? plain(kind))),
      el("span", {}, "The wider a line, the larger its share of the score."));
  }

  style() {
    const styles = getComputedStyle(this.canvas);
    const colour = (name) => styles.getPropertyValue(`--${name}`).trim();
    const font = styles.fontFamily;
    const fill = (name) => ({ "background-color": colour(`${name}-fill`), color: colour(`${name}-ink`) });
    return [
      { selector: "node", style: {
        shape: "round-rectangle", width: NODE.width, height: NODE.height, label: (node) => [node.data("relation"), cut(node.data("label"), font)].filter(Boolean).join("\n"),
        "font-family": font, "font-size": 11.5, "text-valign": "center", "text-halign": "center", "text-wrap": "wrap",
        "text-max-width": NODE.width - 16, "text-overflow-wrap": (node) => (/\s/.test(node.data("label")) ? "whitespace" : "anywhere"), "line-height": 1.15,
        "border-width": 1, "border-color": colour("rule"), ...fill("node"),
      } },
      ...["user", "item", "history", "other-users", "around"].map((kind) => ({ selector: `node.${kind}`, style: fill(kind) })),
      { selector: "edge", style: {
        width: "data(width)", label: "data(label)", "curve-style": "straight", "line-color": colour("line"), "line-cap": "butt", opacity: 0.9,
        "font-family": font, "font-size": 10, color: colour("ink"), "text-wrap": "wrap", "text-max-width": 96, "text-margin-y": (edge) => -edge.data("width") / 2,
        "text-background-color": colour("card"), "text-background-opacity": 0.7, "text-background-padding": 2, "text-background-shape": "round-rectangle",
      } },
      { selector: "edge.for", style: { "line-color": colour("share") } },
      { selector: "edge.against", style: { "line-color": colour("against") } },
      { selector: "edge.plain, edge.beside", style: { "line-style": "dashed", "line-dash-pattern": [4, 3] } },
      { selector: "edge.beside", style: { opacity: 0.4 } },
    ];
  }
}

function canOpen(node) {
  return Boolean(node.id) && node.kind !== "user" && node.kind !== "other users";
}

function className(kind) {
  return KINDS.includes(kind) ? kind.replace(" ", "-") : "node";
}

const context = document.createElement("canvas").getContext("2d");

// A title that fits into a node: three lines at most.
function cut(text, font) {
  const room = 2.3 * (NODE.width - 16);
  context.font = `12px ${font}`;
  if (context.measureText(text).width <= room) return text;
  const signs = Array.from(text);
  while (signs.length > 1 && context.measureText(`${signs.join("")}…`).width > room) signs.pop();
  return `${signs.join("").trimEnd()}…`;
}
