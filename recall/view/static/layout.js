// Where the nodes of a drawing lie, in pixels: columns by hop, from left to right.

export const NODE = { width: 124, height: 56 };
const GAP = 14;
const GUIDE = 14; // room for a line that passes a column
const LABEL = 62; // room for what is written on a line

// The least width of a drawing; on a narrower page it is scrolled.
export function leastWidth(nodes) {
  const last = Math.max(...nodes.map((node) => node.column));
  return (last + 1) * NODE.width + last * LABEL;
}

// Middles of the nodes, the points that lines pass columns at, and the height of all.
export function arrange(nodes, edges, width) {
  const last = Math.max(...nodes.map((node) => node.column));
  const columns = Array.from({ length: last + 1 }, () => []);
  const entries = nodes.map((node) => ({ size: NODE.height, beside: [], column: node.column }));
  const guides = edges.map(({ near, far }) => {
    const passed = [];
    for (let column = nodes[near].column + 1; column < nodes[far].column; column += 1) passed.push({ size: GUIDE, beside: [], column });
    const way = [entries[near], ...passed, entries[far]];
    for (let at = 1; at < way.length; at += 1) {
      way[at - 1].beside.push(way[at]);
      way[at].beside.push(way[at - 1]);
    }
    return passed;
  });
  for (const entry of [...entries, ...guides.flat()]) columns[entry.column].push(entry);
  stack(columns);
  order(columns);
  const top = Math.min(...columns.flat().map((entry) => entry.y - entry.size / 2));
  const bottom = Math.max(...columns.flat().map((entry) => entry.y + entry.size / 2));
  const place = (entry) => ({ x: NODE.width / 2 + (entry.column * (width - NODE.width)) / Math.max(last, 1), y: entry.y - top });
  return { places: entries.map(place), guides: guides.map((passed) => passed.map(place)), height: bottom - top };
}

// Nodes around another one, in rows below everything else.
export function below(number, width, top) {
  const step = NODE.width + 12;
  const perRow = Math.max(1, Math.floor(width / step));
  const places = Array.from({ length: number }, (_, at) => {
    const inRow = Math.min(perRow, number - perRow * Math.floor(at / perRow));
    return {
      x: width / 2 + ((at % perRow) - (inRow - 1) / 2) * step,
      y: top + NODE.height / 2 + Math.floor(at / perRow) * (NODE.height + GAP),
    };
  });
  return { places, height: Math.ceil(number / perRow) * (NODE.height + GAP) };
}

// How a line from one point to another passes others, as cytoscape wants it: along it, and how far beside it.
export function bends(from, to, points) {
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const length = Math.hypot(dx, dy) || 1;
  return {
    weights: points.map((point) => ((point.x - from.x) * dx + (point.y - from.y) * dy) / length ** 2),
    distances: points.map((point) => ((point.y - from.y) * dx - (point.x - from.x) * dy) / length),
  };
}

// Each column by the mean height of what its nodes are joined to, which takes out most crossings.
function order(columns) {
  for (let sweep = 0; sweep < 8; sweep += 1) {
    for (const column of sweep % 2 ? [...columns].reverse() : columns) {
      const middle = new Map(column.map((entry) => [entry, entry.beside.reduce((sum, other) => sum + other.y, 0) / Math.max(entry.beside.length, 1)]));
      column.sort((a, b) => middle.get(a) - middle.get(b));
      stack([column]);
    }
  }
}

function stack(columns) {
  for (const column of columns) {
    let y = -column.reduce((sum, entry) => sum + entry.size + GAP, -GAP) / 2;
    for (const entry of column) {
      entry.y = y + entry.size / 2;
      y += entry.size + GAP;
    }
  }
}
