"""Formulas for the multiply-adds of operators: FLOPs / 2 of one call.

Formulas, n and m sizes, N the length of a transform:

* Fourier transform: 5 N log2 N FLOPs for complex input (Cooley and Tukey's algorithm, as FFTW's
  benchmark counts it), half of it where one side is real.
* LU n^3 / 3, Cholesky n^3 / 6, inverse n^3, one right side n^2 (Golub and Van Loan, Matrix
  Computations, 4th edition, 3.2 and 4.2); QR m n^2 - n^3 / 3 and as much for its Q (5.2); symmetric
  eigenvalues 2 n^3 / 3, with vectors 9 n^3 / 2 (8.3); singular values 2 m n^2 - 2 n^3 / 3, with
  vectors 2 m^2 n + 4 m n^2 + 9 n^3 / 2 (8.6), m >= n. Eigenvalues of general matrices and the
  matrix exponential depend on the values, and are refused.
* Products of complex numbers are four of real ones; a complex convolution is the three of real
  numbers as which PyTorch runs it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

#: Takes the arguments of an operator, and its result as the keyword `result`.
Formula = Callable[..., float]
#: Layout of tensors that oneDNN has packed; they are dense.
_ONEDNN: torch.layout = getattr(torch, "_mkldnn")  # noqa: B009  # absent from the stubs


class Work(NamedTuple):
    """Multiply-adds of some operators, by class."""

    products: float = 0.0
    elementwise: float = 0.0
    resampling: float = 0.0

    def plus(self, other: Work) -> Work:
        """The sum of both."""
        return Work(*(a + b for a, b in zip(self, other, strict=True)))

    def minus(self, other: Work) -> Work:
        """What was added to `other` since."""
        return Work(*(a - b for a, b in zip(self, other, strict=True)))


def count_values(tensor: Tensor) -> int:
    """Stored numbers of a tensor: those of its pattern if it is sparse."""
    if tensor.layout == torch.strided or tensor.layout == _ONEDNN:
        return tensor.numel()
    if tensor.layout == torch.sparse_coo:
        return tensor._values().numel()
    return tensor.values().numel()


def _sparse(value: Any) -> bool:
    return isinstance(value, Tensor) and value.layout not in (torch.strided, _ONEDNN)


def iterate_tensors(values: Any) -> Iterator[Tensor]:
    """Tensors among arguments or results, lists looked into."""
    for value in values.values() if isinstance(values, Mapping) else values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple | dict):
            yield from iterate_tensors(value)


def complex_factor(*factors: Any) -> int:
    """Real products in one product: 4 of two complex numbers, 2 if one of them is real."""
    both = [
        value.is_complex() if isinstance(value, Tensor) else isinstance(value, complex)
        for value in factors
    ]
    return 1 << sum(both)


def _multiply(left: Tensor, right: Tensor) -> float:
    factor = complex_factor(left, right)
    columns = right.shape[-1] if right.dim() > 1 else 1
    if _sparse(left) and _sparse(right):
        inner = left.shape[-1]
        ends = (
            left.to_sparse(layout=torch.sparse_coo)
            .coalesce()
            .indices()[1]
            .bincount(minlength=inner)
        )
        starts = (
            right.to_sparse(layout=torch.sparse_coo)
            .coalesce()
            .indices()[0]
            .bincount(minlength=inner)
        )
        return factor * float((ends * starts).sum())
    if _sparse(left):
        return factor * count_values(left) * columns
    if _sparse(right):
        return factor * count_values(right) * math.prod(left.shape[:-1])
    return factor * left.numel() * columns


def matrix_product(left: Tensor, right: Tensor, *_: Any, **__: Any) -> float:
    """(..., n, k) by (..., k, m) or (..., k); a sparse side counts by its stored values."""
    return _multiply(left, right)


def added_product(_: Any, left: Tensor, right: Tensor, *__: Any, **___: Any) -> float:
    """A matrix product, added to a tensor that stands before it."""
    return _multiply(left, right)


def packed_product(left: Tensor, *_: Any, result: Any, **__: Any) -> float:
    """A matrix product whose right side is packed: by its result."""
    return float(next(iterate_tensors([result])).numel()) * left.shape[-1]


def packed_recurrence(gates: int) -> Formula:
    """Quantized recurrent layers, one after the other, with so many gates; batches or packed."""

    def count(values: Tensor, *rest: Any, **_: Any) -> float:
        place = next(n for n, value in enumerate(rest) if isinstance(value, bool))  # biases
        state, layers, both = rest[place - 2], rest[place + 1], rest[place + 4]
        hidden = next(iterate_tensors([state])).shape[-1]
        ways = 2 if both else 1
        inputs = values.shape[-1] + (layers - 1) * ways * hidden + layers * hidden
        return float(math.prod(values.shape[:-1]) * ways * gates * hidden * inputs)

    return count


def packed_cell(gates: int) -> Formula:
    """One step of a quantized recurrent layer with so many gates."""

    def count(values: Tensor, state: Any, *_: Any, **__: Any) -> float:
        hidden = next(iterate_tensors([state])).shape[-1]
        return (
            float(values.numel() // values.shape[-1]) * gates * hidden * (values.shape[-1] + hidden)
        )

    return count


def sampled_product(pattern: Tensor, left: Tensor, *_: Any, **__: Any) -> float:
    """A matrix product at the places of a sparse pattern alone."""
    return count_values(pattern) * left.shape[-1] * complex_factor(left)


def trilinear(
    first: Tensor,
    second: Tensor,
    third: Tensor,
    expand1: Sequence[int],
    expand2: Sequence[int],
    expand3: Sequence[int],
    sumdim: Sequence[int],
    *_: Any,
    **__: Any,
) -> float:
    """Sum of products of three: a matrix product over the longest sum, then dot products.

    For `nn.Bilinear` B outputs * first * second, and B outputs times the shorter of the two.
    """
    shapes = []
    for factor, places in ((first, expand1), (second, expand2), (third, expand3)):
        shape = list(factor.shape)
        for place in sorted(places):
            shape.insert(place, 1)
        shapes.append(shape)
    sides = [max(lengths) for lengths in zip(*shapes, strict=True)]
    every = float(math.prod(sides))
    longest = max((sides[dim] for dim in sumdim), default=1)
    return (every + every / max(longest, 1)) * complex_factor(first, second)


def distances(first: Tensor, second: Tensor, *_: Any, result: Tensor, **__: Any) -> float:
    """One multiply-add for each pair and coordinate, whatever the norm of the difference."""
    return float(result.numel()) * first.shape[-1]


def pair_distances(points: Tensor, *_: Any, result: Tensor, **__: Any) -> float:
    """`pdist`: as `distances`, each pair once."""
    return float(result.numel()) * points.shape[-1]


def count_attention(query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> float:
    """(B, H, L, E) queries against (B, H, S, E) keys and (B, H, S, V) values, without masks."""
    pairs = query.numel() // query.shape[-1] * key.shape[-2]
    return float(pairs * (query.shape[-1] + value.shape[-1]))


def weighted_bags(weight: Tensor, indices: Tensor, *rest: Any, **named: Any) -> float:
    """Sums of rows of a table, free without weights of their own."""
    weights = named.get("per_sample_weights", rest[4] if len(rest) > 4 else None)
    return 0.0 if weights is None else float(indices.numel()) * weight.shape[-1]


def time_convolution(_: Tensor, weight: Tensor, *__: Any, result: Tensor, **___: Any) -> float:
    """`conv_tbc`: weight (K, C in, C out)."""
    return float(result.numel()) * weight.shape[0] * weight.shape[1]


def plain_convolution(_: Tensor, weight: Tensor, *__: Any, result: Tensor, **___: Any) -> float:
    """Weight (C out, C in / groups, ...), not transposed."""
    return float(result.numel()) * math.prod(weight.shape[1:])


def _unpack(packed: Any) -> Tensor:
    """The weight of a packed convolution."""
    weight: Tensor = packed.unpack()[0]
    return weight


def packed_convolution(_: Tensor, packed: Any, *__: Any, result: Tensor, **___: Any) -> float:
    """A convolution of quantized numbers, its weight packed."""
    return float(result.numel()) * math.prod(_unpack(packed).shape[1:])


def packed_transposed(image: Tensor, packed: Any, *_: Any, **__: Any) -> float:
    """A transposed convolution of quantized numbers, its weight packed."""
    return float(image.numel()) * math.prod(_unpack(packed).shape[1:])


def deformed_convolution(
    image: Tensor, weight: Tensor, offset: Tensor, mask: Tensor, *rest: Any, result: Tensor
) -> Work:
    """`deform_conv2d`: the convolution, four products for each sample, and the mask's."""
    places = result.numel() // weight.shape[0] * math.prod(weight.shape[2:])
    samples = float(places * image.shape[1])
    products = float(result.numel()) * math.prod(weight.shape[1:])
    return Work(products, elementwise=samples if rest[-1] else 0.0, resampling=4 * samples)


