// A colour for each channel, the same everywhere; there are eight.

import { el } from "./dom.js";

const names = [];

export function channelClass(name) {
  if (!names.includes(name)) names.push(name);
  return `channel-${names.indexOf(name) % 8}`;
}

export function channelName(name) {
  return el("span", { class: `channel ${channelClass(name)}` }, name);
}
