"""Limits of a process, and the memory that is free."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from kg.processes import limits


def test_free_memory_is_what_the_system_says_or_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    every = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < limits.free_memory() <= every
    if limits._MEMINFO.exists():
        assert abs(limits.free_memory() - psutil.virtual_memory().available) < every // 4
    monkeypatch.setattr(limits, "_MEMINFO", Path("/nowhere"))
    assert limits.free_memory() == every
