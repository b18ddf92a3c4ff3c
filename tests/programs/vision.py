"""Programs over images and signals: convolutions, pools, normalisations, enlargements."""

from tests.programs.catalogue import descend, images, steady


@steady()
def lenet(torch):
    """The convolutional network of textbooks, with average pools and sigmoids replaced by tanh."""
    nn = torch.nn
    net = nn.Sequential(
        nn.Conv2d(1, 4, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2, 2),
        nn.Conv2d(4, 8, 3, padding=1), nn.Tanh(), nn.MaxPool2d(2, 2), nn.Flatten(),
        nn.Linear(8 * 2 * 2, 16), nn.Tanh(), nn.Linear(16, 4),
    )  # fmt: skip
    optimizer = torch.optim.SGD(net.parameters(), lr=0.2, momentum=0.5)
    x, y = images(torch, channels=1)
    while True:
        yield descend(optimizer, nn.functional.cross_entropy(net(x), y))


def residual_block(nn):
    """The class of a block of two convolutions around which the input goes."""

    class Block(nn.Module):
        def __init__(self, inputs, outputs, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
            self.bn1 = nn.BatchNorm2d(outputs)
            self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
            self.bn2 = nn.BatchNorm2d(outputs)
            self.relu = nn.ReLU(inplace=True)
            self.shortcut = nn.Identity()
            if stride != 1 or inputs != outputs:
                self.shortcut = nn.Sequential(
                    nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
                )

        def forward(self, x):
            out = self.relu(self.bn1(self.conv1(x)))
            out = self.bn2(self.conv2(out))
            out += self.shortcut(x)
            return self.relu(out)

    return Block


@steady(period=2)
def residual_network(torch):
    """Batch norm in both modes, shortcuts, weights drawn by nn.init, weight decay."""
    nn = torch.nn
    block = residual_block(nn)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        block(8, 8, 1),
        block(8, 16, 2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 4),
    )
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.constant_(module.weight, 1)
            nn.init.constant_(module.bias, 0)
    optimizer = torch.optim.SGD(
        net.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4, nesterov=True
    )
    x, y = images(torch, channels=3)
    while True:
        net.train()
        yield descend(optimizer, nn.functional.cross_entropy(net(x.flip(3)), y))
        net.eval()
        with torch.no_grad():
            yield nn.functional.cross_entropy(net(x), y).item()


@steady()
def one_dimensional_convolutions(torch):
    """A signal is told from another by dilated causal convolutions."""
    nn = torch.nn
    net = nn.Sequential(
        nn.ConstantPad1d((2, 0), 0.0), nn.Conv1d(2, 6, 3), nn.GELU(),
        nn.ConstantPad1d((4, 0), 0.0), nn.Conv1d(6, 6, 3, dilation=2), nn.GELU(),
        nn.AdaptiveMaxPool1d(1), nn.Flatten(), nn.Linear(6, 3),
    )  # fmt: skip
    times = torch.linspace(0, 6, 24)
    y = torch.randint(0, 3, (16,))
    x = torch.sin((y.view(-1, 1, 1) + 1) * times) + 0.2 * torch.randn(16, 2, 24)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    while True:
        yield descend(optimizer, nn.functional.cross_entropy(net(x), y))


@steady()
def u_net(torch):
    """Down and up again with skips; the loss is one minus twice the overlap over the sum."""
    nn = torch.nn

    class UNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.down1, self.down2, self.up1 = self.pair(1, 4), self.pair(4, 8), self.pair(8, 4)
            self.enlarge = nn.ConvTranspose2d(8, 4, 2, stride=2)
            self.head = nn.Conv2d(4, 1, 1)

        @staticmethod
        def pair(inputs, outputs):
            return nn.Sequential(
                nn.Conv2d(inputs, outputs, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(outputs, outputs, 3, padding=1),
                nn.ReLU(),
            )

        def forward(self, x):
            first = self.down1(x)
            second = self.down2(nn.functional.max_pool2d(first, 2))
            joined = torch.cat([first, self.enlarge(second)], dim=1)
            return self.head(self.up1(joined))

    x = torch.rand(4, 1, 8, 8)
    mask = (nn.functional.avg_pool2d(x, 3, 1, 1) > 0.5).float()
    net = UNet()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    while True:
        scores = net(x)
        chance = torch.sigmoid(scores)
        overlap = (chance * mask).sum(dim=(1, 2, 3))
        dice = 1 - (2 * overlap + 1) / (chance.sum((1, 2, 3)) + mask.sum((1, 2, 3)) + 1)
        loss = nn.functional.binary_cross_entropy_with_logits(scores, mask) + dice.mean()
        yield descend(optimizer, loss)


@steady()
def depthwise_separable(torch):
    """Inverted residuals: depthwise convolutions, squeeze and excitation, label smoothing."""
    nn = torch.nn

    class Inverted(nn.Module):
        def __init__(self, channels, wide):
            super().__init__()
            self.body = nn.Sequential(
                nn.Conv2d(channels, wide, 1, bias=False),
                nn.BatchNorm2d(wide),
                nn.Hardswish(),
                nn.Conv2d(wide, wide, 3, padding=1, groups=wide, bias=False),
                nn.BatchNorm2d(wide),
                nn.ReLU6(),
            )
            self.excite = nn.Sequential(
                nn.AdaptiveAvgPool2d(1),
                nn.Conv2d(wide, 4, 1),
                nn.ReLU(),
                nn.Conv2d(4, wide, 1),
                nn.Hardsigmoid(),
            )
            self.project = nn.Conv2d(wide, channels, 1)

        def forward(self, x):
            h = self.body(x)
            return x + self.project(h * self.excite(h))

    net = nn.Sequential(
        nn.Conv2d(3, 6, 3, stride=2, padding=1),
        Inverted(6, 12),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 4),
    )
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    optimizer = torch.optim.RMSprop(net.parameters(), lr=0.01, momentum=0.9, eps=1e-3)
    x, y = images(torch, channels=3)
    while True:
        yield descend(optimizer, criterion(net(x), y))


@steady()
def style_of_an_image(torch):
    """The image itself is what is optimised: its Gram matrices approach those of another."""
    functional = torch.nn.functional
    filters = [torch.randn(6, 3, 3, 3) * 0.3, torch.randn(6, 6, 3, 3) * 0.2]

    def features(image):
        for weight in filters:
            image = torch.relu(functional.conv2d(image, weight, padding=1))
            flat = image.flatten(2)[0]
            yield image, flat @ flat.t() / flat.numel()

    content, style = torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 8)
    wanted = [(x.detach(), gram) for (x, _), (_, gram) in zip(features(content), features(style))]
    image = content.clone().requires_grad_()
    optimizer = torch.optim.Adam([image], lr=0.02)
    while True:
        loss = 0
        for (x, gram), (x_wanted, gram_wanted) in zip(features(image), wanted):
            loss = loss + functional.mse_loss(x, x_wanted)
            loss = loss + 100 * functional.mse_loss(gram, gram_wanted)
        # each pixel jumps by about its neighbours' difference, which smoothness takes away
        loss = loss + 0.1 * (image[..., 1:] - image[..., :-1]).abs().mean()
        yield descend(optimizer, loss)
        with torch.no_grad():
            image.clamp_(0, 1)
