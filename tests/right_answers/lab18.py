"""Right answers of lab 18, each in another way than the check's reference."""

import math

import torch
import torch.nn.functional as F
from scipy import stats
from torch import nn


def share_interval(count, n):  # Clopper and Pearson's
    low = stats.beta.ppf(0.025, count, n - count + 1) if count else 0.0
    high = stats.beta.ppf(0.975, count + 1, n - count) if count < n else 1.0
    return float(low), float(high)


def mean_interval(values):
    numbers = values.tolist()
    n, middle = len(numbers), math.fsum(numbers) / len(numbers)
    s = math.sqrt(math.fsum((v - middle) ** 2 for v in numbers) / (n - 1))
    reach = float(stats.t.isf(0.025, n - 1)) * s / math.sqrt(n)
    return middle - reach, middle + reach


def find_eps(accuracy, published, high, tolerance):
    known = {0.0: accuracy(0.0), high: accuracy(high)}
    if not known[high] <= published <= known[0.0]:
        return None
    for _ in range(50):
        below = max(e for e, a in known.items() if a >= published)
        above = min(e for e, a in known.items() if a <= published)
        if above - below <= tolerance / 2:
            return max(below, above)
        middle = below + (above - below) / 2
        known[middle] = accuracy(middle)
    return above


class Net(nn.Module):
    def __init__(self, inputs, hidden):
        super().__init__()
        self.one, self.two = nn.Linear(inputs, hidden), nn.Linear(hidden, 10)

    def forward(self, x):
        h = F.dropout(self.one(x.flatten(1)), 0.5, self.training)
        return self.two(F.relu(h))


def train_net(x, y, hidden, epochs, seed):
    torch.manual_seed(seed)
    model = Net(x[0].numel(), hidden)
    images = torch.utils.data.TensorDataset(x, y)
    loader = torch.utils.data.DataLoader(images, batch_size=128, shuffle=True)
    steps = torch.optim.RMSprop(model.parameters(), lr=1e-3, alpha=0.9)
    for _ in range(epochs):
        model.train()
        for some, labels in loader:
            steps.zero_grad()
            F.nll_loss(model(some).log_softmax(1), labels).backward()
            steps.step()
    model.eval()
    return model


def mean_confidence(z, y, which):
    chances = [row.softmax(0) for row in z]
    if which == "true":
        kept = [p[label] for p, label in zip(chances, y, strict=True)]
    else:
        kept = [
            p.max() for p, c in zip(chances, y, strict=True) if which == "named" or p.argmax() == c
        ]
    return sum(k.item() for k in kept) / len(kept) if kept else 0.0


def verdict(published, decimals, low, high, width):
    least, most = published - 0.5 / 10**decimals, published + 0.5 / 10**decimals
    if max(least, low) <= min(most, high):
        return "met" if high - low <= width else "cannot tell"
    return "missed"


def ahead(a, b):
    gap = a - b
    if not gap.std():
        return "undecided" if not gap.mean() else "ab"[int(gap.mean() < 0)]
    t = stats.ttest_rel(a.numpy(), b.numpy())
    return "undecided" if t.pvalue >= 0.05 else "a" if t.statistic > 0 else "b"


def convincing(victim, observer, x, made, y, goal):
    count = n = 0
    for source, sent, label, aim in zip(x, made, y, goal, strict=True):
        if all(net(source[None]).argmax() == label for net in (victim, observer)):
            n += 1
            fooled = victim(sent[None]).argmax() == aim
            count += bool(fooled and observer(sent[None]).argmax() == label)
    return count, n


RIGHT = {
    "share_interval": share_interval,
    "mean_interval": mean_interval,
    "find_eps": find_eps,
    "train_net": train_net,
    "mean_confidence": mean_confidence,
    "verdict": verdict,
    "ahead": ahead,
    "convincing": convincing,
}
