"""A service whose page is opened in a real Chromium; anything that the browser complains about fails the test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Dialog, Page, expect, sync_playwright

from tests.recall.service.making import Served
from tests.recall.service.page.making import chromium, make_runs

PATIENCE = 60_000  # milliseconds that a busy machine has for what is quick on others

expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="session")
def page_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_runs(tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="session")
def shown(page_runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(page_runs, tmp_path_factory.mktemp("shown") / "log") as service:
        yield service


# Playwright keeps an event loop in this thread while it is open, beside which other tests could not start theirs.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # Without a sandbox of its own: containers, in which tests run as root, allow none.
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield browser
        browser.close()


class Complaints:
    """What the browser complained about."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._expected: list[str] = []

    def expect(self, part: str) -> None:
        """Let pass what has this in it."""
        self._expected.append(part)

    @property
    def unexpected(self) -> list[str]:
        return [line for line in self.lines if not any(part in line for part in self._expected)]

    def watch(self, context: BrowserContext) -> None:
        """Note what goes wrong in the pages of a context, such as a script that the policy refused."""

        def console(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning"):
                self.lines.append(message.text)

        def dialog(opened: Dialog) -> None:
            self.lines.append(opened.message)
            opened.dismiss()

        context.on("console", console)
        context.on("weberror", lambda error: self.lines.append(str(error.error)))
        context.on("dialog", dialog)


@pytest.fixture
def complaints() -> Complaints:
    return Complaints()


@pytest.fixture
def context(browser: Browser, shown: Served, complaints: Complaints) -> Iterator[BrowserContext]:
    with browser.new_context(base_url=shown.address, viewport={"width": 1280, "height": 900}) as context:
        context.set_default_timeout(PATIENCE)
        complaints.watch(context)
        yield context
    assert complaints.unexpected == []


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()
