// Numbers and times for people.

const LEAST = 0.0005;

export function share(amount, fraction) {
  if (fraction == null) return (amount > 0 ? "+" : "") + short(amount);
  if (fraction !== 0 && Math.abs(fraction) < LEAST) return fraction > 0 ? "<0.1%" : ">-0.1%";
  return `${(100 * fraction + 0).toFixed(1)}%`;
}

export function short(value) {
  if (value == null) return "–";
  return Number.isInteger(value) ? value.toLocaleString("en") : Number(value.toPrecision(3)).toString();
}

export function count(number, noun, several = `${noun}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? noun : several}`;
}

export function bytes(size) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  for (; size >= 1000 && at < units.length - 1; at += 1) size /= 1000;
  return `${size < 10 && at ? size.toFixed(1) : Math.round(size)} ${units[at]}`;
}

export function day(seconds) {
  const date = new Date(1000 * seconds);
  return Number.isNaN(date.valueOf()) ? "" : date.toISOString().slice(0, 10);
}

export function moment(iso) {
  const date = new Date(iso);
  return Number.isNaN(date.valueOf()) ? iso : `${date.toISOString().slice(0, 16).replace("T", " ")} UTC`;
}

export function plain(name) {
  return String(name).replaceAll("_", " ");
}