def count_vectors(left: Tensor, right: Tensor, *_: Tensor) -> float:
    """Dot products (`vecdot`) of vectors that are broadcast against each other."""
    sides = (left + right).shape  # broadcast
    return float(math.prod(sides)) * complex_factor(left, right)


def fourier(real_side: bool) -> Formula:
    """A fast Fourier transform of the dimensions that the operator names."""

    def count(values: Tensor, dim: Sequence[int], *_: Any, result: Tensor, **__: Any) -> float:
        longer = values if values.numel() >= result.numel() else result
        length = math.prod(longer.shape[d] for d in dim)
        total = 2.5 * longer.numel() * math.log2(max(length, 1))
        return total / 2 if real_side else total

    return count


def by_side(formula: Callable[[float], float]) -> Formula:
    """A formula of the side of a square matrix, times the matrices of the batch."""

    def count(matrix: Tensor, *_: Any, **__: Any) -> float:
        side = matrix.shape[-1]
        return math.prod(matrix.shape[:-2]) * formula(side) * complex_factor(matrix, matrix)

    return count


def by_sides(formula: Callable[[float, float, tuple[Any, ...]], float]) -> Formula:
    """A formula of the longer side, the shorter one and the arguments of a factorization."""

    def count(matrix: Tensor, *rest: Any, **named: Any) -> float:
        m, n = max(matrix.shape[-2:]), min(matrix.shape[-2:])
        batch = math.prod(matrix.shape[:-2]) * complex_factor(matrix, matrix)
        return batch * formula(m, n, (*rest, *(v for k, v in named.items() if k != "result")))

    return count


