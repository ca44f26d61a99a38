"""RDF/XML files as the plainest XML that says the same, for the RDF parser.

The parser refuses valid XML: text beside a CDATA section, comments and processing instructions inside a text, entities
in single quotes or that name later ones, `xml:lang=""`, and encodings that it does not know. So an XML parser (expat)
reads the file, and what it finds is written again: UTF-8, no document type, entities in place, one piece of text
between two tags. Lines stay where they are, for messages. Expat also tells a file that was cut off between two
elements, and limits how much text entities may grow to. No other file is ever read: an entity that needs one is an
error.
"""

from __future__ import annotations

import codecs
import re
from typing import Any
from xml.parsers import expat

NO_LANGUAGE = "x-nolang"
"""Stands for `xml:lang=""`, a text without a language inside an element that has one."""

_CUT_OFF = expat.errors.codes[expat.errors.XML_ERROR_NO_ELEMENTS]
_DECLARATION = re.compile(rb"""\s*<\?xml\s[^>]*?\sencoding\s*=\s*["']([A-Za-z][A-Za-z0-9._-]*)["']""")
_HEAD_BYTES = 256
_ENTITY_IN_VALUE = re.compile(r"&([^;&\s]+);")
ELEMENTS = 500  # in each other; the RDF parser takes quadratic time of the depth
ENTITY = 1 << 16  # characters that one may stand for
_MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_REFERENCES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\n": "&#10;", "\r": "&#13;", "\t": "&#9;"}
_IN_TEXT = re.compile(r"[&<>\r]")
_IN_ATTRIBUTE = re.compile(r'[&<>"\n\r\t]')


