// What a person may turn: weights of channels, diversity, the long tail, and a filter. All of it acts at once.

import { channelName } from "./channels.js";
import { el, later } from "./dom.js";
import { runFacts } from "./run_facts.js";

export class Controls {
  constructor(changed) {
    this.limits = {};
    this.turned = {};
    this.groups = [];
    this.changed = changed;
    this.soon = later(changed, 120);
    const sliders = el("div", { class: "sliders" });
    this.reset = el("button", { type: "button", click: () => this.asInTheRun() }, "As in the run");
    this.filter = el("input", {
      type: "text", id: "filter", spellcheck: "false", autocomplete: "off", placeholder: 'genre in ["Drama"]',
      input: later(() => {
        this.limits = this.filter.value.trim() ? { filter: this.filter.value } : {};
        changed();
      }, 500),
    });
    this.node = el("details", { class: "controls" }, el("summary", {}, "Weights, order and filter"), sliders,
      el("div", { class: "field" }, el("label", { for: "filter" }, "Only items where"), this.filter));
    runFacts().then((facts) => this.addSliders(sliders, facts), () => {});
  }

  // Whether anything stands otherwise than in the run.
  get differs() {
    return Object.keys(this.turned).length > 0;
  }

  addSliders(place, { weights, rules }) {
    const names = Object.keys(weights);
    const total = names.reduce((sum, name) => sum + weights[name], 0);
    if (names.length > 1) {
      this.addGroup(place, "Weights of the channels",
        names.map((name) => ({ key: name, label: channelName(name), usual: weights[name] / total })),
        (values) => ({ weights: values }));
    }
    const order = [
      { key: "diversity", label: "Diversity", hint: "what is like an item before it waits", usual: rules.diversity },
      { key: "long_tail", label: "Long tail", hint: "rarely liked items come forward", usual: rules.long_tail },
    ];
    this.addGroup(place, "Order", order.filter(({ usual }) => usual != null), (values) => values);
    place.append(this.reset);
    this.write();
  }

  // Sliders that are sent together once one of them was turned: `sent` makes fields of a request of their values.
  addGroup(place, heading, entries, sent) {
    const group = { sent, sliders: entries.map((entry) => slider(entry, () => this.turn(group))) };
    this.groups.push(group);
    place.append(el("fieldset", {}, el("legend", {}, heading), group.sliders.map(({ node }) => node)));
  }

  turn(group) {
    const values = group.sliders.map(({ key, range }) => [key, Number(range.value) / 100]);
    Object.assign(this.turned, group.sent(Object.fromEntries(values)));
    this.write();
    this.soon();
  }

  asInTheRun() {
    for (const { range, usual } of this.groups.flatMap(({ sliders }) => sliders)) range.value = usual;
    this.turned = {};
    this.write();
    this.changed();
  }

  write() {
    for (const { range, output } of this.groups.flatMap(({ sliders }) => sliders)) output.textContent = range.value;
    this.reset.disabled = !this.differs;
  }
}

function slider({ key, label, hint, usual }, turned) {
  const id = `slider-${key}`;
  const percent = String(Math.round(100 * usual));
  const range = el("input", { type: "range", min: "0", max: "100", value: percent, id, input: turned, "aria-describedby": hint && `${id}-hint` });
  const output = el("output", { for: id });
  const node = el("div", { class: "slider" }, el("label", { for: id }, label), range, output,
    hint ? el("span", { class: "note", id: `${id}-hint` }, hint) : null);
  return { key, range, output, usual: percent, node };
}
