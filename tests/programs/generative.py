"""Programs that make data: autoencoders, adversaries, diffusion, flows."""

import itertools
import math

from tests.programs.catalogue import descend, images, layers, steady


@steady()
def convolutional_autoencoder(torch):
    """Down by strides, up by transposed convolutions; noise is taken away from the input."""
    nn = torch.nn
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.LeakyReLU(0.2),
        nn.Conv2d(4, 6, 3, stride=2, padding=1), nn.LeakyReLU(0.2),
        nn.ConvTranspose2d(6, 4, 3, stride=2, padding=1, output_padding=1), nn.LeakyReLU(0.2),
        nn.ConvTranspose2d(4, 1, 4, stride=2, padding=1), nn.Sigmoid(),
    )  # fmt: skip
    x = images(torch, channels=1)[0].clamp(0, 1)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    while True:
        noisy = x + 0.1 * torch.randn_like(x)
        yield descend(optimizer, nn.functional.mse_loss(net(noisy), x))


@steady()
def variational_by_hand(torch):
    """Mean and log variance, a draw through them, and the divergence from a standard normal."""
    encoder = layers(torch, 12, 16, 6, between=torch.nn.ReLU)
    decoder = layers(torch, 3, 16, 12, between=torch.nn.ReLU)
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=0.01)
    x = (torch.rand(16, 12) < 0.3).float()
    while True:
        mean, log_variance = encoder(x).chunk(2, dim=1)
        z = mean + torch.randn_like(mean) * torch.exp(0.5 * log_variance)
        likelihood = torch.nn.functional.binary_cross_entropy_with_logits(
            decoder(z), x, reduction="sum"
        )
        divergence = -0.5 * torch.sum(1 + log_variance - mean.pow(2) - log_variance.exp())
        yield descend(optimizer, (likelihood + divergence) / len(x))


@steady(period=2)
def adversaries(torch):
    """A generator and a discriminator with optimizers of their own; fakes are detached for one."""
    nn = torch.nn
    generator = layers(torch, 2, 16, 2, between=nn.ReLU)
    judge = layers(torch, 2, 16, 1, between=lambda: nn.LeakyReLU(0.2))
    for_generator = torch.optim.Adam(generator.parameters(), lr=2e-3, betas=(0.5, 0.999))
    for_judge = torch.optim.Adam(judge.parameters(), lr=2e-3, betas=(0.5, 0.999))
    criterion = nn.BCEWithLogitsLoss()
    real, fake = torch.ones(16, 1), torch.zeros(16, 1)
    while True:
        angle = 2 * math.pi * torch.rand(16)
        circle = torch.stack([angle.cos(), angle.sin()], 1)
        made = generator(torch.randn(16, 2))
        for_judge.zero_grad()
        seen = criterion(judge(circle), real)
        seen.backward()
        caught = criterion(judge(made.detach()), fake)
        caught.backward()
        for_judge.step()
        yield (seen + caught).item()
        yield descend(for_generator, criterion(judge(made), real))


