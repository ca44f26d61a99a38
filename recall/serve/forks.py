"""Answers in a process that was forked off after the first answers (gunicorn --preload, multiprocessing).

The thread pools of torch and FAISS (OpenMP) do not survive a fork: a child that asks them for a second thread waits for
threads that are not there, for ever. With one thread no pool is asked, so a child computes with one; servers fork as
many workers as there are cores anyway. What stores hold is made anew by `kg.stores.fork`, Arrow, OpenBLAS and the
tokenizers look after themselves.
"""

from __future__ import annotations

import os
import sys


def _use_one_thread() -> None:
    """Keep a forked process from asking for the threads of its parent."""
    # Whoever has not imported a library has not used its threads, and the child may import it as new.
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)
    if faiss := sys.modules.get("faiss"):
        faiss.omp_set_num_threads(1)


os.register_at_fork(after_in_child=_use_one_thread)
