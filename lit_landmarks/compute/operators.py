"""Multiply-adds of single operators: formulas by name, and the names of those that are free.

A product of two numbers with the addition that follows it is one multiply-add, so a formula is
FLOPs / 2. Every operator of a forward pass is in exactly one of four classes:

* counted: matrix products, convolutions, distances, factorizations, transforms (`Work.products`);
* element by element: products of two numbers each, `x * w`, whether a sum follows or not
  (`Work.elementwise`), and sums of squares such as a variance;
* resampling by fixed weights: `grid_sample`, `interpolate` (`Work.resampling`);
* free: views, copies, comparisons, additions, activations, normalizations, pooling.

What is in none of them is refused (`UncountedOperator`) rather than counted as nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import flop_registry

from lit_landmarks.compute.formulas import (
    Formula,
    Work,
    added_product,
    by_side,
    by_sides,
    complex_factor,
    count_attention,
    count_values,
    deformed_convolution,
    distances,
    fourier,
    iterate_tensors,
    lu_factors,
    matrix_product,
    packed_cell,
    packed_convolution,
    packed_product,
    packed_recurrence,
    packed_transposed,
    pair_distances,
    plain_convolution,
    qr,
    reflections,
    sampled_product,
    singular_values,
    solution,
    substitution,
    symmetric_eigenvalues,
    time_convolution,
    trilinear,
    weighted_bags,
)
from lit_landmarks.errors import UserError


class UncountedOperator(UserError):
    """A forward pass runs an operator whose multiply-adds nobody has told."""


#: Counted operators: aten's by name, others by their full name.
PRODUCTS: dict[str, Formula] = {
    "mm": matrix_product,
    "bmm": matrix_product,
    "mv": matrix_product,
    "dot": matrix_product,
    "vdot": matrix_product,
    "hspmm": matrix_product,
    "_sparse_mm": matrix_product,
    "_sparse_mm_reduce_impl": matrix_product,
    "_sparse_sparse_matmul": matrix_product,
    "addmm": added_product,
    "addmv": added_product,
    "addbmm": added_product,
    "baddbmm": added_product,
    "_sparse_addmm": added_product,
    "_addmm_activation": added_product,
    "sparse_sampled_addmm": sampled_product,
    "_int_mm": matrix_product,
    "_scaled_mm": matrix_product,
    "_weight_int8pack_mm": packed_product,
    "_weight_int4pack_mm": packed_product,
    "_weight_int4pack_mm_for_cpu": packed_product,
    "_dyn_quant_matmul_4bit": packed_product,
    "_trilinear": trilinear,
    "_cdist_forward": distances,
    "_euclidean_dist": distances,
    "_pdist_forward": pair_distances,
    "_embedding_bag": weighted_bags,
    "_embedding_bag_forward_only": weighted_bags,
    "conv_tbc": time_convolution,
    "_conv_depthwise2d": plain_convolution,
    "conv_depthwise3d": plain_convolution,
    "slow_conv3d_forward": plain_convolution,
    "slow_conv_dilated2d": plain_convolution,
    "slow_conv_dilated3d": plain_convolution,
    "_nnpack_spatial_convolution": plain_convolution,
    "mkldnn_convolution": plain_convolution,
    "_fft_c2c": fourier(real_side=False),
    "_fft_r2c": fourier(real_side=True),
    "_fft_c2r": fourier(real_side=True),
    "linalg_lu_factor_ex": lu_factors,
    "linalg_lu": lu_factors,
    "linalg_ldl_factor_ex": by_side(lambda n: n**3 / 6),
    "_linalg_det": lu_factors,
    "_linalg_slogdet": lu_factors,
    "_linalg_solve_ex": solution,
    "linalg_inv_ex": by_side(lambda n: float(n**3)),
    "linalg_cholesky_ex": by_side(lambda n: n**3 / 6),
    "cholesky_inverse": by_side(lambda n: n**3 / 3),
    "cholesky_solve": substitution(1.0, factors_at=1),
    "_cholesky_solve_helper": substitution(1.0, factors_at=1),
    "linalg_lu_solve": substitution(1.0, factors_at=0),
    "linalg_ldl_solve": substitution(1.0, factors_at=0),
    "linalg_solve_triangular": substitution(0.5, factors_at=0),
    "triangular_solve": substitution(0.5, factors_at=1),
    "linalg_qr": by_sides(qr),
    "geqrf": by_sides(lambda m, n, _: qr(m, n, ("r",))),
    "linalg_householder_product": reflections,
    "_linalg_svd": by_sides(singular_values),
    "_linalg_eigh": by_sides(symmetric_eigenvalues),
    "quantized::matmul": matrix_product,
    "quantized_lstm": packed_recurrence(gates=4),
    "quantized_gru": packed_recurrence(gates=3),
    "quantized::quantized_lstm_cell_dynamic": packed_cell(gates=4),
    "quantized::quantized_gru_cell_dynamic": packed_cell(gates=3),
    "quantized::quantized_rnn_tanh_cell_dynamic": packed_cell(gates=1),
    "quantized::quantized_rnn_relu_cell_dynamic": packed_cell(gates=1),
    **{
        f"quantized::linear{kind}": packed_product
        for kind in (
            *("", "_relu", "_leaky_relu", "_tanh", "_dynamic", "_relu_dynamic"),
            *("_dynamic_fp16", "_relu_dynamic_fp16"),
        )
    },
    **{
        f"quantized::conv{dims}d{kind}": packed_convolution
        for dims in (1, 2, 3)
        for kind in ("", "_relu", "_dynamic", "_add", "_add_relu")
    },
    **{
        f"quantized::conv_transpose{dims}d{kind}": packed_transposed
        for dims in (1, 2, 3)
        for kind in ("", "_dynamic")
    },
}

#: One product for each number of the result, or two.
_RESULT_PRODUCTS = {
    **dict.fromkeys(("mul", "div", "addcmul", "addcdiv", "lerp", "pow", "square", "xlogy"), 1),
    **dict.fromkeys(("float_power", "ldexp", "glu", "_masked_scale", "addr", "special_xlog1py"), 1),
    **dict.fromkeys(("quantized::mul", "quantized::mul_relu", "quantized::mul_scalar"), 1),
    **dict.fromkeys(("hypot", "linalg_cross", "renorm"), 2),
}
#: One product for each number of the input.
_INPUT_PRODUCTS = frozenset(
    (
        *("var", "std", "var_mean", "std_mean", "linalg_vector_norm", "linalg__powsum"),
        *("native_norm", "norm", "dist", "prod", "cumprod", "_sparse_csr_prod"),
        *("mse_loss", "huber_loss", "smooth_l1_loss", "_weight_norm_interface"),
    )
)
#: Operators that may multiply the numbers which meet in one place, and the argument that has as
#: many numbers as there are products then.
_PLACING = {"scatter": 2, "scatter_reduce": 2, "index_reduce": 3, "segment_reduce": 0}
_MULTIPLYING = frozenset(("prod", "multiply"))
#: Additions whose factor `alpha` is a product too, unless it is 1.
_SCALED_SUMS = frozenset(("add", "sub", "rsub", "index_add", "_add_relu"))

#: Products for each number of the result of a resampling operator.
_TAPS = {
    **dict.fromkeys(("upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d"), 0),
    **{f"_upsample_nearest_exact{dims}d": 0 for dims in (1, 2, 3)},
    **{"upsample_linear1d": 2, "upsample_bilinear2d": 4, "upsample_trilinear3d": 8},
    **{"upsample_bicubic2d": 16},
}
#: Half the width of an antialiased filter, in pixels of the coarser side.
_SUPPORT = {"_upsample_bilinear2d_aa": 1.0, "_upsample_bicubic2d_aa": 2.0}
_SUPPORT["_upsample_lanczos2d_aa"] = 3.0
#: Samples in `grid_sample` by the number of its mode: linear, nearest, cubic.
_GRID_TAPS: dict[str, tuple[int, ...]] = {
    "grid_sampler_2d": (4, 0, 16),
    "_grid_sampler_2d_cpu_fallback": (4, 0, 16),
}
_GRID_TAPS["grid_sampler_3d"] = (8, 0)

#: Operators without products by kind, beside views and what is tagged as pointwise.
_FREE_NAMES = {
    "copies, fills and patterns": """
        _chunk_cat _coalesce _coalesced _conj_copy _copy_from _copy_from_and_resize
        _fw_primal_copy _indices_copy _lazy_clone _make_dual_copy _neg_view_copy
        _new_zeros_with_same_feature_meta _pack_padded_sequence _pad_packed_sequence
        _padded_dense_to_jagged_forward _pin_memory _reshape_alias_copy _reshape_copy
        _resize_output _stack _to_copy _to_dense _to_sparse _to_sparse_bsc _to_sparse_bsr
        _to_sparse_csc _to_sparse_csr _unsafe_view _values_copy alias_copy as_strided_copy
        as_strided_scatter block_diag cat ccol_indices_copy channel_shuffle col_indices_copy
        complex constant_pad_nd copy copy_sparse_to_sparse crow_indices_copy detach_copy
        diag_embed diagonal_copy diagonal_scatter empty_like expand_copy fill flip full_like
        indices_copy lift lift_fresh_copy linspace narrow_copy new_empty new_empty_strided
        new_full new_ones new_zeros ones_like permute_copy pixel_shuffle pixel_unshuffle rand_like
        randint_like randn_like reflection_pad1d reflection_pad2d reflection_pad3d repeat
        repeat_interleave replication_pad1d replication_pad2d replication_pad3d resize resize_as
        resize_as_sparse roll rot90 row_indices_copy select_copy select_scatter set slice_copy
        slice_scatter sparse_compressed_tensor sparse_coo_tensor sparse_mask
        _sparse_coo_tensor_with_dims_and_tensors _sparse_broadcast_to_copy _sparse_mask_projection
        _spdiags split_copy split_with_sizes_copy squeeze_copy stack t_copy to_mkldnn
        to_padded_tensor transpose_copy tril triu unbind_copy unfold_copy unsafe_split
        unfold_backward unsafe_split_with_sizes unsqueeze_copy values_copy view_as_complex_copy
        view_as_real_copy view_copy where zero zeros_like im2col
    """,
    "choosing and placing": """
        _index_put_impl _unsafe_index _unsafe_index_put _unsafe_masked_index
        _unsafe_masked_index_put_accumulate embedding gather index index_add index_copy index_fill
        index_put index_reduce index_select masked_fill masked_scatter masked_select put scatter
        scatter_add scatter_reduce segment_reduce take
    """,
    "sums, extremes, order": """
        _aminmax _cummax_helper _cummin_helper _is_all_true _is_any_true _logcumsumexp
        _sparse_csr_sum _sparse_sum _unique _unique2 all allclose amax amin aminmax any argmax
        argmin argsort bincount bucketize col2im count_nonzero cummax cummin cumsum equal
        floor_divide histc histogram isin kthvalue logcumsumexp logsumexp max mean median min mode
        nanmedian nansum nonzero nonzero_static searchsorted sort sum topk trace
        unique_consecutive unique_dim unique_dim_consecutive
    """,
    "activations, normalizations, pooling": """
        _adaptive_avg_pool2d _adaptive_avg_pool3d _batch_norm_no_update _batch_norm_with_update
        _batch_norm_with_update_functional _fused_rms_norm _log_softmax _masked_softmax
        _native_batch_norm_legit _native_batch_norm_legit_functional
        _native_batch_norm_legit_no_training _prelu_kernel _safe_softmax _softmax
        _sparse_log_softmax _sparse_softmax adaptive_max_pool2d adaptive_max_pool3d avg_pool2d
        avg_pool3d batch_norm_elemt binary_cross_entropy binary_cross_entropy_with_logits celu
        cudnn_batch_norm elu fractional_max_pool2d fractional_max_pool3d hardsigmoid hardswish
        hardtanh leaky_relu log_sigmoid_forward selu max_pool2d_with_indices
        max_pool3d_with_indices max_unpool2d max_unpool3d native_batch_norm
        native_dropout native_group_norm native_layer_norm nll_loss2d_forward
        nll_loss_forward rrelu_with_noise rrelu_with_noise_functional soft_margin_loss
    """,
    "random numbers": """
        _sample_dirichlet _standard_gamma bernoulli binomial cauchy exponential geometric
        log_normal multinomial normal normal_functional poisson random uniform
    """,
    "polar coordinates, quantization of values, bookkeeping": """
        polar _conj_physical _empty_per_channel_affine_quantized _make_per_channel_quantized_tensor
        _make_per_tensor_quantized_tensor dequantize empty_quantized int_repr q_per_channel_axis
        q_per_channel_scales q_per_channel_zero_points q_scale q_zero_point qscheme
        quantize_per_channel quantize_per_tensor quantize_per_tensor_dynamic
        fake_quantize_per_channel_affine_cachemask fake_quantize_per_tensor_affine_cachemask
        _fake_quantize_per_tensor_affine_cachemask_tensor_qparams _assert_async _assert_scalar
        _assert_tensor_metadata _convert_indices_from_coo_to_csr _convert_indices_from_csr_to_coo
        _dimI _dimV _functional_assert_async _functional_assert_scalar _has_same_storage_numel
        _linalg_check_errors _local_scalar_dense _nnz _validate_compressed_sparse_indices
        _validate_sparse_coo_tensor_args dense_dim is_coalesced is_pinned is_same_size is_set_to
        lu_unpack record_stream sparse_dim sparse_resize sparse_resize_and_clear item dim numel
        size stride storage_offset is_contiguous is_strides_like_format
        is_non_overlapping_and_dense sym_constrain_range sym_constrain_range_for_size
        sym_is_contiguous sym_numel sym_size sym_storage_offset sym_stride
    """,
    "other namespaces": """
        torchvision::nms torchvision::roi_pool torchvision::ps_roi_pool quantized::add
        quantized::add_relu quantized::add_scalar quantized::add_scalar_relu quantized::batch_norm
        quantized::batch_norm1d quantized::batch_norm1d_relu quantized::batch_norm2d
        quantized::batch_norm2d_relu quantized::batch_norm3d quantized::batch_norm3d_relu
        quantized::batch_norm_relu quantized::cat quantized::cat_relu quantized::celu
        quantized::clamp quantized::dropout quantized::elu quantized::group_norm
        quantized::hardswish quantized::instance_norm quantized::layer_norm quantized::leaky_relu
        quantized::max_pool1d quantized::max_pool2d quantized::prelu quantized::relu6
        quantized::sigmoid quantized::softmax quantized::threshold quantized::embedding_byte
        quantized::embedding_4bit quantized::conv1d_prepack quantized::conv2d_prepack
        quantized::conv3d_prepack quantized::conv_prepack quantized::linear_prepack
        quantized::linear_prepack_fp16 quantized::linear_unpack quantized::conv1d_unpack
        quantized::conv2d_unpack quantized::conv3d_unpack quantized::conv_unpack
    """,
}
FREE = frozenset(name for names in _FREE_NAMES.values() for name in names.split())
_BOOKKEEPING = frozenset(("prim", "profiler", "debugprims", "rngprims"))

#: Formulas of operators that users have registered.
_REGISTERED: dict[str, Formula] = {}


def register_formula(operator: Any, formula: Formula) -> None:
    """Tells the multiply-adds of an operator that the tables do not have.

    Args:
        operator: `torch.ops.namespace.name`, or its full name `namespace::name`.
        formula: takes the arguments of the operator, and its result as the keyword `result`;
            returns multiply-adds (FLOPs / 2) of the call, 0 for an operator without products.

    Example:
        >>> register_formula("mine::attend", lambda x, w, result: result.numel() * x.shape[-1])
    """
    name = operator if isinstance(operator, str) else _packet_name(operator)
    _REGISTERED[name] = formula


def _packet_name(operator: Any) -> str:
    """`namespace::name` of an operator or of one of its overloads."""
    return str(getattr(operator, "_qualified_op_name", None) or operator._schema.name)


def is_decomposable(operator: Any) -> bool:
    """Whether an operator is made of others that are counted one by one."""
    return bool(
        torch._C._dispatch_has_kernel_for_dispatch_key(operator.name(), "CompositeImplicitAutograd")
    )


def count_work(
    operator: Any, arguments: tuple[Any, ...], named: Mapping[str, Any], result: Any
) -> Work | None:
    """Multiply-adds of one call.

    Args:
        operator: an overload, `torch.ops.aten.mm.default`.
        arguments: of the call.
        named: its keyword arguments.
        result: what it returned.

    Returns:
        The work; None for an operator that no table knows.

    Example:
        >>> x, w = torch.zeros(2, 3), torch.zeros(3, 4)
        >>> count_work(torch.ops.aten.mm.default, (x, w), {}, x @ w)
        Work(products=24.0, elementwise=0.0, resampling=0.0)
    """
    full = operator._schema.name
    name = full.removeprefix("aten::")
    if name.endswith("_") and not name.endswith("__"):  # in place
        name = name[:-1]
    formula = _REGISTERED.get(full) or PRODUCTS.get(name)
    if formula is not None:
        return Work(products=float(formula(*arguments, **named, result=result)))
    if name.startswith("_scaled_dot_product") and "backward" not in name:
        return Work(products=count_attention(*arguments, **named))
    if operator._overloadpacket in flop_registry:
        flops = flop_registry[operator._overloadpacket](*arguments, **named, out_val=result)
        factor = complex_factor(*list(iterate_tensors(arguments))[:2])
        return Work(products=flops / 2 * factor)
    resampled = _count_resampling(name, arguments, named, result)
    return resampled or _count_elementwise(operator, name, arguments, named, result)


def _count_elementwise(
    operator: Any, name: str, arguments: tuple[Any, ...], named: Mapping[str, Any], result: Any
) -> Work | None:
    """Work of an operator that takes numbers one by one; None for one in no table."""
    each = _RESULT_PRODUCTS.get(name)
    if name in _SCALED_SUMS:
        each = int(_get_scale(name, arguments, named) != 1)
    if each is not None:
        results = [t for t in iterate_tensors([result]) if t.dtype != torch.bool]
        if name == "index_add":
            results = list(iterate_tensors(arguments))[-1:]
        return Work(
            elementwise=float(each * sum(map(count_values, results)) * _factor_of(name, arguments))
        )
    if name in _PLACING and _MULTIPLYING & {
        value for value in (*arguments, *named.values()) if isinstance(value, str)
    }:
        return Work(elementwise=float(arguments[_PLACING[name]].numel()))
    if name in _INPUT_PRODUCTS:
        values = next(iterate_tensors(arguments))
        return Work(elementwise=float(count_values(values) * (2 if values.is_complex() else 1)))
    free = (
        name in FREE
        or operator.is_view
        or operator.namespace in _BOOKKEEPING
        or torch.Tag.inplace_view in operator.tags
        or torch.Tag.pointwise in operator.tags
        or next(iterate_tensors([arguments, named]), None) is None  # makes a tensor of no other
    )
    return Work() if free else None


def _get_scale(name: str, arguments: tuple[Any, ...], named: Mapping[str, Any]) -> Any:
    """The factor of an addition's second term; `rsub` and older overloads have it in place."""
    place = 4 if name == "index_add" else 2
    return named.get("alpha", arguments[place] if len(arguments) > place else 1)


