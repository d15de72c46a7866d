"""How fast the training is, side by side in one run: the textbook loop, ours, and the machine's own limit.

`make bench` prints the table and writes _build/bench/training.json; `python benchmarks/training.py --table` keeps the
figures in benchmarks/training.csv, too. Each loop runs in a process of its own, the loops in turn, several rounds;
medians are compared, never single times.
"""

import argparse
import csv
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import psutil
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.threads import busy
from cae_lib import data, machine, training
from cae_lib.config import Config
from cae_lib.files import read_yaml
from cae_lib.model import ConvAutoencoder
from cae_lib.run import Run

QUALITY = 0.00532  # time to quality: seconds until the test MSE of the original report's model after its 40 epochs
TEXTBOOK_EPOCHS, BATCH = 40, 128
TABLE = Path(__file__).with_name("training.csv")


def textbook_model() -> nn.Module:
    """The original report's: 32-64 with stride 2, then 128 with stride 1, a bottleneck of 64, and back."""
    return nn.Sequential(
        *(nn.Conv2d(1, 32, 3, 2, 1), nn.ReLU(), nn.Conv2d(32, 64, 3, 2, 1), nn.ReLU()),
        *(nn.Conv2d(64, 128, 3, 1, 1), nn.ReLU(), nn.Flatten(), nn.Linear(128 * 49, 64)),
        *(nn.Linear(64, 128 * 49), nn.ReLU(), nn.Unflatten(1, (128, 7, 7))),
        *(nn.ConvTranspose2d(128, 64, 3, 1, 1), nn.ReLU(), nn.ConvTranspose2d(64, 32, 3, 2, 1, 1), nn.ReLU()),
        *(nn.ConvTranspose2d(32, 1, 3, 2, 1, 1), nn.Sigmoid()),
    )


def make_torchvision_importable() -> None:
    """Declare the two operators that torchvision's import asks for, where they cannot be loaded.

    Its compiled operators do not load beside a CPU-only torch wheel ("operator torchvision::nms does not exist").
    Where they do load, declaring them first would make that fail.
    """
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        make_torchvision_importable.keep = library  # the declarations last as long as this object


def torchvision_images():
    """torchvision's own dataset class over the verified files."""
    make_torchvision_importable()
    from torchvision import datasets, transforms

    folder, _ = data.find()
    root = Path(tempfile.mkdtemp())
    (root / "FashionMNIST").mkdir()
    (root / "FashionMNIST" / "raw").symlink_to(folder)
    return datasets.FashionMNIST(root, train=True, transform=transforms.ToTensor())


def textbook(steps: int) -> dict:
    """What tutorials do: Dataset, ToTensor, DataLoader(num_workers=2), float32, plain Adam, loss.item() each step."""
    loader = torch.utils.data.DataLoader(torchvision_images(), batch_size=BATCH, shuffle=True, num_workers=2)
    net, criterion = textbook_model(), nn.MSELoss()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, weight_decay=1e-5)
    total_loss, inside, begun = 0.0, 0.0, None
    for step, (x, _) in enumerate(loader):
        if step == 5:
            begun, inside = time.perf_counter(), 0.0
        start = time.perf_counter()
        loss = criterion(net(x), x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total_loss += loss.item()
        inside += time.perf_counter() - start
        if step == steps + 4:
            break
    return measured(steps, time.perf_counter() - begun, inside)


def lightning(steps: int) -> dict:
    """The same in Lightning, as its documentation writes it."""
    make_torchvision_importable()  # Lightning imports it
    import lightning as L

    class Module(L.LightningModule):
        def __init__(self):
            super().__init__()
            self.net, self.begun = textbook_model(), None

        def training_step(self, batch, index):
            if index == 5:
                self.begun = time.perf_counter()
            x, _ = batch
            loss = F.mse_loss(self.net(x), x)
            self.log("loss", loss, prog_bar=True)
            return loss

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), lr=1e-3, weight_decay=1e-5)

    module = Module()
    quiet = dict(enable_checkpointing=False, logger=False, enable_model_summary=False, enable_progress_bar=False)
    trainer = L.Trainer(max_steps=steps + 5, accelerator="cpu", **quiet)
    trainer.fit(module, torch.utils.data.DataLoader(torchvision_images(), BATCH, shuffle=True, num_workers=2))
    return measured(steps, time.perf_counter() - module.begun, math.nan)


