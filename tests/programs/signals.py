"""Programs over signals: spectra, rays, small images made large."""

import math

from tests.programs.catalogue import descend, layers, steady


@steady()
def filter_in_frequencies(torch):
    """A filter that is learned on complex amplitudes finds the tone under the noise."""
    time = torch.arange(32.0)
    clean = torch.sin(2 * math.pi * 3 * time / 32).expand(6, 32)
    noisy = clean + 0.5 * torch.randn(6, 32)
    gain = torch.zeros(17, requires_grad=True)
    turn = torch.zeros(17, requires_grad=True)
    optimizer = torch.optim.Adam([gain, turn], lr=0.05)
    while True:
        spectrum = torch.fft.rfft(noisy)
        passed = spectrum * torch.polar(torch.sigmoid(gain), turn)
        signal = torch.fft.irfft(passed, n=32)
        power = torch.fft.rfft(signal).abs().pow(2).mean()
        yield descend(optimizer, (signal - clean).pow(2).mean() + 1e-3 * power)


@steady()
def tone_by_its_spectrogram(torch):
    """Two damped oscillators; the loss compares magnitudes of short Fourier transforms."""
    time = torch.arange(128.0) / 64
    window = torch.hann_window(32)

    def loudness(signal):
        spectrum = torch.stft(signal, 32, hop_length=16, window=window, return_complex=True)
        return torch.log1p(spectrum.abs())

    def sound(rate, damping):
        return (torch.sin(2 * math.pi * rate[:, None] * time) * torch.exp(-damping * time)).sum(0)

    wanted = loudness(sound(torch.tensor([5.0, 9.0]), torch.tensor(1.0)))
    rate = torch.tensor([4.6, 9.5], requires_grad=True)
    damping = torch.tensor(0.5, requires_grad=True)
    optimizer = torch.optim.Adam([rate, damping], lr=0.02)
    while True:
        yield descend(optimizer, (loudness(sound(rate, damping)) - wanted).abs().mean())


@steady()
def small_images_made_large(torch):
    """Channels become pixels; what bicubic enlargement lacks is learned."""
    nn, functional = torch.nn, torch.nn.functional
    large = torch.rand(3, 1, 12, 12).cumsum(3).cumsum(2) / 100
    small = functional.avg_pool2d(large, 2)
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1, padding_mode="reflect"), nn.Tanh(),
        nn.Conv2d(8, 4, 3, padding="same"), nn.PixelShuffle(2),
    )  # fmt: skip
    for module in net:
        if isinstance(module, nn.Conv2d):
            nn.init.orthogonal_(module.weight, nn.init.calculate_gain("tanh"))
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    while True:
        guess = net(small) + functional.interpolate(
            small, scale_factor=2, mode="bicubic", align_corners=False
        )
        error = functional.l1_loss(guess, large)
        noise = -10 * torch.log10(functional.mse_loss(guess, large).detach())
        descend(optimizer, error)
        yield noise.item()


@steady()
def rays_through_a_field(torch):
    """Density and colour along rays, sines of places, light that is left over: a radiance field."""
    field = layers(torch, 3 * 4 * 2, 24, 4, between=torch.nn.ReLU)
    optimizer = torch.optim.Adam(field.parameters(), lr=5e-3)
    origin = torch.tensor([0.0, 0.0, -2.0])
    rays = torch.nn.functional.normalize(
        torch.randn(10, 3) * 0.3 + torch.tensor([0.0, 0, 1]), dim=1
    )
    colours = torch.rand(10, 3)
    bands = 2.0 ** torch.arange(4)
    while True:
        depth = torch.linspace(1, 3, 9)[:-1] + torch.rand(10, 8) / 4
        places = origin + rays[:, None] * depth[..., None]
        angles = (places[..., None] * bands).flatten(-2)
        raw = field(torch.cat([angles.sin(), angles.cos()], -1))
        density, colour = torch.relu(raw[..., 0] + 1), torch.sigmoid(raw[..., 1:])
        step = torch.diff(depth, dim=1, append=depth[:, -1:] + 1)
        opaque = 1 - torch.exp(-density * step)
        left = torch.cumprod(torch.cat([torch.ones(10, 1), 1 - opaque + 1e-10], 1), 1)[:, :-1]
        seen = ((opaque * left)[..., None] * colour).sum(1)
        yield descend(optimizer, torch.nn.functional.mse_loss(seen, colours))


@steady()
def picture_moved_into_place(torch):
    """A rotation and a shift are found by sampling one image where the other's pixels come from."""
    functional = torch.nn.functional
    ticks = torch.linspace(-1, 1, 12)
    y, x = torch.meshgrid(ticks, ticks, indexing="ij")
    still = torch.exp(-((x - 0.2) ** 2 + 2 * (y + 0.1) ** 2) * 3).view(1, 1, 12, 12)
    angle = torch.zeros(1, requires_grad=True)
    shift = torch.zeros(2, 1, requires_grad=True)

    def moved(angle, shift):
        rows = torch.stack(
            [torch.cat([angle.cos(), -angle.sin()]), torch.cat([angle.sin(), angle.cos()])]
        )
        grid = functional.affine_grid(
            torch.cat([rows, shift], 1).unsqueeze(0), still.shape, align_corners=False
        )
        return functional.grid_sample(still, grid, padding_mode="border", align_corners=False)

    wanted = moved(torch.tensor([0.4]), torch.tensor([[0.3], [-0.2]]))
    optimizer = torch.optim.SGD([angle, shift], lr=0.5, momentum=0.5)
    while True:
        yield descend(optimizer, (moved(angle, shift) - wanted).pow(2).mean())
