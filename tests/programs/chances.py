"""Programs whose models are distributions."""

import math

from tests.programs.catalogue import descend, layers, steady
from tests.programs.decisions import LENGTH, STEPS_AHEAD, discounted, one_hot, walk


@steady()
def variational_by_distributions(torch):
    """A variational autoencoder: rsample, log_prob, kl_divergence."""
    d = torch.distributions
    encoder = layers(torch, 12, 16, 6, between=torch.nn.Tanh)
    decoder = layers(torch, 3, 16, 12, between=torch.nn.Tanh)
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=0.01)
    x = (torch.rand(16, 12) < 0.3).float()
    prior = d.Independent(d.Normal(torch.zeros(3), torch.ones(3)), 1)
    while True:
        mean, raw = encoder(x).chunk(2, dim=1)
        scale = torch.nn.functional.softplus(raw) + 1e-3
        posterior = d.Independent(d.Normal(mean, scale), 1)
        z = posterior.rsample()
        likelihood = d.Independent(d.Bernoulli(logits=decoder(z)), 1).log_prob(x)
        bound = likelihood - d.kl_divergence(posterior, prior)
        yield descend(optimizer, -bound.mean())


@steady()
def policy_gradient(torch):
    """Actions are drawn from a Categorical; their log probability is weighed by what followed."""
    policy = layers(torch, LENGTH, 8, 2, between=torch.nn.ReLU)
    optimizer = torch.optim.Adam(policy.parameters(), lr=0.02)
    while True:
        place, rewards, logs, entropy = 1, [], [], []
        for _ in range(STEPS_AHEAD):
            chances = torch.softmax(policy(one_hot(torch, [place])), dim=1)
            choice = torch.distributions.Categorical(chances)
            action = choice.sample()
            logs.append(choice.log_prob(action))
            entropy.append(choice.entropy())
            place, reward = walk(place, action.item())
            rewards.append(reward)
        returns = torch.tensor(discounted(rewards))
        returns = (returns - returns.mean()) / (returns.std() + 1e-4)
        loss = -(torch.cat(logs) * returns).sum() - 0.01 * torch.cat(entropy).sum()
        yield descend(optimizer, loss)


@steady()
def squashed_normal_policy(torch):
    """Continuous actions: a normal through tanh, its density by the change of variables."""
    d = torch.distributions
    policy = layers(torch, 3, 12, 4, between=torch.nn.ReLU)
    critic = layers(torch, 3 + 2, 12, 1, between=torch.nn.ReLU)
    for_policy = torch.optim.Adam(policy.parameters(), lr=5e-3)
    for_critic = torch.optim.Adam(critic.parameters(), lr=5e-3)
    states = torch.randn(16, 3)
    while True:
        mean, log_width = policy(states).chunk(2, dim=1)
        base = d.Normal(mean, log_width.clamp(-3, 1).exp())
        raw = base.rsample()
        action = torch.tanh(raw)
        slope = 2 * (math.log(2) - raw - torch.nn.functional.softplus(-2 * raw))
        log_chance = (base.log_prob(raw) - slope).sum(1, keepdim=True)
        reward = -(action.detach() - states[:, :2].sign() / 2).pow(2).sum(1, keepdim=True)
        guess = critic(torch.cat([states, action.detach()], 1))
        descend(for_critic, torch.nn.functional.mse_loss(guess, reward))
        value = critic(torch.cat([states, action], 1))
        yield descend(for_policy, (0.1 * log_chance - value).mean())


@steady()
def mixture_by_expectation(torch):
    """Means, widths and shares of a mixture: MixtureSameFamily, fitted by gradients."""
    d = torch.distributions
    x = torch.cat([torch.randn(20) * 0.5 - 2, torch.randn(20) + 1.5])
    shares, means = torch.zeros(3, requires_grad=True), torch.randn(3, requires_grad=True)
    widths = torch.zeros(3, requires_grad=True)
    optimizer = torch.optim.Adam([shares, means, widths], lr=0.05)
    while True:
        mixture = d.MixtureSameFamily(
            d.Categorical(logits=shares), d.Normal(means, torch.nn.functional.softplus(widths))
        )
        yield descend(optimizer, -mixture.log_prob(x).mean())


@steady()
def regression_that_knows_its_doubt(torch):
    """Variational inference by hand: a normal for each weight, a log-normal precision."""
    d = torch.distributions
    x = torch.randn(30, 3)
    y = x @ torch.tensor([1.0, -2.0, 0.5]) + 0.3 * torch.randn(30)
    mean, raw = torch.zeros(3, requires_grad=True), torch.zeros(3, requires_grad=True)
    noise = torch.zeros(2, requires_grad=True)
    optimizer = torch.optim.Adam([mean, raw, noise], lr=0.05)
    prior = d.MultivariateNormal(torch.zeros(3), torch.eye(3))
    while True:
        width = torch.nn.functional.softplus(raw)
        q = d.MultivariateNormal(mean, scale_tril=torch.diag_embed(width))
        precision = d.LogNormal(noise[0], torch.nn.functional.softplus(noise[1]))
        t = precision.rsample()
        fit = d.Normal(x @ q.rsample(), t.rsqrt()).log_prob(y).sum()
        apart = d.kl_divergence(q, prior) + precision.log_prob(t)
        apart = apart - d.Gamma(torch.tensor(2.0), torch.tensor(1.0)).log_prob(t)
        yield descend(optimizer, (apart - fit) / 30)


@steady()
def flow_of_transforms(torch):
    """TransformedDistribution: affine and tanh maps whose parameters are fitted."""
    d = torch.distributions
    x = torch.rand(32) * 1.6 - 0.8
    shift, scale = torch.zeros(1, requires_grad=True), torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([shift, scale], lr=0.1)
    while True:
        flow = d.TransformedDistribution(
            d.Normal(torch.zeros(1), torch.ones(1)),
            [d.transforms.AffineTransform(shift, scale.exp()), d.transforms.TanhTransform()],
        )
        yield descend(optimizer, -flow.log_prob(x).mean())
