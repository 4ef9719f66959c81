"""Multiply-adds of single operators against counts worked out by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import deform_conv2d, roi_align

from lit_landmarks.compute import Cost, UncountedOperator, count_mma, register_formula
from lit_landmarks.errors import UserError

M = 1_000_000
Function = Callable[..., Tensor]


class Call(nn.Module):
    """A function as a module."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.function(*inputs)


def counted(module: nn.Module | Function, *shapes: tuple[int, ...]) -> tuple[float, float, float]:
    """Multiply-adds, those of resampling, and elementwise ones."""
    module = module if isinstance(module, nn.Module) else Call(module)
    cost = count_mma(module, [torch.rand(shape) for shape in shapes])
    parts = (cost.mma, cost.mma_preprocess, cost.mma_elementwise)
    return tuple(pytest.approx(round(part * M, 3), rel=1e-6) for part in parts)  # type: ignore[return-value]


def places(x: Tensor) -> Tensor:
    """Places (1, 4, 4) into which values are put, some twice."""
    return torch.tensor([0, 1, 1, 0], device=x.device).expand(1, 4, 4)


def like(x: Tensor, *shape: int) -> Tensor:
    """A weight on the device of the input."""
    return x.new_ones(shape)


@pytest.mark.parametrize(
    ("function", "shape", "expected"),
    [
        (lambda x: F.bilinear(x, x[:, :3], like(x, 5, 4, 3)), (1, 4), 5 * 4 * 3 + 5 * 3),
        (lambda x: torch.addbmm(like(x, 2, 5), x.view(3, 2, 4), like(x, 3, 4, 5)), (1, 24), 120),
        (lambda x: torch.baddbmm(like(x, 1, 1, 1), x, x), (1, 3, 3), 27),
        (lambda x: torch.cdist(x, like(x, 1, 7, 4)), (1, 6, 4), 6 * 7 * 4),
        (lambda x: torch.cdist(x, like(x, 1, 50, 4)), (1, 40, 4), 40 * 50 * 4),  # by products
        (lambda x: torch.cdist(x, x, p=1.0), (1, 6, 4), 6 * 6 * 4),
        (lambda x: F.pdist(x[0]), (1, 6, 4), 15 * 4),
        (lambda x: torch.linalg.vecdot(x, like(x, 5, 1, 8)), (1, 3, 8), 5 * 3 * 8),
        (lambda x: torch.inner(x, like(x, 3, 8)), (1, 8), 24),
        (lambda x: torch.tensordot(x, like(x, 4, 6, 5), 2), (1, 4, 6), 120),
        (lambda x: torch.einsum("bij,bij->b", x, x), (1, 4, 6), 24),
        # time comes first
        (lambda x: torch.conv_tbc(x.mT, like(x, 3, 4, 2), like(x, 2), 1), (1, 4, 7), 7 * 3 * 8),
        (lambda x: F.unfold(x, 3).mT @ like(x, 27, 2), (1, 3, 5, 5), 9 * 27 * 2),
        (lambda x: F.scaled_dot_product_attention(x, x, x[..., :5]), (1, 2, 9, 8), 162 * 13),
        (lambda x: torch.linalg.matrix_power(x, 4), (1, 5, 5), 250),
        (lambda x: torch.fft.fft(x), (1, 3, 16), 1.25 * 3 * 16 * 4),
        (lambda x: torch.fft.ifft(torch.complex(x, x), dim=1).real, (1, 8, 3), 2.5 * 24 * 3),
        (lambda x: torch.fft.rfft2(x).real, (1, 8, 8), 1.25 * 64 * 6),
        (lambda x: torch.fft.irfft(x[..., :9], n=16), (1, 9), 1.25 * 16 * 4),
        (lambda x: torch.linalg.solve(x, x[..., :2]), (1, 6, 6), 72 + 72),
        (lambda x: torch.linalg.inv(x), (1, 6, 6), 216),
        (lambda x: torch.linalg.cholesky_ex(x)[0], (1, 6, 6), 36),
        (lambda x: torch.linalg.det(x), (1, 6, 6), 72),
        (lambda x: torch.linalg.solve_triangular(x, x[..., :4], upper=True), (1, 6, 6), 72),
        (lambda x: torch.linalg.qr(x)[0], (1, 6, 3), 2 * (6 * 9 - 9)),
        (lambda x: torch.linalg.eigvalsh(x), (1, 6, 6), 144),
        (lambda x: torch.linalg.svdvals(x), (1, 6, 3), 2 * 6 * 9 - 18),
        (lambda x: torch.vmap(torch.mm)(x, x.mT), (1, 6, 3), 6 * 6 * 3),
        (lambda x: torch.vmap(torch.dot)(x[0], x[0]), (1, 6, 3), 18),
    ],
)
def test_products_by_hand(function: Function, shape: tuple[int, ...], expected: float) -> None:
    assert counted(function, shape)[:2] == (expected, 0)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: x @ x, 4 * 125),
        (lambda x: torch.einsum("bij,bkj->bik", x, x), 4 * 125),
        (lambda x: torch.vdot(x.flatten(), x.flatten()), 4 * 25),
        (lambda x: torch.linalg.inv(x), 4 * 125),
    ],
)
def test_products_of_complex_numbers_are_four(function: Function, expected: float) -> None:
    module = Call(lambda x: function(torch.complex(x, x)).real)
    assert counted(module, (1, 5, 5))[0] == expected


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: (x * x).sum(-1), 24),
        (lambda x: (x * like(x, 3, 1, 1)).mean(), 72),
        (lambda x: x.square().sum() + torch.addcmul(x, x, x), 48),
        (lambda x: x / x.sum(), 24),
        (lambda x: torch.add(x, x, alpha=0.5) - x, 24),
        (lambda x: torch.lerp(x, x, 0.5), 24),
        (lambda x: x.norm(dim=1), 24),
        (lambda x: x.clone().mul_(x), 24),
        (lambda x: torch.complex(x, x) * torch.complex(x, x), 96),
        (lambda x: torch.complex(x, x) * x, 48),
        (lambda x: x.scatter_reduce(2, places(x), x[..., :4], "prod"), 16),
        (lambda x: x.scatter(2, places(x), x[..., :4], reduce="multiply"), 16),
        (lambda x: x.index_reduce(1, places(x)[0, 0, :2], x[:, :2], "prod"), 12),
        (lambda x: x.scatter_reduce(2, places(x), x[..., :4], "sum"), 0),
        (lambda x: (x > 0) & (x < 1), 0),
        (lambda x: F.gelu(x).softmax(-1).amax(1).cumsum(0).sort().values, 0),
        (lambda x: F.layer_norm(x, (6,)) + x, 0),
    ],
)
def test_elementwise_products_by_hand(function: Function, expected: float) -> None:
    assert counted(function, (1, 4, 6)) == (0, 0, expected)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: F.interpolate(x, size=(9, 9), mode="bilinear"), 243 * 4),
        (lambda x: F.interpolate(x, scale_factor=2, mode="bicubic"), 3 * 64 * 16),
        (lambda x: F.interpolate(x, scale_factor=2), 0),
        (lambda x: F.grid_sample(x, like(x, 1, 5, 2, 2), align_corners=False), 30 * 4),
        (lambda x: F.grid_sample(x, like(x, 1, 5, 2, 2), "nearest", align_corners=False), 0),
        (lambda x: F.affine_grid(like(x, 1, 2, 3), [1, 3, 4, 4], align_corners=False), 32 * 3),
        (lambda x: roi_align(x, [like(x, 1, 4)], 2, sampling_ratio=2), 12 * 16),
        # rows: 4 x 2 places of five taps; columns: 2 x 2 of five
        (lambda x: F.interpolate(x, (2, 2), mode="bilinear", antialias=True), 3 * (40 + 20)),
    ],
)
def test_resampling_is_preprocessing(function: Function, expected: float) -> None:
    assert counted(function, (1, 3, 4, 4)) == (0, expected, 0)


