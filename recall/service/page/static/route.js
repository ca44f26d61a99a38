// Addresses of the page stand behind `#`, so that no id of a user reaches the log of a server.

export function here() {
  const [path, query = ""] = location.hash.slice(1).split("?");
  return { parts: path.split("/").map(decoded), query: new URLSearchParams(query) };
}

export function address(parts, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== "" && value != null && value.length !== 0);
  const pairs = given.flatMap(([name, value]) => [value].flat().map((entry) => [name, entry]));
  const text = new URLSearchParams(pairs).toString();
  return `#${parts.map(encodeURIComponent).join("/")}${text ? `?${text}` : ""}`;
}

export function go(parts, query) {
  location.hash = address(parts, query);
}

// Another address for what is shown already.
export function keep(parts, query) {
  history.replaceState(null, "", address(parts, query));
}

export function nodeAddress(type, id, itemType) {
  return type === itemType ? address(["item", id]) : address(["node", type, id]);
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
