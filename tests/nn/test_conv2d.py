"""The layers against their obvious second implementations."""

import pytest
import torch
import torch.nn as nn

from tertia.nn.conv2d import ConditionalBatchNorm, outer_sum_conv


@pytest.mark.parametrize(("rows", "columns"), [(7, 5), (1, 6), (2, 1)])
def test_outer_sum_equals_the_convolution_of_tiled_channels(rows, columns):
    torch.manual_seed(0)
    conv = nn.Conv2d(3 + 4 + 2, 6, 3, padding=1).double()
    of_column, of_row = torch.randn(2, columns, 3).double(), torch.randn(2, rows, 4).double()
    pair = torch.randn(2, rows, columns, 2).double()
    tiled = torch.cat([
        of_column[:, None].expand(2, rows, columns, 3), of_row[:, :, None].expand(2, rows, columns, 4), pair
    ], dim=-1)  # fmt: skip
    sizes = torch.tensor([[rows, columns]] * 2)
    torch.testing.assert_close(outer_sum_conv(conv, of_column, of_row, pair, sizes), conv(tiled.permute(0, 3, 1, 2)))


def test_outer_sum_ends_where_the_map_of_an_example_ends():
    torch.manual_seed(0)
    conv = nn.Conv2d(2 + 2 + 1, 4, 3, padding=1).double()
    of_column, of_row, pair = (torch.randn(1, *shape).double() for shape in ((5, 2), (4, 2), (4, 5, 1)))
    small = outer_sum_conv(conv, of_column, of_row, pair, torch.tensor([[4, 5]]))
    pad = nn.functional.pad
    padded = pad(of_column, (0, 0, 0, 3)), pad(of_row, (0, 0, 0, 2)), pad(pair, (0, 0, 0, 3, 0, 2))
    torch.testing.assert_close(outer_sum_conv(conv, *padded, torch.tensor([[4, 5]]))[:, :, :4, :5], small)


def test_batch_norm_of_one_level_is_torch_batch_norm():
    torch.manual_seed(0)
    ours, theirs = ConditionalBatchNorm(5, 1), nn.BatchNorm2d(5)
    nn.init.ones_(ours.gain.weight)
    x, level = 3.0 + 2.0 * torch.randn(4, 5, 6, 7), torch.zeros(4, dtype=torch.long)
    for _ in range(3):
        torch.testing.assert_close(ours(x, level, None), theirs(x), atol=1e-5, rtol=1e-5)
    ours.eval(), theirs.eval()
    torch.testing.assert_close(ours(x, level, None), theirs(x), atol=1e-5, rtol=1e-5)


def test_batch_norm_leaves_padding_out_of_its_statistics():
    torch.manual_seed(0)
    norm, level = ConditionalBatchNorm(3, 2), torch.tensor([0, 1])
    x = torch.randn(2, 3, 4, 4)
    mask = torch.zeros(2, 1, 6, 6)
    mask[:, :, :4, :4] = 1.0
    padded = torch.full((2, 3, 6, 6), 1e3)
    padded[:, :, :4, :4] = x
    torch.testing.assert_close(norm(padded, level, mask)[:, :, :4, :4], norm(x, level, None), atol=1e-4, rtol=1e-4)


def test_each_level_has_its_own_gain():
    norm = ConditionalBatchNorm(3, 2)
    with torch.no_grad():
        norm.gain.weight[1] = 2.0 * norm.gain.weight[0]
    x = torch.randn(1, 3, 5, 5).expand(2, 3, 5, 5)
    first, second = norm(x, torch.tensor([0, 1]), None)
    torch.testing.assert_close(second, 2.0 * first)
