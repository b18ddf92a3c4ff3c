"""Softmax regression: one linear layer, ten classes. docs/architecture.md follows a step of it."""

import torch
import torch.nn.functional as F

torch.manual_seed(0)
points = torch.randn(256, 20)
labels = points[:, :10].argmax(1)
weight = torch.zeros(20, 10, requires_grad=True)
bias = torch.zeros(10, requires_grad=True)
optimizer = torch.optim.SGD([weight, bias], lr=0.5)

for step in range(200):
    rows = slice(step % 4 * 64, step % 4 * 64 + 64)
    scores = points[rows] @ weight + bias
    loss = F.cross_entropy(scores, labels[rows])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

print(f"loss {loss.item():.4f}")
