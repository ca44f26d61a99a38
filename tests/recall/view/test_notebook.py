"""The view of a notebook in a real browser: its module in a small page, joined to the widget in Python."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from recall.serve.recommender import Recommender
from recall.view.widget import View
from tests.recall.service.page.conftest import PATIENCE, Complaints
from tests.recall.service.page.making import HOSTILE
from tests.recall.view.making import Wire, wired

pytestmark = [pytest.mark.slow, pytest.mark.browser]

ADDRESS = "http://notebook.test/"
# What a notebook does with a widget (the front-end module of anywidget), as far as the view uses it.
HOST = """<!doctype html><html lang="en"><title>A notebook</title><meta name="viewport" content="width=device-width">
<body><h1>A notebook</h1><button id="before">A button of the notebook</button><div id="output"></div>
<script type="module">
  const handlers = {};
  const tell = (name, ...values) => (handlers[name] ?? []).forEach((handler) => handler(...values));
  const state = STATE;
  const deliver = (messages) => messages.forEach((message) => {
    if (message.method === "custom") tell("msg:custom", message.content);
    else for (const [name, value] of Object.entries(message.state)) { state[name] = value; tell(`change:${name}`); }
  });
  const model = {
    get: (name) => state[name],
    set: (name, value) => { state[name] = value; tell(`change:${name}`); },
    save_changes: async () => deliver(await carry({ method: "update", state: { chosen: state.chosen } })),
    send: async (content) => deliver(await carry({ method: "custom", content })),
    on: (name, handler) => { (handlers[name] ??= []).push(handler); },
    off: (name, handler) => { handlers[name] = (handlers[name] ?? []).filter((other) => other !== handler); },
  };
  window.deliver = deliver;
  const module = URL.createObjectURL(new Blob([state._esm], { type: "text/javascript" }));
  const widget = await (await import(module)).default();
  await widget.initialize({ model });
  window.remove = await widget.render({ model, el: document.getElementById("output") });
