"""Networks that make or mark signals: VAE, DCGAN, a 1-D convolution net, U-Net."""

from __future__ import annotations

from benchmarks.models.costs import conv_flops, linear_flops
from benchmarks.models.images import labelled, learn
from benchmarks.rows import Row, prepared


def vae(torch, batch=128, inputs=784, hidden=400, latent=20, batches=8):
    """A variational autoencoder (Kingma and Welling 2014)."""
    nn, functional = torch.nn, torch.nn.functional

    class VAE(nn.Module):
        def __init__(self):
            super().__init__()
            self.encode = nn.Linear(inputs, hidden)
            self.mean, self.log_var = nn.Linear(hidden, latent), nn.Linear(hidden, latent)
            self.decode = nn.Sequential(nn.Linear(latent, hidden), nn.ReLU(),
                                        nn.Linear(hidden, inputs))

        def forward(self, x):
            h = functional.relu(self.encode(x))
            mean, log_var = self.mean(h), self.log_var(h)
            z = mean + torch.randn_like(mean) * torch.exp(0.5 * log_var)
            return torch.sigmoid(self.decode(z)), mean, log_var

    net = VAE()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    data = [torch.rand(batch, inputs) for _ in range(batches)]
    net = prepared(torch, net)
    while True:
        for x in data:
            optimizer.zero_grad()
            made, mean, log_var = net(x)
            likelihood = functional.binary_cross_entropy(made, x, reduction="sum")
            divergence = -0.5 * torch.sum(1 + log_var - mean.pow(2) - log_var.exp())
            loss = (likelihood + divergence) / batch
            loss.backward()
            optimizer.step()
            yield loss.item()


def dcgan(torch, batch=64, latent=100, width=64, batches=4):
    """A deep convolutional adversarial pair (Radford et al. 2016) for images of 32×32."""
    nn = torch.nn

    def up(inputs, outputs, stride, padding):
        return [nn.ConvTranspose2d(inputs, outputs, 4, stride, padding, bias=False),
                nn.BatchNorm2d(outputs), nn.ReLU(True)]

    def down(inputs, outputs):
        return [nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False), nn.BatchNorm2d(outputs),
                nn.LeakyReLU(0.2, inplace=True)]

    def initialize(module):
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(module.weight, 0.0, 0.02)

    generator = nn.Sequential(
        *up(latent, 4 * width, 1, 0), *up(4 * width, 2 * width, 2, 1), *up(2 * width, width, 2, 1),
        nn.ConvTranspose2d(width, 3, 4, 2, 1, bias=False), nn.Tanh()).apply(initialize)
    critic = nn.Sequential(
        nn.Conv2d(3, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, inplace=True),
        *down(width, 2 * width), *down(2 * width, 4 * width),
        nn.Conv2d(4 * width, 1, 4, 1, 0, bias=False), nn.Sigmoid()).apply(initialize)
    criterion = nn.BCELoss()
    of_critic, of_generator = (torch.optim.Adam(net.parameters(), lr=2e-4, betas=(0.5, 0.999))
                               for net in (critic, generator))
    data = [torch.rand(batch, 3, 32, 32) * 2 - 1 for _ in range(batches)]
    generator, critic = prepared(torch, generator), prepared(torch, critic)
    real, made = torch.ones(batch), torch.zeros(batch)
    while True:
        for x in data:
            critic.zero_grad()
            loss_real = criterion(critic(x).view(-1), real)
            loss_real.backward()
            fake = generator(torch.randn(batch, latent, 1, 1))
            loss_made = criterion(critic(fake.detach()).view(-1), made)
            loss_made.backward()
            of_critic.step()
            generator.zero_grad()
            loss = criterion(critic(fake).view(-1), real)
            loss.backward()
            of_generator.step()
            yield (loss_real + loss_made).item() + loss.item()


def dcgan_flops(batch=64, latent=100, width=64):
    """The critic runs on real and on made images, and once more for the generator's gradient."""
    generator = [(latent, 4 * width, (4, 4), (1, 1)), (4 * width, 2 * width, (4, 4), (4, 4)),
                 (2 * width, width, (4, 4), (8, 8)), (width, 3, (4, 4), (16, 16))]
    critic = [(3, width, (4, 4), (16, 16)), (width, 2 * width, (4, 4), (8, 8)),
              (2 * width, 4 * width, (4, 4), (4, 4)), (4 * width, 1, (4, 4), (1, 1))]
    through = conv_flops(batch, critic, from_data=False)
    return conv_flops(batch, generator) + 2 * conv_flops(batch, critic) + through