@steady(period=2)
def convolutional_adversaries(torch):
    """The same with convolutions, batch norm, and weights drawn from normals."""
    nn = torch.nn
    generator = nn.Sequential(
        nn.ConvTranspose2d(4, 8, 2, 1, 0, bias=False), nn.BatchNorm2d(8), nn.ReLU(True),
        nn.ConvTranspose2d(8, 4, 4, 2, 1, bias=False), nn.BatchNorm2d(4), nn.ReLU(True),
        nn.ConvTranspose2d(4, 1, 4, 2, 1, bias=False), nn.Tanh(),
    )  # fmt: skip
    judge = nn.Sequential(
        nn.Conv2d(1, 4, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(4, 8, 4, 2, 1, bias=False), nn.BatchNorm2d(8), nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(8, 1, 2, 1, 0, bias=False), nn.Sigmoid(), nn.Flatten(0),
    )  # fmt: skip

    def draw(module):
        name = module.__class__.__name__
        if name.find("Conv") != -1:
            nn.init.normal_(module.weight.data, 0.0, 0.1)
        elif name.find("BatchNorm") != -1:
            nn.init.normal_(module.weight.data, 1.0, 0.02)
            nn.init.constant_(module.bias.data, 0)

    generator.apply(draw)
    judge.apply(draw)
    optimizers = [
        torch.optim.Adam(net.parameters(), lr=1e-3, betas=(0.5, 0.999))
        for net in (generator, judge)
    ]
    real = images(torch, channels=1)[0] - 0.5
    criterion, labels = nn.BCELoss(), torch.full((8,), 1.0)
    while True:
        judge.zero_grad()
        labels.fill_(1.0)
        right = criterion(judge(real), labels)
        right.backward()
        fake = generator(torch.randn(8, 4, 1, 1))
        labels.fill_(0.0)
        wrong = criterion(judge(fake.detach()), labels)
        wrong.backward()
        optimizers[1].step()
        yield (right + wrong).item()
        labels.fill_(1.0)
        yield descend(optimizers[0], criterion(judge(fake), labels))


@steady(period=2)
def critic_with_gradient_penalty(torch):
    """A Wasserstein critic: the gradient between real and made points shall have length one."""
    generator = layers(torch, 2, 12, 2, between=torch.nn.ReLU)
    critic = layers(torch, 2, 12, 1, between=torch.nn.Tanh)
    for_generator = torch.optim.Adam(generator.parameters(), lr=1e-3, betas=(0.0, 0.9))
    for_critic = torch.optim.Adam(critic.parameters(), lr=1e-3, betas=(0.0, 0.9))
    while True:
        real, made = torch.randn(8, 2) + 2, generator(torch.randn(8, 2))
        share = torch.rand(8, 1)
        between = (share * real + (1 - share) * made.detach()).requires_grad_()
        scores = critic(between)
        (slope,) = torch.autograd.grad(
            scores, between, torch.ones_like(scores), create_graph=True, retain_graph=True
        )
        penalty = 10 * ((slope.norm(2, dim=1) - 1) ** 2).mean()
        loss = critic(made.detach()).mean() - critic(real).mean() + penalty
        yield descend(for_critic, loss)
        yield descend(for_generator, -critic(made).mean())


@steady()
def diffusion(torch):
    """Noise is predicted at a random time of many; times are embedded as sines."""
    times = 20
    kept = torch.cumprod(1 - torch.linspace(1e-3, 0.2, times), dim=0)
    net = layers(torch, 2 + 8, 24, 24, 2, between=torch.nn.SiLU)
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
    rates = torch.exp(-math.log(100.0) * torch.arange(4) / 4)
    points = torch.randn(16, 2).sign() + 0.1 * torch.randn(16, 2)
    while True:
        t = torch.randint(0, times, (16,))
        noise = torch.randn_like(points)
        level = kept[t].unsqueeze(1)
        noisy = level.sqrt() * points + (1 - level).sqrt() * noise
        angles = t[:, None].float() * rates[None]
        embedded = torch.cat([angles.sin(), angles.cos()], dim=-1)
        guess = net(torch.cat([noisy, embedded], dim=1))
        yield descend(optimizer, torch.nn.functional.mse_loss(guess, noise))


@steady()
def coupling_flow(torch):
    """An invertible map by affine couplings; what is maximised is an exact likelihood."""
    nets = torch.nn.ModuleList([layers(torch, 1, 8, 2, between=torch.nn.Tanh) for _ in range(4)])
    optimizer = torch.optim.Adam(nets.parameters(), lr=0.01)
    x = torch.randn(32, 2)
    x[:, 1] += x[:, 0] ** 2
    while True:
        z, volume = x, torch.zeros(32)
        for net in nets:
            first, second = z[:, :1], z[:, 1:]
            scale, shift = net(first).chunk(2, dim=1)
            scale = torch.tanh(scale)
            volume = volume + scale.sum(1)
            z = torch.cat([second * scale.exp() + shift, first], dim=1)
        density = -0.5 * (z**2).sum(1) - math.log(2 * math.pi) + volume
        yield descend(optimizer, -density.mean())


@steady()
def quantised_codes(torch):
    """Codes are the nearest of a few vectors; gradients go straight through the choice."""
    encoder = layers(torch, 6, 12, 3, between=torch.nn.ReLU)
    decoder = layers(torch, 3, 12, 6, between=torch.nn.ReLU)
    book = torch.nn.Embedding(5, 3)
    torch.nn.init.uniform_(book.weight, -0.5, 0.5)
    params = itertools.chain(encoder.parameters(), decoder.parameters(), book.parameters())
    optimizer = torch.optim.Adam(params, lr=0.01)
    x = torch.randn(16, 6)
    while True:
        z = encoder(x)
        nearest = torch.cdist(z, book.weight).argmin(1)
        code = book(nearest)
        chosen = z + (code - z).detach()
        loss = torch.nn.functional.mse_loss(decoder(chosen), x)
        loss = loss + ((code - z.detach()) ** 2).mean() + 0.25 * ((code.detach() - z) ** 2).mean()
        yield descend(optimizer, loss)
