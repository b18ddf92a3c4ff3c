"""The names that people use most: all are there, and the first two hundred do what PyTorch's do."""

import re

import pytest

import flambeau
from tests.names.used import ELSEWHERE, resolves, used


def test_names_that_people_use_are_there():
    names = [name for name, _ in used() if not ELSEWHERE.fullmatch(name)]
    missing = [name for name in names if not resolves(flambeau, name)]
    assert len(names) > 550 and len(missing) <= 0.03 * len(names), missing


# Lines whose last one is compared with PyTorch's.
CALLS = {
    "a model and its step": """
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.body = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(),
            torch.nn.Dropout(0.5))
        self.heads = torch.nn.ModuleList([torch.nn.Linear(8, 3), torch.nn.Identity()])
        self.scale = torch.nn.Parameter(torch.ones(3))
        self.register_buffer("count", torch.zeros(1))
    def forward(self, x):
        for head in self.heads:
            x = head(self.body(x)) * self.scale if head is self.heads[0] else head(x)
        return x
torch.manual_seed(0)
net = Net()
net.apply(lambda m: None)
net.train()
optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
criterion = torch.nn.CrossEntropyLoss()
for _ in range(3):
    optimizer.zero_grad()
    loss = criterion(net(torch.randn(5, 4)), torch.randint(0, 3, (5,)))
    loss.backward()
    torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    optimizer.step()
net.eval()
optimizer.load_state_dict(optimizer.state_dict())
with torch.no_grad():
    out = net.forward(torch.randn(2, 4))
names = [n for n, _ in net.named_parameters()]
[out, loss.item(), names, optimizer.param_groups[0]["lr"], net.scale.grad]
""",
    "optimizers": """
results = []
for make in (torch.optim.SGD, torch.optim.AdamW):
    p = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    optimizer = make([p], lr=0.1)
    assert isinstance(optimizer, torch.optim.Optimizer)
    (p * p).sum().backward()
    optimizer.step()
    results.append(p.detach())
results
""",
    "layers of images": """
torch.manual_seed(1)
net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.BatchNorm2d(4),
    torch.nn.LeakyReLU(0.1), torch.nn.MaxPool2d(2), torch.nn.ConvTranspose2d(4, 2, 2, stride=2))
net(torch.randn(2, 3, 8, 8))
""",
    "other layers": """
torch.manual_seed(2)
x = torch.randn(2, 3, 6)
layers = [torch.nn.LayerNorm(6), torch.nn.GELU(), torch.nn.Tanh(), torch.nn.Softmax(dim=-1),
    torch.nn.Sigmoid(), torch.nn.Identity()]
e = torch.nn.Embedding(10, 4)
[layer(x) for layer in layers] + [e(torch.tensor([1, 5])), torch.nn.MSELoss()(x, x + 1)]
""",
    "nn.functional": """
import importlib
F = torch.nn.functional
torch.manual_seed(3)
x, t = torch.randn(4, 5), torch.tensor([1, 0, 4, 2])
q = torch.randn(1, 2, 3, 4)
[F.relu(x), F.cross_entropy(x, t), F.softmax(x, dim=1), F.log_softmax(x, dim=-1),
 F.scaled_dot_product_attention(q, q, q), F.linear(x, torch.ones(2, 5)), F.mse_loss(x, x * 2)]
""",
    "creation": """
torch.manual_seed(4)
x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
[torch.zeros(2, 3), torch.ones(2), torch.arange(0, 10, 3), torch.linspace(0, 1, 5), torch.eye(3),
 torch.zeros_like(x), torch.ones_like(x), torch.empty(2, 0), torch.rand(2), torch.randn(2),
 torch.randint(0, 9, (4,)), torch.randn_like(x), torch.from_numpy(np.arange(3.0)), x.new_zeros(2),
 torch.Tensor([1, 2]), torch.FloatTensor([1.5]), torch.LongTensor([1, 2]), torch.Tensor(2, 3).shape,
 torch.empty_like(x).shape]
""",
    "shapes": """
x = torch.arange(24).view(2, 3, 4)
a, b = x.split(2, dim=2), x.chunk(2)
[x.size(), x.size(1), x.shape, x.reshape(6, 4), x.unsqueeze(0), x.transpose(0, 2), x[:1].squeeze(),
 x.permute(2, 0, 1), x.flatten(1), x.contiguous(), x[0].t(), x.numel(), x.dim(), x.ndim, x[0].T,
 x[0, :1].expand(5, 4), torch.flatten(x), list(a), list(b), x.data, x.detach(), x.clone()]
""",
    "joining": """
x = torch.arange(4.0).reshape(2, 2)
[torch.cat([x, x], dim=1), torch.cat((x, x)), torch.stack([x, x]), torch.where(x > 1, x, -x),
 torch.einsum("ij,jk->ik", x, x), torch.matmul(x, x)]
""",
    "types and devices": """
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
x = torch.ones(2, device=device)
y = x.to(device).to(torch.float32)
[y, x.float(), x.long(), x.cpu(), x.type(torch.LongTensor), x.type(), x.to(torch.int64),
 x.type_as(torch.ones(1).double()), str(x.device), str(x.dtype), x.to("cpu", torch.float),
 x.to(torch.bfloat16).float(), x.to(torch.bool), torch.ones(1, dtype=torch.long), x.numpy(),
 x.tolist(), x[0].item()]
""",
    "reductions": """
x = torch.tensor([[3.0, 1.0, 2.0], [4.0, 6.0, 5.0]])
values, indices = x.max(dim=1)
[x.sum(), x.mean(0), x.norm(), x.max(), values, indices, x.argmax(1), torch.sum(x, 1),
 torch.mean(x), torch.max(x, 0).values, torch.argmax(x), torch.max(x, x * 0 + 2)]
""",
    "pointwise": """
x = torch.tensor([0.5, 1.0, 2.0])
[x.add(1), torch.exp(x), torch.log(x), x.sin(), x.cos(), x.clamp(0.6, 1.5), torch.sqrt(x), x.relu(),
 x.pow(2), x.exp(), x.sqrt(), torch.tanh(x), torch.sin(x), torch.cos(x), x.eq(1.0), x.abs(),
 x.log(), x.masked_fill(x > 1, 0.0), torch.clamp(x, max=1), x.softmax(0), x.square(),
 torch.pow(x, 3)]
""",
    "more of tensors": """
x = torch.tensor([[3.0, 1.0, 2.0], [4.0, 6.0, 5.0]])
[x.gather(1, torch.tensor([[0], [2]])), torch.triu(x), torch.outer(x[0], x[1]), torch.full((2,), 7),
 torch.meshgrid(x[0], x[1], indexing="ij"), (x > 0).all(), torch.allclose(x, x), x.std(), x.topk(2),
 x.repeat(2, 1), x.masked_fill_(x > 5, -torch.inf), x.name, torch.pi,
 torch.zeros(1, dtype=torch.int32), torch.zeros(1, dtype=torch.float64), str(torch.__version__)[:4],
 str(torch.version.__version__)[:4], torch.testing.assert_close(x, x)]
""",
    "more of networks": """
F = torch.nn.functional
net = torch.nn.Linear(3, 3)
for module in net.modules():
    torch.nn.init.constant_(module.weight, 0.5)
with torch.inference_mode():
    y = F.rms_norm(F.pad(net.weight, (1, 1)), (5,))
y * 1
""",
    "no GPU": """
refused = []
for use in (lambda: torch.cuda.set_device(0), torch.cuda.synchronize):
    try:
        use()
    except (AssertionError, AttributeError):
        refused.append(True)
refused
""",
    "in place": """
torch.manual_seed(5)
x = torch.zeros(3)
y = x.add_(2).mul_(3).clone()
x.copy_(torch.arange(3.0)); x.fill_(4)
[y, x, x.zero_(), x.uniform_(), torch.nn.init.normal_(torch.empty(2))]
""",
    "gradients": """
x = torch.autograd.Variable(torch.ones(2), requires_grad=True)
y = torch.ones(2).requires_grad_()
(x * y).sum().backward()
[x.grad, y.grad, x.requires_grad, x.is_leaf]
""",
    "data": """
class Rows(torch.utils.data.Dataset):
    def __len__(self):
        return 5
    def __getitem__(self, i):
        return torch.tensor([i, i * i]), i
torch.manual_seed(6)
[list(batch) for batch in torch.utils.data.DataLoader(Rows(), batch_size=2, shuffle=True)]
""",
    "files": """
import io
file = io.BytesIO()
torch.save({"w": torch.arange(3)}, file)
_ = file.seek(0)
torch.load(file)["w"]
""",
    "compile": """
@torch.compile
def f(x):
    return x * 2
f(torch.ones(2))
""",
}


@pytest.mark.parametrize("title", CALLS)
def test_what_people_call_most(title):
    same = pytest.importorskip("tests.beside").same
    same(*CALLS[title].strip().split("\n"))


def test_the_two_hundred_most_used_are_called():
    text = "\n".join(CALLS.values())
    names = [name for name, _ in used()[:200] if not ELSEWHERE.fullmatch(name)]
    called = set(re.findall(r"\w+", text))
    missing = [name for name in names if name.split(".")[-1] not in called]
    assert missing == []
