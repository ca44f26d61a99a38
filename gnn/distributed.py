"""Training in several processes (torch.distributed): collective operations on tensors, and on plain data.

Graph models are sharded by columns: each rank holds some columns of every embedding. Propagation acts on each column
alone, so a rank propagates its own columns over the whole graph without any exchange. Only the loss mixes columns, and
only those of a batch's rows. A rank gets all columns of its share of the pairs (`Ranks.all_to_all`) and of all
negatives (`Ranks.all_gather`), computes the loss of that share, and gradients go back the same way. Compared with
gathering the whole batch in every rank, this divides the loss, the most expensive part of a step, by the ranks, and
sends each row to one rank instead of all. A step with b pairs and m negatives of d columns in n ranks sends from each
of them 2 (2 b / n + m) (d / n) (n - 1) numbers, and twice the few parameters that all ranks hold, whose gradients are
summed.

Every random number is a function of (seed, step, row, column), so that any number of ranks trains the same model.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from gnn.device import resolve_device
from kg.errors import ConfigError, TrainingError

# How long a rank waits for another one in a training: longer than any step and any write of a checkpoint takes.
TIMEOUT = timedelta(minutes=10)
# How long between trainings, while the first rank reads sources and writes runs.
LONG_TIMEOUT = timedelta(days=7)
PIECE = 1 << 26  # bytes sent at a time


class Ranks:
    """The processes of a training, from the point of view of one of them; with one process nothing is exchanged.

    Attributes:
        rank: number of this process, from 0.
        count: number of processes.
        sent: bytes that this process has sent to others in trainings.
    """

    def __init__(self, rank: int = 0, count: int = 1, local: int = 0, patient_group: Any = None) -> None:
        self.rank, self.count, self.sent = rank, count, 0
        self._local = local
        self._patient_group = patient_group

    @property
    def first(self) -> bool:
        """Whether this is the process that reads, writes and reports."""
        return self.rank == 0

    def device(self, name: str) -> torch.device:
        """The device of this rank: each rank of a machine has a GPU of its own, where there are any.

        Raises:
            ConfigError: the name is unknown or numbers a GPU, or there are fewer GPUs than ranks on this machine.
        """
        if self.count == 1:
            return resolve_device(name)
        if name.startswith("cuda:"):
            raise ConfigError(f"device {name!r} is one device for {self.count} ranks: use cuda, auto or cpu")
        device = resolve_device(name)
        if device.type == "cpu":
            return device
        if self._local >= torch.cuda.device_count():
            raise ConfigError(
                f"rank {self.rank} is number {self._local} of its machine, which has {torch.cuda.device_count()} GPUs: "
                "start torchrun with at most as many processes, or use device cpu"
            )
        return torch.device("cuda", self._local)

    def columns(self, dim: int) -> slice:
        """The columns of this rank.

        Raises:
            ConfigError: `dim` is no multiple of the number of ranks.
        """
        if dim % self.count:
            raise ConfigError(
                f"dim = {dim} columns cannot be divided evenly among {self.count} ranks: choose a multiple of "
                f"{self.count}"
            )
        width = dim // self.count
        return slice(self.rank * width, (self.rank + 1) * width)

    def share(self, length: int, rank: int | None = None) -> slice:
        """The part of a list that a rank works on; this rank without a number."""
        rank = self.rank if rank is None else rank
        return slice(rank * length // self.count, (rank + 1) * length // self.count)

    # ------------------------------------------------------------------------------------------------ in a step

    def all_to_all(self, rows: Tensor) -> Tensor:
        """From own columns of all rows to all columns of the own share of the rows; differentiable.

        Args:
            rows: (length, any, own columns).

        Returns:
            (own share, any, dim).
        """
        if self.count == 1:
            return rows
        result: Tensor = _AllToAll.apply(rows, self)
        return result

    def all_gather(self, rows: Tensor) -> Tensor:
        """From own columns to all columns of the same rows; differentiable, gradients of all ranks added.

        Args:
            rows: (length, own columns).

        Returns:
            (length, dim).
        """
        if self.count == 1:
            return rows
        result: Tensor = _AllGather.apply(rows, self)
        return result

    @torch.no_grad()
    def all_reduce(self, *tensors: Tensor) -> None:
        """Replace each tensor by its sum over the ranks, the same to the last bit in all of them."""
        if self.count == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        self._do(lambda: dist.all_reduce(flat))
        self.sent += 2 * flat.nbytes * (self.count - 1) // self.count
        for tensor, part in zip(tensors, torch.split(flat, [tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))

    # ------------------------------------------------------------------------------------------------ between steps

    def gather(self, tensor: Tensor, *, split: bool) -> Tensor | None:
        """All columns of a tensor, on the CPU of the first rank; None in the others.

        Args:
            tensor: this rank's part.
            split: each rank holds some columns (the last dimension); otherwise all ranks hold the same.
        """
        mine = tensor.detach().cpu().contiguous()
        if self.count == 1 or not split:
            return mine if self.first else None
        parts = [torch.empty_like(mine) for _ in range(self.count)] if self.first else None
        self._do(lambda: dist.gather(mine, parts))
        return None if parts is None else torch.cat(parts, dim=-1)

    def scatter(self, tensor: Tensor | None, like: Tensor, *, split: bool) -> Tensor:
        """This rank's part of a tensor of the first rank, on the CPU.

        Args:
            tensor: with all columns, in the first rank; None in the others.
            like: of the shape and type of the result.
            split: as in `gather`.
        """
        if self.count == 1:
            assert tensor is not None  # noqa: S101 (the one rank is the first)
            return tensor
        mine = torch.empty(like.shape, dtype=like.dtype)
        if not split:
            if tensor is not None:
                mine.copy_(tensor)
            self._do(lambda: dist.broadcast(mine, 0))
            return mine
        parts = None if tensor is None else [part.contiguous() for part in tensor.chunk(self.count, dim=-1)]
        self._do(lambda: dist.scatter(mine, parts))
        return mine

    def broadcast(self, data: Any, *, wait: bool = False) -> Any:
        """Plain data of the first rank, in all ranks; sent as JSON, no pickles.

        Args:
            data: in the first rank; ignored in the others.
            wait: wait for hours if need be: between trainings the first rank does other work.
        """
        if self.count == 1:
            return data
        return json.loads(bytes(self.broadcast_bytes(json.dumps(data).encode() if self.first else None, wait=wait)))

    def broadcast_bytes(self, body: Any, *, wait: bool = False) -> Any:
        """A buffer of the first rank, in all ranks.

        Args:
            body: a buffer in the first rank, None in the others.
            wait: as in `broadcast`.
        """
        group = self._patient_group if wait else None
        mine = memoryview(b"" if body is None else body)
        size = torch.tensor([mine.nbytes])
        self._do(lambda: dist.broadcast(size, 0, group=group))
        if not self.first:
            mine = memoryview(bytearray(int(size)))
        for start in range(0, mine.nbytes, PIECE):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the first rank's buffer is read only, and is only read
                piece = torch.frombuffer(mine[start : start + PIECE], dtype=torch.uint8)
            self._do(partial(dist.broadcast, piece, 0))
        return mine

    def _do(self, exchange: Callable[[], Any]) -> None:
        try:
            exchange()
        except RuntimeError as error:
            raise TrainingError(
                f"rank {self.rank} of {self.count} lost another one, which was killed, failed or did not answer for "
                f"{TIMEOUT.seconds} s: look for the first error of the job, then start it again, with any number of "
                f"ranks; it goes on from its last checkpoint ({str(error).splitlines()[0]})"
            ) from error


ALONE = Ranks()


@contextmanager
def process_group() -> Iterator[Ranks]:
    """Join the ranks that torchrun started; `ALONE` without torchrun.

    The first rank runs the program and passes the ranks to its trainings by `RunContext.ranks`; the others call
    `gnn.workers.run_worker`, which returns when the first one leaves the group.

    gloo carries tensors on CPUs and NCCL those on GPUs; torchrun's rendezvous finds the hosts.

    Raises:
        ConfigError: a process group is there already.
    """
    if not dist.is_available() or not dist.is_torchelastic_launched() or int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield ALONE
        return
    if dist.is_initialized():
        raise ConfigError("torch.distributed is initialised already: leave that to gnn.distributed.process_group")
    local = int(os.environ["LOCAL_RANK"])
    if torch.cuda.is_available() and local < torch.cuda.device_count():
        torch.cuda.set_device(local)
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=TIMEOUT)
    try:
        ranks = Ranks(
            dist.get_rank(), dist.get_world_size(), local, dist.new_group(backend="gloo", timeout=LONG_TIMEOUT)
        )
        try:
            yield ranks
        finally:
            if ranks.first:
                with suppress(TrainingError):  # after a failed training the others are gone already
                    ranks.broadcast(None, wait=True)
    finally:
        dist.destroy_process_group()


class _AllToAll(torch.autograd.Function):
    """See `Ranks.all_to_all`."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, ranks: Ranks) -> Tensor:
        ctx.ranks, ctx.shape = ranks, rows.shape
        length, between, width = rows.shape
        shares = [ranks.share(length, rank) for rank in range(ranks.count)]
        ctx.sizes = [share.stop - share.start for share in shares]
        own = ctx.sizes[ranks.rank]
        received = rows.new_empty((ranks.count, own, between, width))
        _exchange(ranks, received.view(-1, between, width), rows.contiguous(), [own] * ranks.count, ctx.sizes)
        return received.permute(1, 2, 0, 3).reshape(own, between, ranks.count * width)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        ranks: Ranks = ctx.ranks
        length, between, width = ctx.shape
        own = ctx.sizes[ranks.rank]
        parts = gradients[0].reshape(own, between, ranks.count, width).permute(2, 0, 1, 3).contiguous()
        received = parts.new_empty((length, between, width))
        _exchange(ranks, received, parts.view(-1, between, width), ctx.sizes, [own] * ranks.count)
        return received, None


