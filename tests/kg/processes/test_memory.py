"""Memory that is free, and that is given back."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from kg.processes import memory

GIVES_BACK = """
import psutil
from kg.processes.memory import give_back_memory
resident = lambda: psutil.Process().memory_info().rss / 1e6
before = resident()
blocks = [bytes(2000) for _ in range(50_000)]
last = bytes(2000)
blocks.clear()
kept = resident()
give_back_memory()
print(before, kept, resident())
"""


def test_free_memory_is_what_the_system_says_or_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    every = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < memory.free_memory() <= every
    if memory._MEMINFO.exists():
        assert abs(memory.free_memory() - psutil.virtual_memory().available) < every // 4
    monkeypatch.setattr(memory, "_MEMINFO", Path("/nowhere"))
    assert memory.free_memory() == every


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators are left to themselves")
def test_what_is_freed_below_what_is_in_use_is_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", GIVES_BACK], capture_output=True, text=True, check=True)
    before, kept, after = map(float, done.stdout.split())
    assert kept > before + 80
    assert after < before + 30
