// What the view has to know of the recommender that answers.

import { get } from "./api.js";

export function runFacts() {
  return get("facts");
}
