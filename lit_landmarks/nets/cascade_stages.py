"""The stages of a cascade that some faces leave early."""

from __future__ import annotations

import torch
from torch import Tensor


class CascadeStages:
    """What a cascade has computed of B faces, stage by stage, while some of them leave.

    Of a face that has left, every later stage repeats the last one that ran.

    Args:
        faces: number of faces B.
        device: of the tensors.

    Attributes:
        columns: name -> (B, ...) values after each stage.
        attention: (B, ...) after each stage that has it; NaN where a stage did not run.
        exits: (B,) int64 index of the last stage that ran.
        active: rows of the faces that are still there; None for all.

    Example:
        >>> stages = CascadeStages(2, torch.device("cpu"))
        >>> stages.add(error=torch.tensor([1.0, 5.0]))
        >>> stages.let_leave(torch.tensor(3.0))
        True
        >>> stages.add(error=torch.tensor([2.0]))
        >>> stages.columns["error"][-1].tolist(), stages.exits.tolist()
        ([1.0, 2.0], [0, 1])
    """

    def __init__(self, faces: int, device: torch.device) -> None:
        self.columns: dict[str, list[Tensor]] = {}
        self.attention: list[Tensor] = []
        self.exits = torch.zeros(faces, dtype=torch.int64, device=device)
        self.active: Tensor | None = None
        self._count = 0

    def pick(self, values: Tensor) -> Tensor:
        """The rows of (B, ...) values of the faces that are still there."""
        return values if self.active is None else values[self.active]

    def last(self, name: str) -> Tensor:
        """A column after the last stage, of the faces that are still there."""
        return self.pick(self.columns[name][-1])

    def add(self, attention: Tensor | None = None, **columns: Tensor) -> None:
        """Take the next stage of the K faces that are still there.

        Args:
            attention: (K, ...); None where the stage has none.
            **columns: (K, ...) each; the same names at every stage.
        """
        if self.active is None:
            self.exits = torch.full_like(self.exits, self._count)
        else:
            self.exits = self.exits.index_fill(0, self.active, self._count)
        self._count += 1
        for name, values in columns.items():
            column = self.columns.setdefault(name, [])
            if self.active is not None:
                values = column[-1].index_copy(0, self.active, values)
            column.append(values)
        if attention is None:
            return
        if self.active is not None:
            empty = attention.new_full((len(self.exits), *attention.shape[1:]), torch.nan)
            attention = empty.index_copy(0, self.active, attention)
        self.attention.append(attention)

    def let_leave(self, limit: Tensor) -> bool:
        """Drop the faces whose column `error` is below a limit; one of NaN stays.

        Args:
            limit: scalar, or (B,) that of each face.

        Returns:
            Whether any face is left.
        """
        limit = limit if limit.ndim == 0 else self.pick(limit)
        error = self.last("error")
        stays = (~(error < limit)).nonzero()[:, 0]
        if len(stays) < len(error):  # if nobody leaves, nothing is to be picked out
            self.active = stays if self.active is None else self.active[stays]
        return len(stays) > 0

    def repeat(self, count: int) -> None:
        """Add stages that no face reached: as the last one, without attention."""
        for column in self.columns.values():
            column += column[-1:] * count
        self.attention += [torch.full_like(last, torch.nan) for last in self.attention[-1:]] * count