class _AllGather(torch.autograd.Function):
    """See `Ranks.all_gather`."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, ranks: Ranks) -> Tensor:
        ctx.ranks = ranks
        received = rows.new_empty((ranks.count * len(rows), rows.shape[1]))
        ranks._do(lambda: dist.all_gather_into_tensor(received, rows.contiguous()))
        ranks.sent += rows.nbytes * (ranks.count - 1)
        return received.view(ranks.count, *rows.shape).permute(1, 0, 2).reshape(len(rows), -1)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        ranks: Ranks = ctx.ranks
        length = len(gradients[0])
        parts = gradients[0].reshape(length, ranks.count, -1).permute(1, 0, 2).contiguous()
        received = torch.empty_like(parts)
        sizes = [length] * ranks.count
        _exchange(ranks, received.view(-1, parts.shape[2]), parts.view(-1, parts.shape[2]), sizes, sizes)
        return received.sum(dim=0), None


def _exchange(ranks: Ranks, received: Tensor, sent: Tensor, receive_sizes: list[int], send_sizes: list[int]) -> None:
    """Send consecutive rows to each rank, and put what each one sends one after the other."""
    ranks._do(lambda: dist.all_to_all_single(received, sent, receive_sizes, send_sizes))
    ranks.sent += (sum(send_sizes) - send_sizes[ranks.rank]) * sent[:1].nbytes
