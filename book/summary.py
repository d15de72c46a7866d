"""The closing lines of `make report`: what was made, where it is, and the run's main figures."""

import json
import sys
from pathlib import Path

HEADLINES = [  # key in metrics.json, what it is, decimals
    ("test_mse", "test MSE", 5),
    ("pca_test_mse", "test MSE of PCA with as many numbers", 5),
    ("test_psnr", "PSNR in dB", 2),
    ("test_ssim", "SSIM", 3),
    ("knn_accuracy", "k-NN accuracy of the codes", 4),
]


def main(run: Path, book: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    for key, name, digits in HEADLINES:
        if key in metrics:
            print(f"  {name:<38} {metrics[key]:.{digits}f}")
    verdicts = metrics["verdicts"]
    print(f"  {'claims that hold':<38} {sum(v['holds'] for v in verdicts)} of {len(verdicts)}")
    print(f"the run is in {run}, its figures in {run / 'metrics.json'}")
    print(f"the book is ready: {book.resolve()}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