def _factor_of(name: str, arguments: tuple[Any, ...]) -> int:
    """Real products in each product of an elementwise operator."""
    factors = (arguments[0], arguments[0]) if name in ("pow", "square") else arguments[:2]
    return complex_factor(*factors)


def _count_resampling(
    name: str, arguments: tuple[Any, ...], named: Mapping[str, Any], result: Any
) -> Work | None:
    """Work of operators that resample with fixed weights; None for all others."""
    if name == "torchvision::deform_conv2d":
        return deformed_convolution(*arguments, result=result)
    taps: float | None = _TAPS.get(name)
    if name in _GRID_TAPS:
        taps = _GRID_TAPS[name][arguments[2]]
    elif name == "affine_grid_generator":
        taps = result.shape[-1] + 1
    elif name in ("torchvision::roi_align", "torchvision::ps_roi_align"):
        ratio = arguments[5]
        taps = 4 * ratio**2 if ratio > 0 else None  # else the samples depend on the boxes
        result = next(iterate_tensors([result]))
    elif name in _SUPPORT:
        return Work(resampling=_count_antialiased(arguments[0], result, _SUPPORT[name]))
    return None if taps is None else Work(resampling=float(taps * result.numel()))


def _count_antialiased(image: Tensor, result: Tensor, support: float) -> float:
    """Rows, then columns, each with a filter that is widened by the reduction in size."""
    (high, wide), (to_high, to_wide) = image.shape[-2:], result.shape[-2:]
    rows, columns = (
        2 * math.ceil(support * max(side / to, 1.0)) + 1
        for side, to in ((high, to_high), (wide, to_wide))
    )
    images = math.prod(image.shape[:-2])
    return float(images * to_wide * (high * columns + to_high * rows))
