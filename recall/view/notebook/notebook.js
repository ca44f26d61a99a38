// The view in a notebook: what the page shows of one person, in a part of the document with styles of its own.

import { connect } from "./api.js";
import { el, speakIn } from "./dom.js";
import { historyOf } from "./history.js";
import style from "./style.js";
import { Workbench } from "./workbench.js";

export default {
  initialize({ model }) {
    connect(model);
  },

  render({ model, el: place }) {
    const asker = model.get("asker");
    const status = el("p", { class: "hidden", role: "status" });
    const workbench = new Workbench({
      side: asker.user_id === undefined ? null : historyOf(asker.user_id),
      opened: (item) => {
        model.set("chosen", item);
        model.save_changes();
      },
    });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(style);
    const root = place.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [sheet];
    root.append(el("div", { class: "in-notebook" }, workbench.node, status));
    speakIn(status);
    const choose = () => workbench.choose(model.get("chosen"));
    model.on("change:chosen", choose);
    // Behind this call the place is part of the document.
    setTimeout(() => workbench.show(asker, model.get("chosen")));
    return () => {
      model.off("change:chosen", choose);
      workbench.clear();
    };
  },
};
