"""Networks that look at images: LeNet and ResNet-18."""

from __future__ import annotations

from benchmarks.models.costs import conv_flops, linear_flops
from benchmarks.rows import Row, prepared


def labelled(torch, batches, batch, *shape, classes=10):
    """Random images with random labels, a list of batches."""
    return [(torch.randn(batch, *shape), torch.randint(0, classes, (batch,)))
            for _ in range(batches)]


def learn(torch, net, data, optimizer):
    """The loop of a classifier."""
    net, criterion = prepared(torch, net), torch.nn.CrossEntropyLoss()
    while True:
        for x, y in data:
            optimizer.zero_grad()
            loss = criterion(net(x), y)
            loss.backward()
            optimizer.step()
            yield loss.item()


def lenet_network(torch, size=28):
    """LeNet-5 (LeCun et al. 1998) with logistic units and mean pooling."""
    nn = torch.nn
    last = (size // 2 - 4) // 2
    net = nn.Sequential(
        nn.Conv2d(1, 6, kernel_size=5, padding=2), nn.Sigmoid(), nn.AvgPool2d(2, stride=2),
        nn.Conv2d(6, 16, kernel_size=5), nn.Sigmoid(), nn.AvgPool2d(2, stride=2), nn.Flatten(),
        nn.Linear(16 * last**2, 120), nn.Sigmoid(), nn.Linear(120, 84), nn.Sigmoid(),
        nn.Linear(84, 10))
    for layer in net:
        if isinstance(layer, (nn.Linear, nn.Conv2d)):
            nn.init.xavier_uniform_(layer.weight)
    return net


def lenet(torch, batch=64, size=28, batches=8):
    """LeNet under gradient descent."""
    net = lenet_network(torch, size)
    data = labelled(torch, batches, batch, 1, size, size)
    return learn(torch, net, data, torch.optim.SGD(net.parameters(), lr=0.9))


def residual_network(torch, widths, blocks, classes):
    """A residual network (He et al. 2016) for small images."""
    nn = torch.nn

    class Block(nn.Module):
        def __init__(self, inputs, outputs, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(outputs)
            self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(outputs)
            self.relu = nn.ReLU(inplace=True)
            self.shortcut = nn.Sequential()
            if stride != 1 or inputs != outputs:
                self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False),
                                              nn.BatchNorm2d(outputs))

        def forward(self, x):
            out = self.relu(self.bn1(self.conv1(x)))
            out = self.bn2(self.conv2(out))
            out += self.shortcut(x)
            return self.relu(out)

    layers = [nn.Conv2d(3, widths[0], 3, 1, 1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()]
    inputs = widths[0]
    for i, width in enumerate(widths):
        for j in range(blocks):
            layers.append(Block(inputs, width, 2 if i and not j else 1))
            inputs = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(inputs, classes))


def resnet(torch, batch=16, size=32, widths=(64, 128, 256, 512), blocks=2, batches=4):
    """A residual network under gradient descent with momentum; its defaults make ResNet-18."""
    net = residual_network(torch, widths, blocks, 10)
    data = labelled(torch, batches, batch, 3, size, size)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.001, momentum=0.9, weight_decay=5e-4)
    return learn(torch, net, data, optimizer)


def resnet_layers(size=32, widths=(64, 128, 256, 512), blocks=2):
    """The convolutions of the residual network, for their cost."""
    yield 3, widths[0], (3, 3), (size, size)
    inputs = widths[0]
    for i, width in enumerate(widths):
        area = (size >> i, size >> i)
        for _ in range(blocks):
            yield inputs, width, (3, 3), area
            yield width, width, (3, 3), area
            if inputs != width:
                yield inputs, width, (1, 1), area
            inputs = width


LENET = (conv_flops(64, [(1, 6, (5, 5), (28, 28)), (6, 16, (5, 5), (10, 10))])
         + linear_flops(64, 400, 120, 84, 10) + 2 * 64 * 400 * 120)

ROWS = [
    Row("training", "LeNet 64×28×28, SGD", lenet, flops=LENET, wanted=2.5),
    Row("training", "ResNet-18 16×32×32, SGD momentum", resnet, wanted=1.1,
        tolerance=5e-3,  # PyTorch is up to 2e-3 from its own float64 in these 20 steps
        flops=conv_flops(16, resnet_layers()) + 3 * 2 * 16 * 512 * 10),
]
