// In a notebook there are no other pages: names of items and nodes are no links.

export function address() {
  return null;
}

export function nodeAddress() {
  return null;
}