def keras(steps: int) -> dict:
    """The same in Keras 3 on PyTorch: Sequential, compile, fit."""
    import os

    os.environ["KERAS_BACKEND"] = "torch"
    make_torchvision_importable()  # Keras imports it
    import keras as K

    images = data.load(Config()).train_images[: (steps + 5) * BATCH].permute(0, 2, 3, 1).numpy().astype("float32") / 255
    conv = dict(padding="same", activation="relu")
    net = K.Sequential(
        [
            *(
                K.Input((28, 28, 1)),
                K.layers.Conv2D(32, 3, strides=2, **conv),
                K.layers.Conv2D(64, 3, strides=2, **conv),
            ),
            *(K.layers.Conv2D(128, 3, **conv), K.layers.Flatten(), K.layers.Dense(64)),
            *(K.layers.Dense(128 * 49, activation="relu"), K.layers.Reshape((7, 7, 128))),
            *(K.layers.Conv2DTranspose(64, 3, **conv), K.layers.Conv2DTranspose(32, 3, strides=2, **conv)),
            K.layers.Conv2DTranspose(1, 3, strides=2, padding="same", activation="sigmoid"),
        ]
    )
    net.compile(K.optimizers.Adam(1e-3, weight_decay=1e-5), "mse")
    net.fit(images[: 5 * BATCH], images[: 5 * BATCH], batch_size=BATCH, verbose=0)
    begun = time.perf_counter()
    net.fit(images[5 * BATCH :], images[5 * BATCH :], batch_size=BATCH, verbose=0)
    return measured(steps, time.perf_counter() - begun, math.nan)


def ours(steps: int) -> dict:
    """`training.train` as it is, on as many images as the steps need; the share outside the step by difference."""
    config = Config(epochs=2, train_size=steps * BATCH, schedule="constant")
    dataset = data.load(config)
    with tempfile.TemporaryDirectory() as folder:
        run = training.train(config, dataset, Run(folder))
        loop = run.provenance["epoch_seconds"][1]  # the first epoch warms up
        return measured(steps, loop, min(bare_step(config, dataset, steps), loop)) | {
            "precision": run.provenance["precision"],
            "threads": run.provenance["threads"],
        }


def beside(steps: int) -> dict:
    """The same beside one process that only computes."""
    with busy(1):
        return ours(steps)


def bare_step(config: Config, dataset: data.Dataset, steps: int) -> float:
    """Seconds for as many steps on one batch that lies ready: forward, backward, update."""
    device = machine.choose_device(config.device)
    dtype = machine.choose_precision(config.precision, device)
    net = ConvAutoencoder(config).to(device)
    adam = torch.optim.Adam(net.parameters(), 1e-3, weight_decay=1e-5, fused=True)
    x = dataset.train_images[:BATCH].float().div_(255).to(device)
    for step in range(steps + 5):
        if step == 5:
            begun = time.perf_counter()
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            x_hat = net(x)
        adam.zero_grad()
        F.mse_loss(x_hat.float(), x).backward()
        adam.step()
    return time.perf_counter() - begun


def measured(steps: int, seconds: float, inside: float) -> dict:
    try:
        import resource

        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    except ImportError:  # Windows
        memory = psutil.Process().memory_info().peak_wset
    images_per_s = steps * BATCH / seconds
    return dict(images_per_s=images_per_s, outside_step=1 - inside / seconds, memory_gb=memory / 1e9)


def sgemm(steps: int) -> dict:
    """The machine's float32 matrix multiplication, in FLOP/s: what a step can hope for."""
    a, b = torch.rand(2048, 2048), torch.rand(2048, 2048)
    times = []
    for _ in range(12):
        start = time.perf_counter()
        a @ b
        times.append(time.perf_counter() - start)
    return dict(flops_per_s=2 * 2048**3 / min(times))


def quality(steps: int) -> dict:
    """Train with the short schedule of `notebooks/params/fast.yml`; the test images are read once, afterwards."""
    values = read_yaml(Path(__file__).parents[1] / "notebooks" / "params" / "fast.yml")
    values.pop("run")
    config = Config.from_dict(values)
    dataset = data.load(config)
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        run = training.train(config, dataset, Run(folder))
        seconds = time.perf_counter() - begun
        test_mse = training.mse(run.model(), dataset.test_images)
    return dict(seconds=seconds, test_mse=test_mse, epochs=config.epochs)


