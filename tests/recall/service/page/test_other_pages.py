"""The pages of items and runs, what the page looks like on small and dark screens, and who can use it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.recall.service.making import Served
from tests.recall.service.page.conftest import PATIENCE, Complaints
from tests.recall.service.page.making import ARABIC, HOSTILE, pick

pytestmark = [pytest.mark.slow, pytest.mark.browser]

PLACES = (
    "",
    "#user/u4?item=m0",
    "#new?liked=m5&text=night",
    "#item/m1",
    "#node/person/http%3A%2F%2Fexample.org%2Fperson%2Fp1",
    "#run",
)
PHONE = {"width": 390, "height": 844}


def settled(page: Page, place: str) -> None:
    page.goto(f"/{place}")
    page.wait_for_load_state("networkidle")
    if "item=" in place:
        expect(page.locator(".drawing canvas").first).to_be_visible()


def violations(page: Page, *rules: str) -> list[str]:
    """What axe-core finds wrong; by all its rules, or by some."""
    options: dict[str, Any] = {"resultTypes": ["violations"], **({"runOnly": list(rules)} if rules else {})}
    answer: dict[str, Any] = Axe().run(page, options=options).response
    return [
        f"{one['id']}: {node['html'][:200]} {node['failureSummary']}"
        for one in answer["violations"]
        for node in one["nodes"]
    ]


def test_an_item(page: Page, shown: Served) -> None:
    page.goto("/#item")
    pick(page.get_by_role("combobox", name="Find an item"), ARABIC[:6])
    expect(page.locator("h1")).to_have_text(ARABIC)
    item = shown.client.get("/items/m1").json()
    expect(page.locator("main > div > .note")).to_have_text(f"movie m1 · liked by {item['liked_by']} users")
    expect(page.locator(".facts dd", has_text=ARABIC).first).to_be_visible()
    alike = shown.post("/similar", item_ids=["m1"], k=12).json()["answers"][0]["similar"]
    expect(page.locator("ol.plain a")).to_have_text([row["title"] for row in alike])
    page.get_by_role("link", name="Person 1").click()
    expect(page.locator("h1")).to_have_text("Person 1")
    expect(page.get_by_role("link", name=HOSTILE)).to_have_count(0)
    page.get_by_role("link", name=ARABIC).click()
    expect(page.locator("h1")).to_have_text(ARABIC)
    page.get_by_role("link", name="Candidates for somebody who likes it").click()
    expect(page.locator(".chips a")).to_have_text([ARABIC])
    expect(page.locator(".candidate").first).to_be_visible()


def test_the_runs(page: Page, shown: Served) -> None:
    runs = shown.client.get("/runs").json()["runs"]
    assert len(runs) == 2
    page.goto("/")
    page.get_by_role("navigation").get_by_role("link", name="Runs").click()
    rows = page.get_by_role("region", name="Runs, newest first").locator("tbody tr")
    expect(rows.locator("th")).to_have_text([run["name"] for run in reversed(runs)])
    expect(rows.first).to_contain_text("answers")
    reports = [shown.client.get(f"/runs/{run['name']}").json()["report"] for run in runs]
    table = page.get_by_role("region", name="Metrics by channel")
    for metric in ("ndcg@5", "recall@10"):
        page.get_by_label("Metric", exact=True).select_option(metric)
        for at, row in enumerate(reports[1]["evaluation"]["metrics"]):
            before = next(
                other
                for other in reports[0]["evaluation"]["metrics"]
                if (other["ranker"], other["group"]) == (row["ranker"], row["group"])
            )
            cells = table.locator("tbody tr").nth(at).locator("th, td")
            expect(cells.nth(0)).to_have_text(row["ranker"])
            expect(cells.nth(2)).to_contain_text(f"{row[metric]:.3g}")
            expect(cells.nth(3)).to_have_text(f"{before[metric]:.3g}")
    for reading in reports[1]["gate"]["readings"]:
        expect(page.locator("li", has_text=reading["text"]).first).to_be_visible()
    for source in reports[1]["quality"]["sources"]:
        expect(page.get_by_role("region", name="What was read")).to_contain_text(source["name"])
    rows.last.get_by_role("link").click()
    expect(page.locator(".run-name")).to_have_text(runs[0]["name"])
    expect(page.get_by_text("There is no earlier run to compare with.")).to_be_visible()


@pytest.mark.parametrize("place", PLACES)
def test_everybody_can_use_it(page: Page, place: str) -> None:
    settled(page, place)
    assert violations(page) == []
    page.emulate_media(color_scheme="dark")
    assert violations(page, "color-contrast") == []
    page.set_viewport_size(PHONE)
    assert violations(page, "target-size", "scrollable-region-focusable", "aria-hidden-focus") == []
    # Nothing but what says so scrolls sideways.
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_reasons_cover_a_phone_and_give_it_back(page: Page) -> None:
    page.set_viewport_size(PHONE)
    settled(page, "#user/u4")
    candidate = page.locator(".candidate").nth(3)
    candidate.click()
    expect(page.locator(".drawing canvas").first).to_be_visible()
    box = page.locator(".why").bounding_box()
    assert box is not None
    assert (box["x"], box["width"], box["height"]) == (0, PHONE["width"], PHONE["height"])
    assert page.locator(".left").evaluate("(left) => left.inert")
    page.get_by_role("button", name="Close").click()
    expect(page.locator(".why")).to_be_hidden()
    expect(candidate).to_be_focused()
    # Asked for from the first page, by a finger that is no wider than a candidate.
    height = candidate.bounding_box()
    assert height is not None
    assert height["height"] >= 44


def test_dark_and_light_change_page_and_drawing(page: Page) -> None:
    page.emulate_media(color_scheme="light")
    settled(page, "#user/u4?item=m6")

    def colours() -> list[str]:
        body = page.evaluate("getComputedStyle(document.body).backgroundColor")
        node = page.locator(".drawing").evaluate(
            "(place) => place._cyreg.cy.nodes('.history').style('background-color')"
        )
        return [body, node]

    def redrawn(before: list[str]) -> list[str]:
        """The colours once the drawing has heard of the change, which is when the browser paints next."""
        page.wait_for_function(
            "(before) => document.querySelector('.drawing')._cyreg.cy.nodes('.history').style('background-color')"
            " !== before",
            arg=before[1],
        )
        return colours()

    light = colours()
    page.emulate_media(color_scheme="dark")
    dark = redrawn(light)
    assert all(before != after for before, after in zip(light, dark, strict=True))
    page.emulate_media(color_scheme="light")
    assert redrawn(dark) == light


def test_the_policy_lets_nothing_of_others_run(page: Page, complaints: Complaints) -> None:
    for part in ("Content Security Policy", "requires 'Trusted"):
        complaints.expect(part)
    page.goto("/")
    for attack in (
        "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.ran = 1\">')",
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = 1'}))",
        "document.body.setAttribute('onclick', 'window.ran = 1')",
        "fetch('https://example.org/').then(() => { window.ran = 1; })",
    ):
        assert page.evaluate(f"async () => {{ try {{ await ({attack}); }} catch (error) {{ return error.name; }} }}")
    page.locator("body").click()
    assert page.evaluate("window.ran") is None
    assert any("Content Security Policy" in line for line in complaints.lines)


def test_a_service_with_a_key_is_asked_with_it(browser: Browser, page_runs: Path, tmp_path: Path) -> None:
    key = "a-key-of-sixteen-signs"
    config = tmp_path / "config.toml"
    config.write_text((page_runs.parent / "config.toml").read_text() + "[service]\nwarm_text = false\n")
    complaints = Complaints()
    complaints.expect("status of 401")
    with (
        Served(
            page_runs, tmp_path / "log", ("--config", str(config)), environment={"GRAPHRECALL_API_KEY": key}
        ) as service,
        browser.new_context(base_url=service.address) as context,
    ):
        context.set_default_timeout(PATIENCE)
        complaints.watch(context)
        assert service.client.get("/search?kind=user").status_code == 401
        page = context.new_page()
        page.goto("/#user/u4")
        expect(page.get_by_role("dialog")).to_be_visible()
        page.get_by_label("Key", exact=True).fill("another-key-of-somebody")
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog")).to_be_visible()
        assert violations(page) == []
        page.get_by_label("Key", exact=True).fill(key)
        page.keyboard.press("Enter")
        expect(page.locator(".candidate").first).to_be_visible()
        expect(page.get_by_role("dialog")).to_be_hidden()
        page.reload()
        expect(page.locator(".candidate").first).to_be_visible()
        assert key not in page.url
    assert complaints.unexpected == []
