// Asks the service. Addresses are relative to the page, so that it can stand below another one.

const KEY = "graphrecall-key";
let asking = null;
let served = "";
const listeners = [];

export class Problem extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

// Tells when answers come from another run than before.
export function onRun(listener) {
  listeners.push(listener);
}

export function get(path, parameters = {}, signal = undefined) {
  const query = new URLSearchParams(parameters).toString();
  return ask(query ? `${path}?${query}` : path, { signal });
}

export function post(path, body, signal = undefined) {
  const headers = { "Content-Type": "application/json" };
  return ask(path, { method: "POST", body: JSON.stringify(body), headers, signal });
}

async function ask(path, init) {
  const key = sessionStorage.getItem(KEY);
  const headers = { ...init.headers, ...(key ? { Authorization: `Bearer ${key}` } : {}) };
  let response;
  try {
    response = await fetch(path, { ...init, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "The service does not answer. Is it still running?");
  }
  if (response.status === 401) {
    await askForKey(key);
    return ask(path, init);
  }
  const answer = await response.json().catch(() => ({ detail: `The service answered with status ${response.status}.` }));
  if (!response.ok) throw new Problem(response.status, answer.detail);
  if (answer.run && answer.run !== served) {
    served = answer.run;
    for (const listener of listeners) listener(served);
  }
  return answer;
}

function askForKey(refused) {
  if (asking) return asking;
  if (sessionStorage.getItem(KEY) !== refused) return Promise.resolve(); // another request was given one meanwhile
  const dialog = document.getElementById("key");
  const input = document.getElementById("key-value");
  asking = new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      asking = null;
      if (input.value) sessionStorage.setItem(KEY, input.value);
      input.value = "";
      resolve();
    }, { once: true });
    dialog.addEventListener("cancel", (event) => event.preventDefault());
    dialog.showModal();
  });
  return asking;
}
