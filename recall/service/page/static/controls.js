// What a person may turn: the weight of each channel of a fusion, and a filter. Both act at once.

import { channelName } from "./channels.js";
import { el, later } from "./dom.js";
import { runFacts } from "./run_facts.js";

export class Controls {
  constructor(changed) {
    this.limits = {};
    this.weights = {};
    const sliders = el("div", { class: "sliders" });
    this.filter = el("input", {
      type: "text", id: "filter", spellcheck: "false", autocomplete: "off", placeholder: 'genre in ["Drama"]',
      input: later(() => {
        this.limits = this.filter.value.trim() ? { filter: this.filter.value } : {};
        changed();
      }, 500),
    });
    this.node = el("details", { class: "controls" }, el("summary", {}, "Weights and filter"), sliders,
      el("div", { class: "field" }, el("label", { for: "filter" }, "Only items where"), this.filter));
    runFacts().then((facts) => this.addSliders(sliders, facts.weights, changed), () => {});
  }

  // Whether channels weigh otherwise than in the run.
  get weighs() {
    return "weights" in this.weights;
  }

  addSliders(place, usual, changed) {
    const names = Object.keys(usual);
    if (names.length < 2) return;
    const total = names.reduce((sum, name) => sum + usual[name], 0);
    const percent = (name) => Math.round((100 * usual[name]) / total);
    const ranges = Object.fromEntries(names.map((name) => [name, el("input", {
      type: "range", min: "0", max: "100", value: String(percent(name)), id: `weight-${name}`, input: () => turned(),
    })]));
    const shown = Object.fromEntries(names.map((name) => [name, el("output", { for: `weight-${name}` })]));
    const reset = el("button", { type: "button", click: () => set() }, "As in the run");
    const soon = later(changed, 120);

    const write = () => {
      for (const name of names) shown[name].textContent = ranges[name].value;
      reset.disabled = !this.weighs;
    };

    const turned = () => {
      const values = names.map((name) => [name, Number(ranges[name].value) / 100]);
      this.weights = { weights: Object.fromEntries(values) };
      write();
      soon();
    };

    const set = () => {
      for (const name of names) ranges[name].value = String(percent(name));
      this.weights = {};
      write();
      changed();
    };

    write();
    place.append(...names.map((name) => el("div", { class: "slider" },
      el("label", { for: `weight-${name}` }, channelName(name)), ranges[name], shown[name])), reset);
  }
}
