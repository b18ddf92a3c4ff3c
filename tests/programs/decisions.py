"""Programs that learn to act, in a corridor whose right end pays."""

import random
from collections import deque, namedtuple

from tests.programs.catalogue import descend, layers, program, steady

Move = namedtuple("Move", "place action reward following")
LENGTH, STEPS_AHEAD = 5, 6


def walk(place, action):
    """Left or right in the corridor: the next place, the reward."""
    place = max(0, min(LENGTH - 1, place + (1 if action else -1)))
    return place, float(place == LENGTH - 1)


def one_hot(torch, places):
    return torch.nn.functional.one_hot(torch.as_tensor(places), LENGTH).float()


def discounted(rewards, factor=0.9):
    """What follows each moment, later rewards counting less."""
    total, out = 0.0, []
    for reward in reversed(rewards):
        total = reward + factor * total
        out.append(total)
    return out[::-1]


@steady()
def actor_and_critic(torch):
    """A body with two heads; the advantage is what was paid over what was expected."""
    nn = torch.nn
    body, actor, critic = nn.Linear(LENGTH, 8), nn.Linear(8, 2), nn.Linear(8, 1)
    modules = nn.ModuleList([body, actor, critic])
    optimizer = torch.optim.RMSprop(modules.parameters(), lr=0.01)
    while True:
        place, rewards, logs, values = 1, [], [], []
        for _ in range(STEPS_AHEAD):
            h = torch.tanh(body(one_hot(torch, [place])))
            log_chances = torch.log_softmax(actor(h), dim=1)
            action = torch.multinomial(log_chances.exp(), 1)
            logs.append(log_chances.gather(1, action).squeeze())
            values.append(critic(h).squeeze())
            place, reward = walk(place, action.item())
            rewards.append(reward)
        returns, values = torch.tensor(discounted(rewards)), torch.stack(values)
        advantage = returns - values.detach()
        loss = -(torch.stack(logs) * advantage).mean()
        loss = loss + nn.functional.smooth_l1_loss(values, returns)
        yield descend(optimizer, loss)


@program
def q_learning(torch):
    """A memory of moves, a second network that follows slowly, and now and then a random move."""
    net, target = (layers(torch, LENGTH, 8, 2, between=torch.nn.ReLU) for _ in range(2))
    target.load_state_dict(net.state_dict())
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.02, amsgrad=True)
    memory, place = deque(maxlen=30), 1
    while True:
        for _ in range(6):
            if random.random() < 0.3:
                action = random.randrange(2)
            else:
                with torch.no_grad():
                    action = net(one_hot(torch, [place])).max(1).indices.item()
            following, reward = walk(place, action)
            memory.append(Move(place, action, reward, None if reward else following))
            place = 0 if reward else following
        moves = Move(*zip(*random.sample(memory, 6)))
        going_on = torch.tensor([p is not None for p in moves.following])
        values = torch.zeros(6)
        with torch.no_grad():
            ahead = one_hot(torch, [p for p in moves.following if p is not None])
            values[going_on] = target(ahead).max(1).values
        wanted = torch.tensor(moves.reward) + 0.9 * values
        chosen = net(one_hot(torch, moves.place)).gather(1, torch.tensor(moves.action)[:, None])
        loss = torch.nn.SmoothL1Loss()(chosen, wanted.unsqueeze(1))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_value_(net.parameters(), 100)
        optimizer.step()
        with torch.no_grad():
            for slow, fast in zip(target.parameters(), net.parameters()):
                slow.lerp_(fast, 0.1)
        yield loss.item()


@steady()
def clipped_policy(torch):
    """Several steps on the same moves, as long as the policy stays near the one that made them."""
    policy = layers(torch, LENGTH, 8, 2, between=torch.nn.Tanh)
    optimizer = torch.optim.Adam(policy.parameters(), lr=0.02)
    places = torch.arange(20) % LENGTH
    while True:
        with torch.no_grad():
            before = policy(one_hot(torch, places)).log_softmax(1)
            actions = torch.multinomial(before.exp(), 1)
            before = before.gather(1, actions)
        advantage = actions.float() * 2 - 1  # to the right is good
        for _ in range(3):
            now = policy(one_hot(torch, places)).log_softmax(1).gather(1, actions)
            ratio = torch.exp(now - before)
            clipped = ratio.clamp(0.8, 1.2) * advantage
            loss = -torch.min(ratio * advantage, clipped).mean()
            last = descend(optimizer, loss)
        yield last
