"""The convolution with its own gradient, against torch's."""

import pytest
import torch
import torch.nn as nn

from tertia.nn.dilated_conv import dilated_conv


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last], ids=["first", "last"])
@pytest.mark.parametrize(("dilation", "rows", "columns"), [(1, 5, 4), (2, 6, 7), (3, 3, 8), (4, 9, 2), (5, 1, 5)])
def test_values_and_gradients_are_those_of_torch(dilation, rows, columns, order):
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 4, 3, padding=dilation, dilation=dilation).double()
    x = torch.randn(2, 3, rows, columns).double().contiguous(memory_format=order).requires_grad_()
    direction = torch.randn(2, 4, rows, columns).double()
    results = []
    for out in (dilated_conv(conv, x), conv(x)):
        results.append((out, *torch.autograd.grad((out * direction).sum(), (x, conv.weight, conv.bias))))
    torch.testing.assert_close(results[0], results[1])


def test_it_stays_in_channels_last_memory():
    conv = nn.Conv2d(4, 4, 3, padding=2, dilation=2)
    x = torch.randn(2, 4, 6, 6).contiguous(memory_format=torch.channels_last).requires_grad_()
    out = dilated_conv(conv, x)
    assert out.is_contiguous(memory_format=torch.channels_last)
    (grad,) = torch.autograd.grad(out.square().sum(), x)
    assert grad.is_contiguous(memory_format=torch.channels_last)
