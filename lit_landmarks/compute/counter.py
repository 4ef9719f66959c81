"""`WorkCounter`: adds up the multiply-adds of every operator that runs."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch._ops import HigherOrderOperator
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from lit_landmarks.compute.formulas import (
    Work,
    by_sides,
    count_attention,
    count_vectors,
    iterate_tensors,
    singular_values,
    symmetric_eigenvalues,
)
from lit_landmarks.compute.operators import UncountedOperator, count_work, is_decomposable


class WorkCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the work of the operators that run inside it.

    Attributes:
        work: the sum so far; may be set.

    Example:
        >>> with WorkCounter() as counter:
        ...     total = (torch.zeros(2, 3) @ torch.zeros(3, 4) * torch.ones(4)).sum()
        >>> counter.work
        Work(products=24.0, elementwise=8.0, resampling=0.0)
    """

    supports_higher_order_operators = True

    def __init__(self) -> None:
        """Start from nothing."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.work = Work()

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Runs an operator and adds its work.

        Raises:
            UncountedOperator: no table knows its work.
        """
        named = dict(kwargs or {})
        if any(tensor.is_nested for tensor in iterate_tensors([args, named])):
            raise UncountedOperator(
                f"the multiply-adds of operator '{func}' on nested tensors are unknown; give a face"
                " as plain tensors, padded if need be"
            )
        if isinstance(func, HigherOrderOperator):
            return self._run_higher_order(func, args)
        if is_decomposable(func):
            with self:
                result = func.decompose(*args, **named)
            if result is not NotImplemented:
                return result
        result = func(*args, **named)
        work = count_work(func, args, named, result)
        if work is None:
            raise UncountedOperator(
                f"the multiply-adds of operator '{func._schema.name}' are unknown; register a "
                "formula with lit_landmarks.compute.register_formula, or write it with others"
            )
        self.work = self.work.plus(work)
        return result

    def _run_higher_order(self, func: HigherOrderOperator, args: tuple[Any, ...]) -> Any:
        """Flex attention, dense as all attention is counted; the dearer branch of a condition."""
        if func is torch.ops.higher_order.flex_attention:
            query, key, value = args[:3]
            self.work = self.work.plus(Work(products=count_attention(query, key, value)))
            rows = query.new_zeros(query.shape[:-1])
            return rows.unsqueeze(-1).expand(*rows.shape, value.shape[-1]).clone(), rows, rows
        if func is torch.ops.higher_order.cond:
            before, ways = self.work, []
            for branch in args[1:3]:
                self.work = before
                with self:
                    result = branch(*args[3])
                ways.append((self.work, result))
            self.work, result = max(ways, key=lambda way: sum(way[0]))
            return result
        raise UncountedOperator(
            f"the multiply-adds of operator '{func}' are unknown; write it with others"
        )


#: Functions that PyTorch takes apart into products of single numbers and a sum, or of which it
#: computes more while their operators are watched.
_WHOLE_FUNCTIONS: dict[Callable[..., Any], Callable[..., float]] = {
    torch.linalg.vecdot: count_vectors,
    torch.linalg.eigvalsh: by_sides(lambda m, n, _: symmetric_eigenvalues(m, n, (None, False))),
    torch.linalg.svdvals: by_sides(lambda m, n, _: singular_values(m, n, (None, False))),
}


class _Functions(TorchFunctionMode):
    """Counts `_WHOLE_FUNCTIONS` by their own formulas."""

    def __init__(self, counter: WorkCounter) -> None:
        super().__init__()
        self.counter = counter

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Runs a function; the work of one with a formula replaces that of its operators."""
        before, named = self.counter.work, kwargs or {}
        result = func(*args, **named)
        if (formula := _WHOLE_FUNCTIONS.get(func)) is not None:
            tensors = list(iterate_tensors([args, named]))
            if any(map(torch._C._functorch.is_functorch_wrapped_tensor, tensors)):
                return result  # inside `vmap` a tensor does not show its batch; its operators do
            self.counter.work = before.plus(Work(products=formula(*tensors)))
        return result


@contextlib.contextmanager
def count_operators() -> Iterator[WorkCounter]:
    """Counts what runs inside, without gradients and with attention in its dense form.

    Compiled parts run as they are written. oneDNN is off: its fused recurrent layers would hide
    their products.
    """
    compiled = "torch._dynamo" in sys.modules or "torch.nn.attention.flex_attention" in sys.modules
    with contextlib.ExitStack() as stack:
        if compiled:
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.enter_context(torch.no_grad())
        stack.enter_context(_without_onednn())
        stack.enter_context(plain_attention())
        counter = stack.enter_context(WorkCounter())
        stack.enter_context(_Functions(counter))
        yield counter


@contextlib.contextmanager
def _without_onednn() -> Iterator[None]:
    """Without oneDNN; `torch.backends.mkldnn.flags` would warn of a switch for Intel's GPUs."""
    switches: Any = torch.backends.mkldnn
    before = switches.enabled
    switches.enabled = False
    try:
        yield
    finally:
        switches.enabled = before


@contextlib.contextmanager
def plain_attention() -> Iterator[None]:
    """Attention on the math backend with fast paths off; the switches are put back."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
