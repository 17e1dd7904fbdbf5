"""Network A with its weights in PyTorch."""

import keras
import numpy as np
import torch
from torch import nn


class NetworkA(nn.Module):
    """[batch, 1, 28, 28] pixels in [0, 1] -> [batch, 10] logits.

    Args:
        network: the Keras network whose weights are copied.
    """

    def __init__(self, network: keras.Model):
        super().__init__()
        (k1, b1), (k2, b2), (w1, d1), (w2, d2) = (
            layer.get_weights() for layer in network.layers if layer.get_weights())
        self.conv1, self.conv2 = _convolution(k1, b1), _convolution(k2, b2)
        # Keras flattens [height, width, channels], PyTorch [channels, height, width].
        height, channels = network.get_layer('pool2').output.shape[1:4:2]
        order = np.arange(len(w1)).reshape(height, height, channels).transpose(2, 0, 1).ravel()
        self.fc1, self.fc2 = _dense(w1[order], d1), _dense(w2, d2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The logits."""
        for convolution in (self.conv1, self.conv2):
            x = torch.max_pool2d(torch.relu(convolution(x)), 2)
        return self.fc2(torch.relu(self.fc1(torch.flatten(x, 1))))


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