def solution(matrix: Tensor, right: Tensor, *_: Any, result: Any, **__: Any) -> float:
    """LU of (..., n, n), and n^2 for each right side."""
    n = matrix.shape[-1]
    solved = next(iterate_tensors([result]))
    factors = math.prod(matrix.shape[:-2]) * n**3 / 3
    return (factors + solved.numel() * n) * float(complex_factor(matrix, matrix))


def substitution(share: float, factors_at: int) -> Formula:
    """`share` * n^2 for each right side of a factorized system.

    Args:
        share: 1 for two triangles, one half for a single one.
        factors_at: place of the (..., n, n) factors among the arguments.
    """

    def count(*arguments: Any, result: Any, **_: Any) -> float:
        solved: Tensor = next(iterate_tensors([result]))
        factors: Tensor = arguments[factors_at]
        products = float(solved.numel()) * factors.shape[-1]
        return share * products * complex_factor(factors, solved)

    return count


def reflections(vectors: Tensor, scales: Tensor, *_: Any, **__: Any) -> float:
    """Q (m, n) of k Householder vectors: 2 m n k - (m + n) k^2 + 2 k^3 / 3."""
    m, n, k = vectors.shape[-2], vectors.shape[-1], scales.shape[-1]
    batch = math.prod(vectors.shape[:-2]) * complex_factor(vectors, vectors)
    return batch * (2 * m * n * k - (m + n) * k**2 + 2 * k**3 / 3)


def qr(m: float, n: float, rest: tuple[Any, ...]) -> float:
    """R, and Q unless the mode is "r"."""
    return (1 if rest and rest[0] == "r" else 2) * (m * n**2 - n**3 / 3)


def singular_values(m: float, n: float, rest: tuple[Any, ...]) -> float:
    """Singular values, and vectors if they are asked for."""
    if len(rest) > 1 and rest[1] is False:  # compute_uv
        return 2 * m * n**2 - 2 * n**3 / 3
    return 2 * m**2 * n + 4 * m * n**2 + 9 * n**3 / 2


def symmetric_eigenvalues(m: float, n: float, rest: tuple[Any, ...]) -> float:
    """Eigenvalues, and vectors if they are asked for."""
    if len(rest) > 1 and rest[1] is False:  # compute_v
        return 2 * n**3 / 3
    return 9 * n**3 / 2


def _lu(m: float, n: float, _: tuple[Any, ...]) -> float:
    return (m * n**2 - n**3 / 3) / 2


#: LU with pivots of (..., m, n), or a determinant by it.
lu_factors = by_sides(_lu)
