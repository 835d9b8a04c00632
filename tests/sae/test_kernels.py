"""Sparse products and their gradients, against dense matrices and autograd."""

import pytest
import torch

from sae import kernels

GPU = pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))


def sparse_code(b=13, m=40, k=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    indices = torch.rand(b, m, generator=generator).topk(k).indices
    values = torch.rand(b, k, generator=generator)
    return indices, values, torch.zeros(b, m).scatter(1, indices, values)


@pytest.mark.parametrize("device", ["cpu", GPU])
def test_products_equal_the_dense_ones(device):
    indices, values, dense = (part.to(device) for part in sparse_code())
    w, y = torch.randn(40, 6, device=device), torch.randn(13, 6, device=device)
    torch.testing.assert_close(kernels.times(indices, values, w), dense @ w)
    torch.testing.assert_close(kernels.transposed_times(indices, values, y, 40), dense.T @ y)
    torch.testing.assert_close(kernels.entries(indices, y, w), (y @ w.T).gather(1, indices))


@pytest.mark.parametrize("device", ["cpu", GPU])
def test_gradients_of_a_whole_autoencoder_equal_autograd(device):
    indices = sparse_code()[0].to(device)
    shapes = {"x": (13, 6), "w_enc": (40, 6), "b_enc": (40,), "w_dec": (40, 6)}
    ours = {name: torch.randn(shape, device=device, requires_grad=True) for name, shape in shapes.items()}
    theirs = {name: values.detach().clone().requires_grad_() for name, values in ours.items()}

    pre = (ours["x"] @ ours["w_enc"].T + ours["b_enc"]).detach()
    a = kernels.pick(pre, indices, ours["x"], ours["w_enc"], ours["b_enc"]).relu()
    (kernels.decode(indices, a, ours["w_dec"]) - 1).square().sum().backward()

    pre = theirs["x"] @ theirs["w_enc"].T + theirs["b_enc"]
    code = torch.zeros(13, 40, device=device).scatter(1, indices, pre.gather(1, indices).relu())
    (code @ theirs["w_dec"] - 1).square().sum().backward()

    for name in shapes:
        torch.testing.assert_close(ours[name].grad, theirs[name].grad, msg=name)
