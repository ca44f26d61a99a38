// Asks the kernel of the notebook, in the words in which the page asks the service.

let model = null;
let last = 0;
const waiting = new Map();

export function connect(widget) {
  model = widget;
  model.on("msg:custom", ({ number, answer, problem }) => {
    const question = waiting.get(number);
    waiting.delete(number);
    if (problem === undefined) question?.resolve(answer);
    else question?.reject(new Error(problem));
  });
}

export function get(path, parameters = {}, signal = undefined) {
  return ask(path, parameters, signal);
}

export function post(path, body, signal = undefined) {
  return ask(path, body, signal);
}

function ask(path, body, signal) {
  last += 1;
  const number = last;
  return new Promise((resolve, reject) => {
    waiting.set(number, { resolve, reject });
    signal?.addEventListener("abort", () => {
      waiting.delete(number);
      reject(signal.reason);
    });
    model.send({ number, path, body });
  });
}
