"""What each change to the model or the training is worth: validation MSE and k-NN accuracy over seeds.

`python benchmarks/ablation.py --epochs 10 --seeds 3` adds to benchmarks/ablation.csv what it lacks and prints the
table. `--of best` does the same for notebooks/params/best.yml, each of its parts left out in turn, by the project's own
training, in benchmarks/best.csv. The test images are not looked at.
"""

import argparse
import copy
import csv
import math
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from cae_lib import data, machine, metrics, model, training
from cae_lib.config import Config
from cae_lib.files import read_yaml
from cae_lib.run import Run

BEST = read_yaml(Path(__file__).parents[1] / "notebooks" / "params" / "best.yml")
CHANGES = {  # each changes one thing of the first
    "GELU": {},
    "ReLU": dict(activation=nn.ReLU),
    "SiLU": dict(activation=nn.SiLU),
    "leaky ReLU": dict(activation=nn.LeakyReLU),
    "no BatchNorm": dict(norm=nn.Identity),
    "GroupNorm": dict(norm=lambda width: nn.GroupNorm(8, width)),
    "kernel 5": dict(kernel=5),
    "widths 32-128": dict(channels=(32, 128)),
    "widths 64-128": dict(channels=(64, 128)),
    "widths 32-64-128": dict(channels=(32, 64, 128)),
    "flips": dict(flip=True),
    "EMA .999": dict(ema=0.999),
    "warm-up": dict(warmup=500),
    "one cycle to 3e-3": dict(peak=3e-3, warmup=0.25),
}
PARTS = {  # what best.yml asks of Config, and each change of it
    "best": {},
    "no residual blocks": dict(blocks=0),
    "no refining convolution": dict(refine=0),
    "images not moved": dict(shift=0.0),
    "Adam": dict(optimizer="adam", weight_decay=Config.weight_decay),
    "learning rate 1e-3": dict(learning_rate=1e-3),
    "one cycle to 3e-3": dict(schedule="one-cycle", learning_rate=3e-3),
    "Muon": dict(optimizer="muon", weight_decay=Config.weight_decay),
    "widths 48-96": dict(channels=(48, 96)),
    "two blocks": dict(blocks=2),
}
SETS = {"ablation": CHANGES, "best": PARTS}


def build(config: Config, activation=None, norm=None, kernel=None) -> nn.Module:
    """The report's model, some of its layers exchanged."""
    if kernel:
        model.KERNEL, model.PADDING = kernel, kernel // 2
    net = model.ConvAutoencoder(config)
    model.KERNEL, model.PADDING = 3, 1
    for part in net.children():
        for name, layer in part.named_children():
            if activation and name.startswith("gelu"):
                setattr(part, name, activation())
            if norm and isinstance(layer, nn.BatchNorm2d):
                setattr(part, name, norm(layer.num_features))
    return net


def measure(config: Config, dataset: data.Dataset, peak=1e-3, warmup=0, ema=0.0, flip=False, **layers) -> dict:
    """Train one variant; `warmup`: steps, or a share of them, over which the learning rate rises to `peak`."""
    torch.manual_seed(config.seed)
    device = machine.choose_device(config.device)
    dtype = machine.choose_precision(config.precision, device)
    net = build(config, **layers).to(device)
    adam = torch.optim.Adam(net.parameters(), peak, weight_decay=config.weight_decay, fused=True)
    average = copy.deepcopy(net)
    images, steps = dataset.train_images.to(device), math.ceil(config.train_size / config.batch_size)
    total, done, begun = steps * config.epochs, 0, time.perf_counter()
    rise = int(warmup * total) if warmup < 1 else warmup
    for epoch in range(config.epochs):
        net.train()
        for batch in training.shuffled(len(images), config, epoch, device):
            fall = (1 + math.cos(math.pi * (done - rise) / (total - rise))) / 2
            adam.param_groups[0]["lr"] = peak * (done / rise if done < rise else fall)
            x = images[batch].float().div_(255)
            if flip:
                x = torch.where(torch.rand(len(x), 1, 1, 1) < 0.5, x.flip(3), x)
            with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                x_hat = net(x)
            adam.zero_grad()
            F.mse_loss(x_hat.float(), x).backward()
            adam.step()
            done += 1
            if ema:
                for a, b in zip(average.state_dict().values(), net.state_dict().values(), strict=True):
                    a.copy_(b) if not a.is_floating_point() or done < 100 else a.lerp_(b, 1 - ema)
    if ema:  # the averaged weights' own statistics: those of the last weights do not fit them
        batches = training.shuffled(len(images), config, 0, device)
        torch.optim.swa_utils.update_bn((images[batch].float().div_(255) for batch in batches), average)
        net = average
    return judge(net, dataset, time.perf_counter() - begun)


