"""The files of the page: what is sent with them, and that they are all that is sent."""

from __future__ import annotations

import hashlib
import re
from importlib.resources import files

import pytest

from recall.service.page.files import page_files
from tests.recall.service.making import Served, detail

VENDOR = files("recall.view") / "static" / "vendor"


def test_every_file_is_sent_under_the_policy(served: Served) -> None:
    names = page_files()
    assert {"index.html", "app.js", "style.css", "vendor/cytoscape.esm.min.mjs", "vendor/cytoscape.LICENSE.txt"} <= set(
        names
    )
    for name, file in names.items():
        response = served.client.get(f"/page/{name}")
        assert response.content == file.content
        assert response.headers["content-encoding"] == "gzip"
        assert response.headers["content-type"] == file.media_type
        policy = response.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert response.headers["x-content-type-options"] == "nosniff"
    assert served.client.get("/").content == names["index.html"].content
    plain = served.client.get("/page/app.js", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.content == names["app.js"].content


def test_a_file_that_is_there_already_is_not_sent_again(served: Served) -> None:
    etag = served.client.get("/page/app.js").headers["etag"]
    response = served.client.get("/page/app.js", headers={"If-None-Match": etag})
    assert (response.status_code, response.content) == (304, b"")
    assert served.client.get("/page/style.css", headers={"If-None-Match": etag}).status_code == 200


@pytest.mark.parametrize(
    "name", ["", "none.js", "../files.py", "%2e%2e/files.py", "..%2f__init__.py", "vendor", "vendor/"]
)
def test_no_other_file_is_sent(served: Served, name: str) -> None:
    assert "no such file" in detail(served.client.get(f"/page/{name}"), 404) or name.startswith("../")


def test_the_index_asks_for_files_of_its_own_alone() -> None:
    text = page_files()["index.html"].content.decode()
    named = re.findall(r'(?:src|href)="(?!#)([^"]+)"', text)
    assert named
    assert all(name.removeprefix("page/") in page_files() and name.startswith("page/") for name in named)
    assert not re.search(r"<style|style=|\son\w+=|<script(?![^>]*src=)", text)


@pytest.mark.parametrize("name", [name for name in page_files() if name.endswith(".js")])
def test_a_module_imports_what_is_there_and_sets_text_alone(name: str) -> None:
    text = page_files()[name].content.decode()
    imported = re.findall(r'(?:from|import\()\s*"\./([^"]+)"', text)
    assert all(module in page_files() for module in imported)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text)


def test_vendored_files_are_those_that_the_note_names() -> None:
    note = (VENDOR / "README.md").read_text()
    rows = re.findall(r"\| `([^`]+)` \| ([^|]+) \| `([0-9a-f]{64})` \|", note)
    assert rows
    for name, _, digest in rows:
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest
    there = {entry.name for entry in VENDOR.iterdir() if not entry.name.endswith((".md", ".LICENSE.txt"))}
    assert there == {name for name, _, _ in rows}
