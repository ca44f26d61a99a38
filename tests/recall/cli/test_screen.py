"""What the terminal is given: no text that it obeys, no broken ids, progress that can be read."""

from __future__ import annotations

import io
import json
import re
import time

import pytest
from rich.text import Text

from recall.cli.console import ProgressBars, json_text
from recall.cli.lines import ProgressLines
from recall.cli.render.tables import labelled, labelled_line, table
from recall.cli.screen import Screen, visible

HOSTILE = {
    "escape": "a\x1b[2Jb",
    "link": "\x1b]8;;https://evil.example\x1b\\click\x1b]8;;\x1b\\",
    "C1 control": "a\x9b2Jb",
    "bidi override": "safe \u202e gpj.exe",
    "bidi isolate": "\u2066x\u2069",
    "invisible": "pay\u200bpal",
    "line separator": "a\u2028b",
    "half a character": "a\ud800b",
    "carriage return": "real\rfake",
    "backspace": "real\x08\x08fake",
    "tags": "flag\U000e0041",
}
OBEYED = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u202a-\u202e\u2028\u2029\u2066-\u2069\ud800-\udfff\U000e0041]")
HARMLESS = ["Amélie", "映画", "خاک\u200cسفید", "👩\u200d🚀", "a [bold]b[/bold]"]


def screen(width: int = 80) -> Screen:
    return Screen(file=io.StringIO(), width=width, highlight=False)


def printed(console: Screen) -> str:
    return console.file.getvalue()


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("way", ["cell", "text", "title", "labelled", "error"])
def test_nothing_from_data_reaches_the_terminal(name, way):
    text, console = HOSTILE[name], screen()
    if way == "cell":
        rows = table("title", "id")
        rows.add_row(Text(text), text)
        console.print(rows)
    elif way == "title":
        rows = table("id", title=text)
        rows.add_row("1")
        console.print(rows)
    elif way == "labelled":
        console.print(labelled("run", text), labelled_line("run", text))
    else:
        console.print(Text(text) if way == "text" else f"error: {text}", markup=False)
    assert not OBEYED.search(printed(console))
    printed(console).encode()


@pytest.mark.parametrize("text", HARMLESS)
def test_other_text_stays_as_it_is(text):
    console = screen()
    console.print(Text(text))
    assert printed(console) == f"{text}\n"
    assert visible(text) == text


@pytest.mark.parametrize("name", HOSTILE)
def test_json_escapes_what_a_terminal_obeys_and_means_the_same(name):
    text = json_text({HOSTILE[name]: [HOSTILE[name]], "plain": HARMLESS})
    assert not OBEYED.search(text)
    assert json.loads(text) == {HOSTILE[name]: [HOSTILE[name]], "plain": HARMLESS}
    assert "映画" in text


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_ids_and_headings_are_never_broken(width):
    run, iri = "20261130T021553189Z-5fa5b6a5", "https://example.org/a/rather/long/id/of/an/item/12345"
    rows = table("recall@20", "run", "title", "id", right=["recall@20"])
    title = "a title of a good many words that goes on in the next line"
    rows.add_row("0.1234", run, Text(title), Text(iri))
    console = screen(width)
    console.print(rows)
    lines = printed(console).splitlines()
    for part in ("recall@20", "0.1234", run, iri):
        assert any(part in line for line in lines), part
    assert all(word in printed(console) for word in title.split())
    if width == 120:
        assert max(map(len, lines)) <= width


def test_bars_stay_bars_in_a_narrow_terminal():
    console = Screen(file=io.StringIO(), force_terminal=True, width=60)
    with ProgressBars(console) as bars, bars.task("training lightgcn for evaluation", total=200) as task:
        task.note("loss 0.1234, ndcg@20 0.1234, recall@20 0.2345, on validation")
        task.advance(100)
        bars._bars.refresh()
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", printed(console))
    halfway = [line for line in re.split("[\r\n]", plain) if "100/200" in line]
    assert halfway
    for line in halfway:
        assert len(re.findall("[━╸╺]", line)) >= 10
        assert "training" in line


class TestLines:
    """Progress without a terminal."""

    def test_a_line_for_each_task_that_is_not_part_of_another(self):
        stream = io.StringIO()
        with ProgressLines(stream) as progress:
            with progress.task("reading \x1b[2J ratings.csv"):
                pass
            with progress.task("measuring", total=2) as task:
                with progress.task("inside"):
                    task.advance(2)
                task.note("popularity")
            with pytest.raises(ValueError, match="broken"), progress.task("failing"):
                raise ValueError("broken")
        lines = stream.getvalue().splitlines()
        assert len(lines) == 2
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ reading \\u001b\[2J ratings\.csv: 0\.0 s", lines[0])
        assert "measuring: 2 of 2, popularity, " in lines[1]

    def test_a_task_that_lasts_says_so_again_and_again(self):
        stream = io.StringIO()
        with (
            ProgressLines(stream, every=0.01, ends=False) as progress,
            progress.task("training", total=240) as outer,
            progress.task("an epoch", total=9) as task,
        ):
            outer.advance(1)
            task.advance(4)
            task.note("loss 0.5")
            while stream.getvalue().count("\n") < 2:
                time.sleep(0.01)
        assert "an epoch: 4 of 9, loss 0.5, " in stream.getvalue()

    def test_short_work_writes_nothing_where_ends_are_not_wanted(self):
        stream = io.StringIO()
        with ProgressLines(stream, ends=False) as progress, progress.task("quick"):
            pass
        assert stream.getvalue() == ""