class PlainXmlStream:
    """An RDF/XML file, written again while it is read.

    Args:
        raw: with `read(size)`, bytes.

    Attributes:
        error: what is wrong with it as far as it was read; None: nothing.
    """

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self._decoder: codecs.IncrementalDecoder | None = None
        self._parser: Any = None
        self.error: SyntaxError | None = None
        self._pieces: list[str] = []
        self._ready = memoryview(b"")
        self._line = 1
        self._depth = 0
        self._entities: dict[str, int] = {}  # characters that each stands for
        self._literal_depth = 0  # of the element whose content is an XML literal; 0 outside of one
        self._done = False

    def read(self, size: int = -1) -> bytes:
        """The next bytes, at most `size`; none at the end, or after a mistake.

        The RDF parser ends the process where it gets more than it asked for.
        """
        while not self._ready and not self._done and self.error is None:
            data: bytes = self._raw.read(size)
            try:
                self._feed(data)
            except expat.ExpatError as error:
                cut_off = error.code == _CUT_OFF
                reason = "the file ends too early" if cut_off else expat.ErrorString(error.code)
                self._fail(reason, error.lineno)
            except SyntaxError as error:
                self.error = error
            except UnicodeError as error:
                self._fail(f"no text in the encoding that it states: {error}", self._line)
            self._done = not data
            if self._pieces and self.error is None:
                self._ready = memoryview("".join(self._pieces).encode())
                self._pieces.clear()
        if self.error is not None:
            return b""
        end = size if size >= 0 else len(self._ready)
        piece, self._ready = self._ready[:end], self._ready[end:]
        return bytes(piece)

    def close(self) -> None:
        """Say that all of it was read.

        Raises:
            SyntaxError: it is no XML document that can be read; the error has the line.
        """
        while not self._done and self.error is None:
            self.read(1 << 16)
        if self.error is not None:
            raise self.error

    def _fail(self, reason: str, line: int) -> None:
        self.error = SyntaxError(reason, ("", line, None, ""))

    def _feed(self, data: bytes) -> None:
        if self._parser is None:
            while 0 < len(data) < _HEAD_BYTES and (more := self._raw.read(_HEAD_BYTES)):
                data += more
            self._begin(data)
        if self._decoder is not None:
            self._parser.Parse(self._decoder.decode(data, not data).encode(), not data)
        else:
            self._parser.Parse(data, not data)

    def _begin(self, head: bytes) -> None:
        """Make the parsers for the encoding that the file states; expat knows four, Python many."""
        encoding = next((name for mark, name in _MARKS.items() if head.startswith(mark)), None)
        stated = _DECLARATION.match(head)
        if encoding is None and stated is not None:
            encoding = _text_encoding(stated[1].decode())
        if encoding is not None and encoding != "utf-8":
            self._decoder = codecs.getincrementaldecoder(encoding)()
        parser = self._parser = expat.ParserCreate(None if encoding is None else "utf-8")
        parser.buffer_text = True
        parser.ordered_attributes = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.CommentHandler = self._comment
        parser.ProcessingInstructionHandler = self._instruction
        parser.EntityDeclHandler = self._entity
        parser.SkippedEntityHandler = self._skipped
        parser.ExternalEntityRefHandler = self._external

    def _start(self, name: str, attributes: list[str]) -> None:
        self._depth += 1
        if self._depth > ELEMENTS:
            raise self._beyond(f"elements are nested more than {ELEMENTS} deep")
        pieces = [f"<{name}{self._line_breaks()}"]
        for key, value in zip(attributes[::2], attributes[1::2], strict=True):
            if key == "xml:lang" and not value:
                value = NO_LANGUAGE
            if key.endswith(":parseType") and value == "Literal" and not self._literal_depth:
                self._literal_depth = self._depth
            pieces.append(f' {key}="{_IN_ATTRIBUTE.sub(_reference, value)}"')
        pieces.append(">")
        self._pieces.append("".join(pieces))

    def _end(self, name: str) -> None:
        if self._literal_depth == self._depth:
            self._literal_depth = 0
        self._depth -= 1
        self._pieces.append(f"</{name}>")

    def _text(self, text: str) -> None:
        self._line += text.count("\n")
        self._pieces.append(_IN_TEXT.sub(_reference, text))

    def _comment(self, text: str) -> None:
        if self._literal_depth:
            self._pieces.append(f"<!--{text}-->")
            self._line += text.count("\n")

    def _instruction(self, target: str, text: str) -> None:
        if self._literal_depth:
            self._pieces.append(f"<?{target} {text}?>")
            self._line += text.count("\n")

    def _line_breaks(self) -> str:
        """As many as bring the next tag to the line on which it stands in the file."""
        missing = int(self._parser.CurrentLineNumber) - self._line
        if missing <= 0:
            return ""
        self._line += missing
        return "\n" * missing

    def _entity(self, name: str, is_parameter: bool, value: str | None, *_: Any) -> None:
        if value is None:
            return
        inner = _ENTITY_IN_VALUE.findall(value)
        self._entities[name] = len(value) + sum(self._entities.get(reference, 1) for reference in inner)
        if self._entities[name] > ENTITY:
            raise self._beyond(f"the entity {name!r} stands for more than {ENTITY:,} characters")

    def _beyond(self, reason: str) -> SyntaxError:
        return SyntaxError(reason, ("", self._parser.CurrentLineNumber, None, ""))

    def _skipped(self, name: str, is_parameter: bool) -> None:
        if not is_parameter:
            raise SyntaxError(
                f"the entity &{name}; is not declared in the file", ("", self._parser.CurrentLineNumber, None, "")
            )

    def _external(self, context: str, base: str | None, system_id: str | None, public_id: str | None) -> int:
        line = self._parser.CurrentLineNumber
        raise SyntaxError(f"an entity needs another file, {system_id}, which is not read", ("", line, None, ""))


def _reference(match: re.Match[str]) -> str:
    return _REFERENCES[match[0]]


def _text_encoding(name: str) -> str:
    """Python's name of the encoding that a file states in ASCII.

    Raises:
        SyntaxError: there is none, or a file in it could not begin as this one does.
    """
    try:
        encoding = codecs.lookup(name).name
        if b"<?xml \\n".decode(encoding) == r"<?xml \n":
            return encoding
    except (LookupError, UnicodeError, TypeError):
        pass
    raise SyntaxError(f"unknown encoding {name}, or not that of the file", ("", 1, None, ""))