def judge(net: nn.Module, dataset: data.Dataset, seconds: float) -> dict:
    """The row of a trained net."""
    net = net.cpu()
    mse = training.mse(net, dataset.validation_images)
    codes = [metrics.encode(net, images) for images in (dataset.train_images, dataset.validation_images)]
    knn = metrics.knn_accuracy(codes[0], dataset.train_labels.numpy(), codes[1], dataset.validation_labels.numpy())
    parameters = sum(p.numel() for p in net.parameters())
    return dict(validation_mse=round(mse, 6), knn=round(knn, 4), parameters=parameters, seconds=round(seconds))


def one_row(of: str, name: str, epochs: int, seed: int) -> dict:
    """One training of one variant, in a process of its own."""
    changes, key = dict(SETS[of][name]), dict(variant=name, epochs=epochs, seed=seed)
    if of == "ablation":
        config = Config(epochs=epochs, seed=seed, channels=changes.pop("channels", (32, 64)))
        return key | measure(config, data.load(config), **changes)
    config = Config.from_dict(BEST | changes | dict(epochs=epochs, seed=seed), extra=("run",))
    dataset = data.load(config)
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        run = training.train(config, dataset, Run(folder))
        return key | judge(run.model(), dataset, time.perf_counter() - begun)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--of", choices=SETS, default="ablation", help="which variants, and which table")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="*", help="the variants, all unless named")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="trainings side by side, one thread each")
    options = parser.parse_args()
    table, names = Path(__file__).with_name(f"{options.of}.csv"), options.only or list(SETS[options.of])
    rows = list(csv.DictReader(table.open(encoding="utf-8"))) if table.exists() else []
    known = {(r["variant"], int(r["epochs"]), int(r["seed"])) for r in rows}
    wanted = [(name, options.epochs, seed) for seed in range(options.seeds) for name in names]
    with ProcessPoolExecutor(options.jobs, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        begun = [pool.submit(one_row, options.of, *key) for key in wanted if key not in known]
        for done in as_completed(begun):
            rows.append(done.result())
            print(rows[-1], flush=True)
            with table.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, rows[-1], lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)
    report(rows, names, options.epochs)


def report(rows: list[dict], names: list[str], epochs: int) -> None:
    """The table: mean ± standard deviation over the seeds."""
    print(f"\n{'variant':<26}{'validation MSE':>22}{'k-NN accuracy':>20}{'seeds':>7}")
    for name in names:
        own = [r for r in rows if r["variant"] == name and int(r["epochs"]) == epochs]
        if own:
            both = [torch.tensor([float(r[key]) for r in own]) for key in ("validation_mse", "knn")]
            sd = [v.std().item() if len(v) > 1 else math.nan for v in both]
            mse, knn = (v.mean().item() for v in both)
            print(f"{name:<26}{mse:>13.5f} ± {sd[0]:.5f}{knn:>12.4f} ± {sd[1]:.4f}{len(own):>6}")


if __name__ == "__main__":
    main()