def step_flops() -> int:
    """FLOPs of one of our training steps, forward and backward, counted from the operations themselves."""
    net, x = ConvAutoencoder(Config()), torch.rand(BATCH, 1, 28, 28)
    with FlopCounterMode(display=False) as counter:
        F.mse_loss(net(x), x).backward()
    return counter.get_total_flops()


def in_a_process(name: str, steps: int) -> dict:
    words = [sys.executable, __file__, "--worker", name, "--steps", str(steps)]
    done = subprocess.run(words, capture_output=True, encoding="utf-8")
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=150, help="training steps a measurement")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each loop, in turn")
    parser.add_argument("--out", type=Path, default=Path("_build/bench/training.json"))
    parser.add_argument("--table", action="store_true", help=f"write {TABLE.name}, which is committed")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        return print(json.dumps(globals()[options.worker](options.steps)))

    loops = ["textbook", *(n for n in ("lightning", "keras") if find_spec(n)), "ours", "beside", "sgemm", "quality"]
    found = {name: [] for name in loops}
    for turn in range(options.rounds):
        for name in loops:
            print(f"round {turn + 1} of {options.rounds}: {name}", file=sys.stderr, flush=True)
            found[name].append(in_a_process(name, options.steps))

    def median(name, key):
        return statistics.median(r[key] for r in found[name])

    speed, old = median("ours", "images_per_s"), median("textbook", "images_per_s")
    share, textbook_seconds = speed / BATCH * step_flops(), TEXTBOOK_EPOCHS * 55_000 / old
    tries = found["quality"]  # each against the textbook loop of its own round: the machine's pace changes
    ratios = [
        TEXTBOOK_EPOCHS * 55_000 / r["images_per_s"] / t["seconds"]
        for r, t in zip(found["textbook"], tries, strict=True)
    ]
    result = {
        "textbook_images_per_s": old,
        "images_per_s": speed,
        "speed_ratio": speed / old,
        "step_ms": 1000 * BATCH / speed,
        "step_ratio_beside_one_busy_process": speed / median("beside", "images_per_s"),
        "threads_chosen": found["ours"][0]["threads"],
        "share_of_sgemm": share / median("sgemm", "flops_per_s"),
        "sgemm_gflops": median("sgemm", "flops_per_s") / 1e9,
        "step_gflop": step_flops() / 1e9,
        "seconds_to_quality": median("quality", "seconds"),
        "textbook_seconds": textbook_seconds,
        "time_to_quality_ratio": statistics.median(ratios),
        "quality": QUALITY,
        "test_mse": max(t["test_mse"] for t in tries),
        "quality_reached": all(t["test_mse"] <= QUALITY for t in tries),
        "epochs_to_quality": tries[0]["epochs"],
        "loops": found,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if options.table:
        rows = [(name, f"{value:.4g}" if isinstance(value, float) else value) for name, value in result.items()]
        with TABLE.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([("figure", "value"), *rows[:-1]])  # without the loops
    print(f"{'':<12}{'images/s':>12}{'outside the step':>20}{'memory':>10}")
    for name in loops[:-2]:
        outside = median(name, "outside_step")
        shown = "–" if math.isnan(outside) else f"{outside:.0%}"
        print(f"{name:<12}{median(name, 'images_per_s'):>12.0f}{shown:>20}{median(name, 'memory_gb'):>7.2f} GB")
    print(f"ours / textbook: {speed / old:.1f} times the images per second")
    slower = result["step_ratio_beside_one_busy_process"]
    print(f"a step takes {result['step_ms']:.1f} ms, beside one busy process {slower:.2f} times as long")
    print(f"sgemm: {result['sgemm_gflops']:.0f} GFLOP/s; ours uses {result['share_of_sgemm']:.0%} of that rate")
    reached = "reached" if result["quality_reached"] else "NOT reached"
    print(f"test MSE {QUALITY}: {reached} ({result['test_mse']:.5f} at worst) in {result['seconds_to_quality']:.0f} s;")
    shown = f"{result['time_to_quality_ratio']:.0f} times as long (each round: {', '.join(f'{r:.0f}' for r in ratios)})"
    print(f"{TEXTBOOK_EPOCHS} textbook epochs take {textbook_seconds:.0f} s, {shown}")
    print(f"written to {options.out}")


if __name__ == "__main__":
    main()
