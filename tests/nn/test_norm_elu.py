"""Batch norm and ELU in one operation, against the formulas and autograd."""

import pytest
import torch
import torch.nn.functional as F

from tertia.nn import norm_elu as module
from tertia.nn.conv2d import ConditionalBatchNorm
from tertia.nn.norm_elu import norm_elu


def formula(x, gain, offset, mask):
    mask = torch.ones_like(x[:, :1]) if mask is None else mask
    mean = (x * mask).sum((0, 2, 3)) / mask.sum()
    centred = x - mean[:, None, None]
    variance = (centred.square() * mask).sum((0, 2, 3)) / mask.sum()
    normal = centred * (variance + 1e-5).rsqrt()[:, None, None]
    return F.elu(normal * gain[:, :, None, None] + offset[:, :, None, None]) * mask


def arguments(shape=(5, 3, 4, 6), *, masked, dtype=torch.float64):
    torch.manual_seed(0)
    x = (2.0 + 3.0 * torch.randn(shape, dtype=dtype)).requires_grad_()
    gain, offset = (torch.randn(shape[:2], dtype=dtype, requires_grad=True) for _ in range(2))
    mask = (torch.rand(shape[0], 1, *shape[2:]) > 0.3).to(dtype) if masked else None
    return x, gain, offset, mask


@pytest.fixture(params=[1, 64, 1 << 18], ids="{} values a chunk".format)
def chunk(request, monkeypatch):
    monkeypatch.setattr(module, "CHUNK_VALUES", request.param)


@pytest.mark.parametrize("masked", [False, True])
def test_values_and_gradients_are_those_of_the_formula(masked, chunk):
    *inputs, mask = arguments(masked=masked)
    out = norm_elu(*inputs, mask, epsilon=1e-5)[0]
    expected = formula(*inputs, mask)
    torch.testing.assert_close(out, expected)
    direction = torch.randn(out.shape, dtype=out.dtype)
    ours = torch.autograd.grad((out * direction).sum(), inputs)
    theirs = torch.autograd.grad((expected * direction).sum(), inputs)
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("masked", [False, True])
def test_gradients_are_finite_differences(masked):
    *inputs, mask = arguments((2, 2, 3, 3), masked=masked)
    assert torch.autograd.gradcheck(lambda *inputs: norm_elu(*inputs, mask, epsilon=1e-5)[0], inputs)


def test_single_precision_and_memory_order_do_not_matter():
    x, gain, offset, mask = arguments((4, 16, 8, 8), masked=True, dtype=torch.float32)
    results = []
    for order in (torch.contiguous_format, torch.channels_last):
        leaf = x.detach().clone(memory_format=order).requires_grad_()
        out = norm_elu(leaf, gain, offset, mask, epsilon=1e-5)[0]
        results.append((out, *torch.autograd.grad(out.square().sum(), (leaf, gain, offset))))
        assert out.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(results[0], results[1])
    expected = formula(x, gain, offset, mask)
    torch.testing.assert_close(results[0][0], expected, atol=1e-5, rtol=1e-5)


def test_large_values_stay_linear_and_deep_ones_reach_minus_one():
    x, gain, *_ = arguments((2, 1, 2, 2), masked=False, dtype=torch.float32)
    out = norm_elu(x, gain, torch.tensor([[1e4], [-1e4]]), None, epsilon=1e-5)[0]
    assert torch.isfinite(out).all()
    assert (out[0] > 9e3).all() and (out[1] == -1.0).all()


def test_the_layer_learns_the_same_running_statistics_either_way():
    torch.manual_seed(0)
    fused, plain = ConditionalBatchNorm(3, 2), ConditionalBatchNorm(3, 2)
    plain.load_state_dict(fused.state_dict())
    x, level = 1.0 + torch.randn(4, 3, 5, 5), torch.tensor([0, 1, 1, 0])
    mask = torch.ones(4, 1, 5, 5)
    mask[1, :, 3:] = 0.0
    for _ in range(2):
        expected = F.elu(plain(x, level, mask)) * mask
        torch.testing.assert_close(fused.elu(x, level, mask), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(fused.running_mean, plain.running_mean)
    torch.testing.assert_close(fused.running_var, plain.running_var)
    torch.testing.assert_close(fused.eval().elu(x, level, mask), F.elu(plain.eval()(x, level, mask)) * mask)