def conv1d(torch, batch=64, channels=9, length=128, width=64, classes=6, batches=8):
    """A convolution net over time, as one classifies sensor readings."""
    nn = torch.nn
    net = nn.Sequential(
        nn.Conv1d(channels, width, 5, padding=2), nn.ReLU(),
        nn.Conv1d(width, width, 5, padding=2), nn.ReLU(), nn.MaxPool1d(2),
        nn.Conv1d(width, 2 * width, 3, padding=1), nn.BatchNorm1d(2 * width), nn.ReLU(),
        nn.MaxPool1d(2), nn.Flatten(), nn.Linear(2 * width * (length // 4), 100), nn.ReLU(),
        nn.Linear(100, classes))
    data = labelled(torch, batches, batch, channels, length, classes=classes)
    return learn(torch, net, data, torch.optim.Adam(net.parameters(), lr=1e-4))


def unet(torch, batch=8, size=64, width=16, depth=3, batches=4):
    """A U-Net (Ronneberger et al. 2015) that marks pixels."""
    nn = torch.nn

    def double(inputs, outputs):
        layers = []
        for channels in (inputs, outputs):
            layers += [nn.Conv2d(channels, outputs, 3, padding=1), nn.BatchNorm2d(outputs),
                       nn.ReLU(inplace=True)]
        return nn.Sequential(*layers)

    class UNet(nn.Module):
        def __init__(self):
            super().__init__()
            widths = [width << i for i in range(depth + 1)]
            self.downs = nn.ModuleList(map(double, [3, *widths[:-1]], widths))
            self.pool = nn.MaxPool2d(2)
            self.ups = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, 2) for w in widths[-2::-1])
            self.joins = nn.ModuleList(double(2 * w, w) for w in widths[-2::-1])
            self.last = nn.Conv2d(width, 1, 1)

        def forward(self, x):
            passed = []
            for i, down in enumerate(self.downs):
                x = down(self.pool(x) if i else x)
                passed.append(x)
            for up, join, other in zip(self.ups, self.joins, passed[-2::-1]):
                x = join(torch.cat([other, up(x)], dim=1))
            return self.last(x)

    net = UNet()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    data = [(x, (x.mean(1, keepdim=True) > 0).float())
            for x in (torch.randn(batch, 3, size, size) for _ in range(batches))]
    net, criterion = prepared(torch, net), nn.BCEWithLogitsLoss()
    while True:
        for x, y in data:
            optimizer.zero_grad()
            loss = criterion(net(x), y)
            loss.backward()
            optimizer.step()
            yield loss.item()


def unet_layers(size=64, width=16, depth=3):
    """The convolutions of the U-Net, for their cost."""
    inputs = 3
    for i in range(depth + 1):
        area, outputs = (size >> i, size >> i), width << i
        yield inputs, outputs, (3, 3), area
        yield outputs, outputs, (3, 3), area
        inputs = outputs
    for i in reversed(range(depth)):
        below, area, outputs = (size >> i + 1, size >> i + 1), (size >> i, size >> i), width << i
        yield 2 * outputs, outputs, (2, 2), below
        yield 2 * outputs, outputs, (3, 3), area
        yield outputs, outputs, (3, 3), area
    yield width, 1, (1, 1), (size, size)


VAE = linear_flops(128, 784, 400, 40) + linear_flops(128, 20, 400, 784) + 2 * 128 * 20 * 400
CONV1D = conv_flops(64, [(9, 64, (5,), (128,)), (64, 64, (5,), (128,)), (64, 128, (3,), (64,))])

ROWS = [
    Row("training", "VAE 128×784-400-20, Adam", vae, flops=VAE, wanted=1.5),
    Row("training", "DCGAN 64×32×32, Adam", dcgan, flops=dcgan_flops(), wanted=1.5,
        tolerance=2e-2),  # in these steps each is up to 6e-3 from float64
    Row("training", "Conv1d 64×9×128, Adam", conv1d, wanted=1.5,
        flops=CONV1D + linear_flops(64, 4096, 100, 6) + 2 * 64 * 4096 * 100),
    Row("training", "U-Net 8×64×64, Adam", unet, flops=conv_flops(8, unet_layers()), wanted=1.5,
        tolerance=1e-3),
]
