"""Network A with its weights in PyTorch, and PGD as one would write it there by hand."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn


class NetworkA(nn.Module):
    """[batch, 1, 28, 28] pixels in [0, 1] -> [batch, 10] logits.

    Args:
        weights: the Keras network's weights, in its order.
    """

    def __init__(self, weights: Sequence[np.ndarray]):
        super().__init__()
        k1, b1, k2, b2, w1, d1, w2, d2 = weights
        self.conv1, self.conv2 = _convolution(k1, b1), _convolution(k2, b2)
        # Keras flattens [height, width, channels], PyTorch [channels, height, width].
        channels = len(b2)
        height = math.isqrt(len(w1) // channels)
        order = np.arange(len(w1)).reshape(height, height, channels).transpose(2, 0, 1).ravel()
        self.fc1, self.fc2 = _dense(w1[order], d1), _dense(w2, d2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The logits."""
        for convolution in (self.conv1, self.conv2):
            x = torch.max_pool2d(torch.relu(convolution(x)), 2)
        return self.fc2(torch.relu(self.fc1(torch.flatten(x, 1))))


def pgd(
    network: nn.Module,
    x: torch.Tensor,
    y: torch.Tensor,
    *,
    epsilon: float,
    step_size: float,
    steps: int,
    bfloat16: bool = False,
) -> torch.Tensor:
    """PGD for pixels in [0, 1]: adversarial images [batch, 1, height, width] float32.

    Args:
        network: a network in evaluation mode, whose parameters need no gradient.
        x: [batch, 1, height, width] float32 natural images.
        y: [batch] int64 labels.
        epsilon: l-inf radius.
        step_size: size of a step, in the same units.
        steps: number of gradient steps.
        bfloat16: whether the network computes in bfloat16 where autocast allows it.
    """
    x_adv = torch.clamp(x + torch.empty_like(x).uniform_(-epsilon, epsilon), 0, 1)
    for _ in range(steps):
        x_adv = x_adv.detach().requires_grad_(True)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=bfloat16):
            loss = torch.nn.functional.cross_entropy(network(x_adv), y, reduction='sum')
        (gradient,) = torch.autograd.grad(loss, x_adv)
        moved = x_adv.detach() + step_size * gradient.sign()
        x_adv = torch.clamp(torch.min(torch.max(moved, x - epsilon), x + epsilon), 0, 1)
    return x_adv


def _convolution(kernel: np.ndarray, bias: np.ndarray) -> nn.Conv2d:
    size, _, inputs, outputs = kernel.shape
    layer = nn.Conv2d(inputs, outputs, size, padding=size // 2)
    return _filled(layer, kernel.transpose(3, 2, 0, 1), bias)


def _dense(kernel: np.ndarray, bias: np.ndarray) -> nn.Linear:
    return _filled(nn.Linear(*kernel.shape), kernel.T, bias)


def _filled(layer: nn.Module, weight: np.ndarray, bias: np.ndarray) -> nn.Module:
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(np.ascontiguousarray(weight)))
        layer.bias.copy_(torch.from_numpy(bias))
    return layer