def test_deformable_convolution_by_hand() -> None:
    def deform(x: Tensor) -> Tensor:
        return deform_conv2d(x, like(x, 1, 8, 5, 5), like(x, 4, 2, 2, 2), mask=like(x, 1, 4, 5, 5))

    samples = 5 * 5 * 4 * 2
    assert counted(deform, (1, 2, 6, 6)) == (4 * samples, 4 * samples, samples)


class Sparse(nn.Module):
    """A sparse matrix of three numbers by a dense one, in a layout of choice."""

    def __init__(self, layout: torch.layout) -> None:
        super().__init__()
        dense = torch.zeros(4, 5)
        dense[0, 1] = dense[2, 2] = dense[3, 4] = 1.0
        self.matrix = dense.to_sparse(layout=layout)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sparse.mm(self.matrix, x[0])


@pytest.mark.parametrize("layout", [torch.sparse_coo, torch.sparse_csr])
def test_sparse_products_count_stored_numbers(layout: torch.layout) -> None:
    assert counted(Sparse(layout), (1, 5, 6)) == (3 * 6, 0, 0)


def test_sampled_and_weighted_sums_by_hand() -> None:
    def bags(x: Tensor) -> Tensor:
        rows, weight = torch.arange(4, device=x.device).view(1, 4), x[:, :4]
        return F.embedding_bag(rows, like(x, 4, 7), mode="sum", per_sample_weights=weight)

    assert counted(bags, (1, 4)) == (4 * 7, 0, 0)
    free = Call(lambda x: F.embedding_bag(x.long(), like(x, 4, 7), mode="sum"))
    assert counted(free, (1, 4)) == (0, 0, 0)


