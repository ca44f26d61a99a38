"""What a person does on the page of a user, and of somebody new, in a real browser."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.recall.service.making import Served
from tests.recall.service.page.conftest import Complaints
from tests.recall.service.page.making import ARABIC, CHINESE, HOSTILE, ODD_USER, pick

pytestmark = [pytest.mark.slow, pytest.mark.browser]


def candidates(shown: Served, asker: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    body = {"queries": [asker], "k": 20, "channel_scores": True, **more}
    return list(shown.post("/recommend", **body).json()["answers"][0]["candidates"])


def titles(rows: list[dict[str, Any]]) -> list[str]:
    return [row["title"] for row in rows]


def explained(shown: Served, user: str, item: str, **more: Any) -> dict[str, Any]:
    return dict(shown.post("/explain", user_id=user, item_ids=[item], **more).json()["explanations"][0])


def shown_titles(page: Page) -> Locator:
    return page.locator(".candidate .name > bdi")


def lines(page: Page) -> list[dict[str, Any]]:
    """The lines of the drawing as they are drawn."""
    return list(
        page.locator(".drawing").evaluate(
            """(place) => place._cyreg.cy.edges().map((edge) =>
                ({label: edge.data("label"), width: edge.numericStyle("width"), colour: edge.style("line-color")}))"""
        )
    )


def test_a_user_is_picked_by_keyboard_alone(page: Page, shown: Served) -> None:
    page.goto("/")
    expect(page.locator("h1")).to_have_text("Candidates, and why")
    page.keyboard.press("/")
    field = page.get_by_role("combobox", name="Find a user")
    expect(field).to_be_focused()
    expect(field).to_have_attribute("aria-expanded", "true")  # those who like most
    page.keyboard.type("U1")
    options = page.get_by_role("option")
    expect(options).to_have_count(7)  # u1, u10 to u15
    page.keyboard.press("ArrowDown")
    expect(options.first).to_have_attribute("aria-selected", "true")
    expect(field).to_have_attribute("aria-activedescendant", str(options.first.get_attribute("id")))
    page.keyboard.press("Escape")
    expect(page.get_by_role("listbox")).to_be_hidden()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("User u1")
    expect(shown_titles(page)).to_have_text(titles(candidates(shown, {"user_id": "u1"})))
    page.locator(".candidate").first.focus()
    page.keyboard.press("ArrowDown")
    expect(page.locator(".candidate").nth(1)).to_be_focused()
    page.keyboard.press("End")
    expect(page.locator(".candidate").last).to_be_focused()


def test_what_is_typed_counts_also_before_it_was_searched(page: Page) -> None:
    page.goto("/")
    page.get_by_role("combobox").type("u13")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("User u13")


def test_history_and_scores_of_the_channels(page: Page, shown: Served) -> None:
    page.goto("/#user/u4")
    history = shown.client.get("/users/u4/history").json()
    expect(page.locator("summary", has_text="History")).to_have_text(f"History · {history['count']} items")
    expect(page.locator(".history bdi")).to_have_text([row["title"] for row in history["history"]])
    expect(page.locator(".history li.liked")).to_have_count(sum(row["liked"] for row in history["history"]))
    rows = candidates(shown, {"user_id": "u4"})
    highest = {name: max(row["channels"][name] for row in rows) for name in ("lightgcn", "walk")}
    expect(page.locator(".candidate")).to_have_count(len(rows))
    for at in (0, len(rows) - 1):
        bars = page.locator(".candidate").nth(at).locator(".fill")
        widths = bars.evaluate_all("(fills) => fills.map((fill) => parseFloat(fill.style.inlineSize))")
        assert widths == pytest.approx(
            [100 * max(rows[at]["channels"][name] / highest[name], 0) for name in highest], abs=0.1
        )
        listed = rows[at]["source"].removeprefix("fusion(").removesuffix(")").split("+")
        expect(page.locator(".candidate").nth(at).locator(".channel")).to_have_text(listed)
    expect(page.locator("#serving")).to_have_text(f"answers from {history['run']}")


def test_reasons_come_in_words_first_and_then_drawn(page: Page, shown: Served) -> None:
    page.goto("/#user/u4")
    row = candidates(shown, {"user_id": "u4"})[0]
    page.locator(".candidate").first.click()
    expect(page.locator(".why h2")).to_have_text(f"Why {row['title']}?")
    expect(page.locator(".why h2")).to_be_focused()
    explanation = explained(shown, "u4", row["item_id"])
    for part in explanation["parts"]:
        section = page.locator(".part", has_text=part["channel"]).first
        expect(section.locator("h3 .amount")).to_have_text(f"{100 * part['fraction']:.1f}%")
        reasons = part["by_paths"]["lines"] if part["by_paths"] else [one for one in part["history"] if one["share"]]
        because = "" if part["by_paths"] else "because "
        expect(section.locator(".sentence").first).to_have_text(because + reasons[0]["text"])
    words, drawn = page.locator(".sentence").first.bounding_box(), page.locator(".drawing").bounding_box()
    assert words is not None
    assert drawn is not None
    assert words["y"] < drawn["y"]
    expect(page.locator(".drawing canvas").first).to_be_visible()
    edges = explanation["drawing"]["edges"]
    strongest = max(abs(edge["share"] or 0) for edge in edges)
    widths = [1.5 + 9 * abs(edge["share"]) / strongest if edge["share"] is not None else 1.5 for edge in edges]
    assert [line["width"] for line in lines(page)] == pytest.approx(widths)
    assert [line["label"].split("\n")[0] for line in lines(page)] == [edge["label"] for edge in edges]
    assert page.url.endswith(f"?item={row['item_id']}")
    page.keyboard.press("Escape")
    expect(page.locator(".why")).to_be_hidden()
    expect(page.locator(".candidate").first).to_be_focused()


def test_a_path_of_three_hops_is_seen_whole_on_a_small_laptop(page: Page, shown: Served) -> None:
    page.set_viewport_size({"width": 1200, "height": 800})
    page.goto("/#user/u4?item=m6")
    nodes = explained(shown, "u4", "m6")["drawing"]["nodes"]
    assert max(node["column"] for node in nodes) == 3
    expect(page.locator(".drawing canvas").first).to_be_visible()
    place = page.locator(".scroll:has(.drawing)")
    shown_part, whole = place.evaluate("(place) => [place.clientWidth, place.scrollWidth]")
    assert whole <= shown_part


def test_rules_that_moved_a_candidate_are_named(page: Page, shown: Served) -> None:
    page.goto("/#user/u4")
    rows = candidates(shown, {"user_id": "u4"})
    moved = [row for row in rows if row["moves"]]
    assert moved
    assert any("more of Person 3" in row["moves"] for row in moved)
    expect(page.locator(".candidate .rule")).to_have_text([row["moves"] for row in moved])
    explanation = explained(shown, "u4", moved[0]["item_id"])
    page.locator(f".candidate[data-item={moved[0]['item_id']}]").click()
    expect(page.locator(".why .rule")).to_have_text(f"In the list: {explanation['moves']}.")


def test_an_address_opens_the_same_reasons(page: Page, shown: Served) -> None:
    row = candidates(shown, {"user_id": "u4"})[2]
    page.goto(f"/#user/u4?item={row['item_id']}")
    expect(page.locator(".why h2")).to_have_text(f"Why {row['title']}?")
    expect(page.locator(".candidate[aria-current]")).to_have_attribute("data-item", row["item_id"])


def test_a_node_opens_and_closes_its_neighbourhood(page: Page, shown: Served) -> None:
    page.goto("/#user/u4?item=m6")
    explanation = explained(shown, "u4", "m6")
    buttons = page.locator("[data-node]")
    named = [node for node in explanation["drawing"]["nodes"] if node["id"] and node["kind"] != "user"]
    expect(buttons).to_have_text([node["title"] for node in named])
    before = len(lines(page))
    item = shown.client.get("/items/m6", params={"neighbours": 6}).json()
    added = sum(len(group["nodes"]) + (group["count"] > len(group["nodes"])) for group in item["neighbours"])
    buttons.first.focus()
    page.keyboard.press("Enter")
    expect(buttons.first).to_have_attribute("aria-pressed", "true")
    expect(buttons.first).to_be_focused()
    assert len(lines(page)) == before + added
    expect(page.locator(".about-node")).to_contain_text(item["title"])
    labels = page.locator(".drawing").evaluate("(place) => place._cyreg.cy.nodes().map((node) => node.data('label'))")
    assert "Person 1" in labels
    assert not {f"u{number}" for number in range(16)} & set(labels)  # other users are counted
    page.keyboard.press("Enter")
    expect(buttons.first).to_have_attribute("aria-pressed", "false")
    assert len(lines(page)) == before
    # The same by a click on the node itself.
    where = page.locator(".drawing").evaluate("(place) => place._cyreg.cy.getElementById('n1').renderedPosition()")
    page.locator(".drawing").click(position=where)
    expect(buttons.first).to_have_attribute("aria-pressed", "true")
    assert len(lines(page)) == before + added


def test_cypher_is_copied(page: Page, shown: Served) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.clock.install()
    page.goto("/#user/u4?item=m6")
    explanation = explained(shown, "u4", "m6")
    copy = page.get_by_role("button", name="Copy query")
    expect(copy).to_be_visible()
    # The button says it for two seconds, which last until somebody has looked.
    page.clock.pause_at(datetime.now(UTC) + timedelta(hours=1))
    copy.click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    page.clock.resume()
    expect(copy).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == explanation["query"]["text"]
    page.get_by_role("button", name="Copy parameters").click()
    page.wait_for_function("async () => (await navigator.clipboard.readText()).startsWith('{')")
    assert '"item_id": "m6"' in page.evaluate("navigator.clipboard.readText()")
    page.get_by_label("Query").select_option(label="The score of walk")
    expect(page.locator(".cypher pre").first).to_have_text(explanation["score_queries"]["walk"]["text"])


def test_weights_act_at_once(page: Page, shown: Served) -> None:
    page.goto("/#user/u4?item=m6")
    usual = candidates(shown, {"user_id": "u4"})
    expect(shown_titles(page)).to_have_text(titles(usual))
    page.get_by_text("Weights, order and filter").click()
    slider = page.get_by_role("slider", name="lightgcn")
    fitted = shown.client.get("/runs/current").json()["report"]["fusion"]["weights"]
    expect(slider).to_have_value(str(round(100 * fitted["lightgcn"])))
    slider.focus()
    page.keyboard.press("Home")  # to 0
    weights = {"lightgcn": 0, "walk": round(fitted["walk"], 2)}
    rows = candidates(shown, {"user_id": "u4"}, weights=weights)
    assert titles(rows) != titles(usual)
    expect(shown_titles(page)).to_have_text(titles(rows))
    places = {row["item_id"]: row["rank"] for row in usual}
    moved = {row["item_id"]: places[row["item_id"]] - row["rank"] for row in rows if row["item_id"] in places}
    for row in rows:
        mark = page.locator(f".candidate[data-item={row['item_id']}] .moved")
        if moved[row["item_id"]]:
            expect(mark).to_contain_text(f"{'▲' if moved[row['item_id']] > 0 else '▼'} {abs(moved[row['item_id']])}")
        else:
            expect(mark).to_have_count(0)
    explanation = explained(shown, "u4", "m6", weights=weights)
    assert [part["channel"] for part in explanation["parts"]] == ["walk"]
    expect(page.locator(".part h3 .channel")).to_have_text(["walk"])
    page.get_by_role("button", name="As in the run").click()
    expect(shown_titles(page)).to_have_text(titles(usual))
    expect(page.locator(".moved")).to_have_count(0)
    expect(page.locator(".part")).to_have_count(2)


@pytest.mark.parametrize("place", ["#user/u4", "#new?liked=m5&disliked=m8"])
def test_diversity_and_long_tail_act_at_once(page: Page, shown: Served, place: str) -> None:
    asker = {"user_id": "u4"} if "u4" in place else {"liked": ["m5"], "disliked": ["m8"]}
    page.goto(f"/{place}")
    usual = candidates(shown, asker)
    expect(shown_titles(page)).to_have_text(titles(usual))
    page.get_by_text("Weights, order and filter").click()
    long_tail, diversity = page.get_by_role("slider", name="Long tail"), page.get_by_role("slider", name="Diversity")
    expect(long_tail).to_have_value("0")
    long_tail.focus()
    page.keyboard.press("End")  # to 100
    rows = candidates(shown, asker, diversity=0, long_tail=1)
    assert titles(rows) != titles(usual)
    expect(shown_titles(page)).to_have_text(titles(rows))
    expect(page.locator(".candidate .rule")).to_have_text([row["moves"] for row in rows if row["moves"]])
    assert any("long tail" in row["moves"] for row in rows)
    expect(page.locator(".moved").first).to_be_visible()
    # The reasons name the rules that moved it in this list.
    chosen = next(row for row in rows if "long tail" in row["moves"])
    page.locator(f".candidate[data-item={chosen['item_id']}]").click()
    expect(page.locator(".why .rule")).to_have_text(f"In the list: {chosen['moves']}.")
    diversity.focus()
    page.keyboard.press("End")
    both = candidates(shown, asker, diversity=1, long_tail=1)
    assert titles(both) != titles(rows)
    expect(shown_titles(page)).to_have_text(titles(both))
    page.get_by_role("button", name="As in the run").click()
    expect(shown_titles(page)).to_have_text(titles(usual))
    expect(long_tail).to_have_value("0")


def test_a_filter_narrows_and_a_wrong_one_says_what_is_wrong(page: Page, shown: Served, complaints: Complaints) -> None:
    page.goto("/#user/u4")
    page.get_by_text("Weights, order and filter").click()
    field = page.get_by_label("Only items where")
    rule = 'director in ["Person 1"]'
    field.fill(rule)
    rows = candidates(shown, {"user_id": "u4"}, filter=rule)
    assert 0 < len(rows) < 6
    expect(shown_titles(page)).to_have_text(titles(rows))
    complaints.expect("status of 422")
    field.fill("director ==")
    problem = shown.post("/recommend", queries=[{"user_id": "u4"}], filter="director ==").json()["detail"]
    expect(page.get_by_role("alert")).to_have_text(problem)
    field.fill("")
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(shown_titles(page)).to_have_text(titles(candidates(shown, {"user_id": "u4"})))


def test_somebody_new(page: Page, shown: Served) -> None:
    page.goto("/#new")
    expect(page.locator(".workbench")).to_be_hidden()
    field = page.get_by_role("combobox", name="Add an item that is liked")
    liked = []
    for number in (5, 8):
        item = shown.client.get(f"/items/m{number}").json()
        pick(field, item["title"])
        liked.append(item["title"])
        expect(page.locator(".chips a")).to_have_text(liked)
    expect(shown_titles(page)).to_have_text(titles(candidates(shown, {"liked": ["m5", "m8"]})))
    page.get_by_label("Say what is looked for").fill("a train in the winter night")
    asker = {"liked": ["m5", "m8"], "text": "a train in the winter night"}
    assert titles(candidates(shown, asker)) != titles(candidates(shown, {"liked": ["m5", "m8"]}))
    expect(shown_titles(page)).to_have_text(titles(candidates(shown, asker)))
    page.locator(".candidate").first.click()
    expect(page.locator(".sentence").first).to_be_visible()
    page.reload()  # the address holds all of it
    expect(page.locator(".why h2")).to_contain_text(titles(candidates(shown, asker))[0])
    expect(shown_titles(page)).to_have_text(titles(candidates(shown, asker)))
    expect(page.locator(".chips a")).to_have_text(liked)  # each title that comes in makes new buttons
    page.get_by_role("button", name=f"Leave out {liked[0]}").click()
    expect(shown_titles(page)).to_have_text(titles(candidates(shown, {**asker, "liked": ["m8"]})))


def test_what_somebody_new_does_not_like(page: Page, shown: Served) -> None:
    page.goto("/#new?liked=m5")
    names = {number: shown.client.get(f"/items/m{number}").json()["title"] for number in (5, 8)}
    dislikes = page.get_by_role("list", name="Disliked items")
    pick(page.get_by_role("combobox", name="Add an item that is not liked"), names[8])
    expect(dislikes.get_by_role("link")).to_have_text([names[8]])
    rows = candidates(shown, {"liked": ["m5"], "disliked": ["m8"]})
    assert titles(rows) != titles(candidates(shown, {"liked": ["m5"]}))
    expect(shown_titles(page)).to_have_text(titles(rows))
    # The scores of the channels stand beside each candidate.
    for at, row in enumerate(rows[:3]):
        scores = page.locator(".candidate").nth(at).locator(".score")
        expect(scores).to_have_count(len(row["channels"]))
        for channel in row["channels"]:
            expect(page.locator(".candidate").nth(at).locator(".scores")).to_contain_text(channel)
    page.reload()  # the address holds both lists
    expect(dislikes.get_by_role("link")).to_have_text([names[8]])
    expect(shown_titles(page)).to_have_text(titles(rows))
    # What is liked after all leaves the dislikes.
    pick(page.get_by_role("combobox", name="Add an item that is liked"), names[8])
    expect(dislikes.get_by_role("link")).to_have_count(0)
    expect(shown_titles(page)).to_have_text(titles(candidates(shown, {"liked": ["m5", "m8"]})))


def test_titles_of_all_kinds_stay_text(page: Page, shown: Served) -> None:
    page.goto("/#user/u4?item=m0")
    expect(page.locator(".why h2")).to_have_text(f"Why {HOSTILE}?")
    expect(page.locator(".drawing canvas").first).to_be_visible()
    expect(page.locator("main :is(script, img, iframe)")).to_have_count(0)
    assert page.evaluate("window.ran") is None
    turned = page.locator("bdi", has_text=ARABIC).first
    assert turned.evaluate("(title) => getComputedStyle(title).direction") == "rtl"
    box = page.locator(".candidate", has_text=ARABIC).locator(".name").bounding_box()
    title = turned.bounding_box()
    assert box is not None
    assert title is not None
    assert title["x"] == pytest.approx(box["x"], abs=2)  # the title turns, its place does not
    page.get_by_role("combobox", name="Find a user").fill(CHINESE[:3])
    expect(page.get_by_text("No user has this")).to_be_visible()


def test_an_id_with_every_bad_sign(page: Page) -> None:
    page.goto(f"/#user/{quote(ODD_USER, safe='')}")
    expect(page.locator("h1")).to_have_text(f"User {ODD_USER}")
    expect(page.locator(".history li")).to_have_count(12)
    expect(page.locator(".candidate").first).to_be_visible()


def test_a_user_who_is_not_there(page: Page, complaints: Complaints) -> None:
    complaints.expect("status of 404")
    page.goto("/#user/nobody")
    expect(page.get_by_role("alert").first).to_contain_text("unknown user id: 'nobody'")
    pick(page.get_by_role("combobox"), "u3")
    expect(page.locator("h1")).to_have_text("User u3")
    expect(page.get_by_role("alert")).to_have_count(0)


def test_a_service_that_is_gone(page: Page, complaints: Complaints) -> None:
    page.goto("/#user/u4")
    expect(page.locator(".candidate").first).to_be_visible()
    expect(page.locator(".history li").first).to_be_visible()  # what is still asked for would fail, too
    complaints.expect("ERR_INTERNET_DISCONNECTED")
    page.context.set_offline(True)
    page.locator(".candidate").first.click()
    expect(page.get_by_role("alert")).to_contain_text("The service does not answer")
