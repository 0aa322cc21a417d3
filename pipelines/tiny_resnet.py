"""A residual network small enough to train on two CPU cores in a minute; `--model` names any other.

In: images (B, 3, H, W), normalised, H and W at least 32. Out: logits (B, num_classes).
"""

import torch
from torch import nn


class Block(nn.Module):
    """Two 3×3 convolutions around a shortcut; halves the resolution when the width grows."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        stride = 1 if inputs == outputs else 2
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Features (B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        return torch.relu(self.body(features) + self.shortcut(features))


def tiny_resnet(num_classes: int, width: int = 24) -> nn.Module:
    """Four residual blocks; 0.34 million weights at width 24 with 10 classes."""
    return nn.Sequential(
        nn.Conv2d(3, width, 3, 2, 1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
        Block(width, width),
        Block(width, 2 * width),
        Block(2 * width, 4 * width),
        Block(4 * width, 4 * width),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4 * width, num_classes),
    )
