"""Three steps of a small network under torch.profiler; docs/looking_inside.md shows the table."""

import torch
from torch.profiler import profile, schedule

torch.manual_seed(0)
net = torch.nn.Sequential(torch.nn.Linear(256, 512), torch.nn.GELU(), torch.nn.Linear(512, 10))
optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
x, target = torch.randn(512, 256), torch.randint(0, 10, (512,))


def step():
    loss = torch.nn.functional.cross_entropy(net(x), target)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


for _ in range(30):  # until it is compiled
    step()
plan = schedule(wait=0, warmup=1, active=3, repeat=1)
with profile(schedule=plan, record_shapes=True) as prof:
    for _ in range(4):
        step()
        prof.step()
averages = prof.key_averages(group_by_input_shape=True)
print(averages.table(sort_by="self_cpu_time_total", row_limit=8, max_shapes_column_width=36))
