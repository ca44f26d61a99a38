"""The modules of the view: one copy for page and notebook, and one text that holds all that a notebook needs."""

from __future__ import annotations

import json
import re
from importlib.resources import files

from recall.service.page.files import page_files
from recall.view.files import imports_of, notebook_module, read_files, shared_files

PAGE = read_files(files("recall.service.page") / "static")
NOTEBOOK = read_files(files("recall.view") / "notebook")


def test_page_and_notebook_have_one_copy_of_what_they_share() -> None:
    shared = set(shared_files())
    assert {"drawing.js", "layout.js", "why.js", "workbench.js", "style.css"} <= shared
    assert not shared & set(PAGE)
    assert not shared & set(NOTEBOOK)
    sent = {name: file.content for name, file in page_files().items()}
    assert all(sent[name] == text for name, text in shared_files().items() if name in sent)


def test_what_is_shared_imports_what_both_have() -> None:
    for name, text in shared_files().items():
        if name.endswith(".js"):
            needed = set(imports_of(text.decode()))
            assert needed <= set(shared_files()) | (set(PAGE) & set(NOTEBOOK)), name


def test_modules_of_the_same_name_offer_what_is_shared_imports() -> None:
    texts = [text.decode() for name, text in shared_files().items() if name.endswith(".js")]
    for name in set(PAGE) & set(NOTEBOOK):
        imports = [names for text in texts for names in re.findall(rf'import {{([^}}]+)}} from "\./{name}"', text)]
        wanted = {imported.strip() for names in imports for imported in names.split(",")}
        assert wanted, name
        for folder in (PAGE, NOTEBOOK):
            assert wanted <= set(re.findall(r"^export (?:async )?function (\w+)", folder[name].decode(), re.M)), name


def test_the_module_of_a_notebook_holds_all_modules_in_order() -> None:
    text = notebook_module()
    modules = json.loads(re.search(r"^const modules = (\{.*\});$", text, re.M).group(1))
    names = list(modules)
    assert names[-1] == "notebook.js"
    for at, (name, content) in enumerate(modules.items()):
        assert set(imports_of(content)) <= set(names[:at]), name
    for name, content in shared_files().items():
        if name in modules:
            assert modules[name] == content.decode()