@pytest.mark.filterwarnings("ignore")  # quantization of torch.ao is deprecated
def test_quantized_layers_count_as_others() -> None:
    layers = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2)).eval()
    twin = torch.ao.quantization.quantize_dynamic(layers, {nn.Linear})
    assert counted(twin, (1, 6)) == (30 + 10, 0, 0)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (nn.LSTM(3, 4), (1, 5, 3), 5 * 16 * 7),
        (nn.GRU(3, 4, num_layers=2, bidirectional=True), (1, 5, 3), 5 * 2 * 12 * (7 + 12)),
        (nn.LSTMCell(3, 4), (1, 3), 16 * 7),
        (nn.RNNCell(3, 4), (1, 3), 4 * 7),
    ],
)
def test_quantized_recurrent_layers_count_as_others(
    layer: nn.Module, shape: tuple[int, ...], expected: float
) -> None:
    twin = torch.ao.quantization.quantize_dynamic(nn.Sequential(layer), {type(layer)})
    for module in (twin, nn.Sequential(layer)):
        assert counted(module, shape)[0] == expected


def test_nested_tensors_are_refused() -> None:
    def ragged(x: Tensor) -> Tensor:
        faces = torch.nested.nested_tensor([x[0], x[0, :1]], layout=torch.jagged)
        return torch.cat(F.linear(faces, like(x, 5, 3)).unbind())

    with pytest.raises(UncountedOperator, match="on nested tensors are unknown; give a face as"):
        counted(ragged, (1, 2, 3))


def test_dot_products_inside_vmap_are_not_lost() -> None:
    def rows(x: Tensor) -> Tensor:
        out: Tensor = torch.vmap(torch.linalg.vecdot)(x[0], x[0])
        return out

    cost = count_mma(Call(rows), torch.rand(1, 4, 5))
    assert (cost.mma + cost.mma_elementwise) * M == pytest.approx(20)


def test_messages_of_a_graph_are_elementwise() -> None:
    geometric = pytest.importorskip("torch_geometric.nn")

    class Graph(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = geometric.GraphConv(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            edges = torch.tensor([[0, 1, 2, 3, 3], [1, 2, 3, 0, 1]], device=x.device)
            out: Tensor = self.layer(x[0], edges, like(x, 5))
            return out

    products, _, elementwise = counted(Graph(), (1, 4, 4))
    assert products == 2 * 4 * 4 * 3  # two linear maps of four nodes
    assert elementwise == 5 * 4  # a weight for each edge and feature


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (lambda x: torch.linalg.matrix_exp(x), "aten::linalg_matrix_exp"),
        (lambda x: torch.linalg.eigvals(x).real, "aten::linalg_eig"),
        (lambda x: torch.linalg.lstsq(x, x).solution, "aten::linalg_lstsq"),
        (lambda x: roi_align(x.view(1, 1, 3, 3), [like(x, 1, 4)], 2), "torchvision::roi_align"),
    ],
)
def test_unknown_operators_are_refused_by_name(function: Function, name: str) -> None:
    with pytest.raises(UncountedOperator, match=f"'{name}' are unknown; register a formula"):
        counted(function, (1, 3, 3))


def test_own_operators_need_a_formula() -> None:
    @torch.library.custom_op("lit_landmarks_tests::attend", mutates_args=())
    def attend(x: Tensor, w: Tensor) -> Tensor:
        return x @ w

    attend.register_fake(lambda x, w: x.new_empty(*x.shape[:-1], w.shape[-1]))
    module = Call(lambda x: attend(x, like(x, 4, 3)))
    with pytest.raises(UserError, match="lit_landmarks_tests::attend"):
        counted(module, (1, 2, 4))
    register_formula(
        torch.ops.lit_landmarks_tests.attend, lambda x, w, result: result.numel() * x.shape[-1]
    )
    assert counted(module, (1, 2, 4)) == (24, 0, 0)


def test_compiled_code_is_counted_as_it_is_written() -> None:
    from torch.nn.attention.flex_attention import flex_attention

    attention = Call(lambda x: flex_attention(x, x, x))
    assert counted(attention, (1, 2, 9, 8))[0] == 2 * 9 * 9 * 16
    product = torch.compile(lambda x: x @ x)
    assert counted(lambda x: product(x) + 1, (1, 4, 4)) == (64, 0, 0)


def test_many_elementwise_products_are_told() -> None:
    gated = Call(lambda x: (x @ like(x, 4, 4)) * x)
    assert count_mma(gated, torch.zeros(1, 4)).notice() is not None  # 4 of 20
    told = count_mma(Call(lambda x: x * x), torch.zeros(1, 4 * M)).notice()
    assert told is not None
    assert "4.0 MMA of elementwise products, 100 %" in told
    assert Cost(9.0, 0.0, 1.0, 1, 1).notice() is None
    assert Cost(8.9, 0.0, 1.0, 1, 1).notice() is not None
