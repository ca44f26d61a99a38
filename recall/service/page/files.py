"""Sends the files of the page, read once, under a policy that lets nothing else run.

They are those of the folder `static`, and those that notebooks share (recall.view); all are sent beside one another.
"""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from importlib.resources import files

from fastapi import FastAPI, Request, Response

from recall.service.problems import ServiceError
from recall.view.files import read_files, shared_files

INDEX = "index.html"
PREFIX = "/page/"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
HEADERS = {
    # Titles and ids come from anybody: nothing of them can become a script or a style, or reach another machine.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Asked for again each time, which costs an answer without a body: another version may serve since.
    "Cache-Control": "no-cache",
    "Vary": "Accept-Encoding",
}


@dataclass(frozen=True, slots=True)
class PageFile:
    """A file of the page, as it is sent.

    Attributes:
        media_type: of its content.
        content: its bytes.
        packed: the same in gzip.
        etag: changes with the content.
    """

    media_type: str
    content: bytes
    packed: bytes
    etag: str


@lru_cache(maxsize=1)
def page_files() -> dict[str, PageFile]:
    """The files of the page by name, `vendor/cytoscape.esm.min.mjs`."""
    content = shared_files() | read_files(files("recall.service.page") / "static")
    return {name: _packed(name, text) for name, text in content.items() if _ending(name) in TYPES}


def is_of_page(path: str) -> bool:
    """Whether a path is one of the page: it holds no data, and the page asks for the key itself."""
    return path == "/" or path.startswith(PREFIX)


def add_page(app: FastAPI) -> None:
    """Let an application send the page at `/`, and its files below `/page/`."""

    @app.get("/", include_in_schema=False)
    async def index(request: Request) -> Response:
        return _sent(request, INDEX)

    @app.get(f"{PREFIX}{{name:path}}", include_in_schema=False)
    async def file(request: Request, name: str) -> Response:
        return _sent(request, name)


def _ending(name: str) -> str:
    return f".{name.rpartition('.')[2]}"


def _packed(name: str, content: bytes) -> PageFile:
    etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    return PageFile(TYPES[_ending(name)], content, gzip.compress(content, mtime=0), etag)


def _sent(request: Request, name: str) -> Response:
    # Compared with what is there: no name ever becomes a path.
    file = page_files().get(name)
    if file is None:
        raise ServiceError(HTTPStatus.NOT_FOUND, "the page has no such file; it begins at /")
    headers = {**HEADERS, "ETag": file.etag}
    if request.headers.get("if-none-match") == file.etag:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(file.packed, headers={**headers, "Content-Encoding": "gzip"}, media_type=file.media_type)
    return Response(file.content, headers=headers, media_type=file.media_type)