</script></body></html>"""

Show = Callable[[View], Page]


@pytest.fixture
def show(browser: Browser, complaints: Complaints) -> Iterator[Show]:
    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        context.set_default_timeout(PATIENCE)
        complaints.watch(context)
        # Nothing but the notebook itself can be reached.
        context.route("**/*", lambda route: route.abort())

        def shown(view: View) -> Page:
            wire = view.comm
            assert isinstance(wire, Wire)

            def carry(data: dict[str, Any]) -> list[dict[str, Any]]:
                wire.receive(data)
                return wire.taken()

            state = {name: value for name, value in view.get_state().items() if name in ("_esm", "asker", "chosen")}
            text = HOST.replace("STATE", json.dumps(state).replace("<", "\\u003c"))
            page = context.new_page()
            page.expose_function("carry", carry)
            page.route(ADDRESS, lambda route: route.fulfill(body=text, content_type="text/html; charset=utf-8"))
            page.goto(ADDRESS)
            return page

        yield shown
    assert complaints.unexpected == []


@pytest.fixture
def view(recommender: Recommender) -> View:
    with wired():
        return recommender.show("u1")


def titles(rows: Any) -> list[str]:
    return [row["title"] for row in rows]


def test_history_candidates_and_on_a_click_why(show: Show, view: View, recommender: Recommender) -> None:
    page = show(view)
    names = page.locator(".candidate .name > bdi")
    usual = list(recommender.recommend(["u1"], k=20, titles=True))
    expect(names).to_have_text(titles(usual))
    history = recommender.lookup.user_history("u1")
    expect(page.locator(".history bdi")).to_have_text(titles(history))
    page.locator(".candidate").nth(1).click()
    item = usual[1]["item_id"]
    (explanation,) = recommender.explain([("u1", item)])
    expect(page.locator(".why h2")).to_have_text(f"Why {usual[1]['title']}?")
    expect(page.locator(".part")).to_have_count(len(explanation.parts))
    drawing = page.locator(".drawing")
    expect(drawing.locator("canvas").first).to_be_visible()
    drawn = drawing.evaluate("(place) => place._cyreg.cy.nodes().length")
    assert drawn == len(view._answer("explain", {"item_ids": [item], "k": 20})["explanations"][0]["drawing"]["nodes"])
    # Colours come from the styles of the view.
    assert drawing.evaluate("(place) => place._cyreg.cy.nodes('.item').style('background-color')") == "rgb(232,163,61)"
    assert explanation.query is not None
    expect(page.locator(".cypher pre").first).to_have_text(explanation.query.text)
    assert view.chosen == item
    page.keyboard.press("Escape")
    expect(page.locator(".why")).to_be_hidden()
    assert view.chosen == ""
    expect(page.locator(".candidate").nth(1)).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(page.locator(".candidate").nth(2)).to_be_focused()


def test_a_click_on_a_node_opens_its_neighbourhood(show: Show, recommender: Recommender) -> None:
    (item,) = recommender.recommend(["u1"], k=1).table["item_id"].to_pylist()
    with wired():
        view = recommender.show("u1", chosen=item)
    page = show(view)
    drawing = page.locator(".drawing")
    expect(drawing.locator("canvas").first).to_be_visible()
    count = "(place) => place._cyreg.cy.nodes().length"
    before = drawing.evaluate(count)
    where = drawing.evaluate("(place) => place._cyreg.cy.getElementById('n1').renderedPosition()")
    drawing.click(position=where)
    expect(page.locator("[data-node=n1]")).to_have_attribute("aria-pressed", "true")
    assert drawing.evaluate(count) > before
    expect(page.locator(".about-node")).to_contain_text(recommender.title(item))
    expect(page.locator(".about-node a[href]")).to_have_count(0)  # a notebook has no page to go to


def test_what_is_turned_acts_at_once(show: Show, view: View, recommender: Recommender) -> None:
    page = show(view)
    names = page.locator(".candidate .name > bdi")
    page.get_by_text("Weights, order and filter").click()
    page.get_by_role("slider", name="Long tail").focus()
    page.keyboard.press("End")
    rare = recommender.with_rules(diversity=0, long_tail=1).recommend(["u1"], k=20, titles=True)
    expect(names).to_have_text(titles(rare))
    page.get_by_role("button", name="As in the run").click()
    page.get_by_label("Only items where").fill("nothing > 3")
    expect(page.get_by_role("alert")).to_contain_text("'nothing'")
    page.get_by_label("Only items where").fill("")
    expect(names).to_have_text(titles(recommender.recommend(["u1"], k=20, titles=True)))


def test_python_chooses_too(show: Show, view: View, recommender: Recommender) -> None:
    page = show(view)
    row = list(recommender.recommend(["u1"], k=20, titles=True))[3]
    expect(page.locator(".candidate").first).to_be_visible()
    view.chosen = row["item_id"]
    page.evaluate("(messages) => deliver(messages)", view.comm.taken())
    expect(page.locator(".why h2")).to_have_text(f"Why {row['title']}?")
    page.evaluate("remove()")
    expect(page.locator(".workbench")).to_be_hidden()


def test_titles_stay_text_and_styles_stay_inside(show: Show, recommender: Recommender) -> None:
    with wired():
        view = recommender.show(liked=["m5"], chosen="m0")
    page = show(view)
    expect(page.locator(".why h2")).to_have_text(f"Why {HOSTILE}?")
    expect(page.locator("#output :is(script, img, iframe)")).to_have_count(0)
    assert page.evaluate("window.ran") is None
    expect(page.locator(".history")).to_have_count(0)
    radius = "(button) => getComputedStyle(button).borderRadius"
    assert page.locator("#before").evaluate(radius) != page.locator(".why .back").evaluate(radius) == "8px"


@pytest.mark.parametrize("width", [1200, 390])
def test_it_fits_its_place(show: Show, recommender: Recommender, width: int) -> None:
    (item,) = recommender.recommend(["u1"], k=1).table["item_id"].to_pylist()
    with wired():
        view = recommender.show("u1", chosen=item)
    page = show(view)
    page.set_viewport_size({"width": width, "height": 900})
    expect(page.locator(".drawing canvas").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    why, output = page.locator(".why").bounding_box(), page.locator("#output").bounding_box()
    assert why is not None
    assert output is not None
    assert output["y"] <= why["y"]  # it covers nothing of the notebook
    assert why["x"] >= output["x"]
    expect(page.locator(".candidate").first).to_be_enabled()
