"""The command line: `python -m imports pictures data/mine`, which `make import` calls."""

import argparse
import signal
import sys

from cae_lib.config import check_names
from cae_lib.files import command, speak
from imports import import_images
from imports.sources import Options


@command
def main(argv: list[str] | None = None) -> int:
    made = argparse.ArgumentParser(
        prog="python -m imports", description="Make a report's dataset of one's own images.", allow_abbrev=False
    )
    made.add_argument("source", help="a folder of pictures (CLASS/*, or train/CLASS/* and test/CLASS/*), CSV, NPZ, …")
    made.add_argument("target", help="the folder to make, such as data/mine")
    made.add_argument("--size", help="pixels across, 8 to 64 (the images' own where they are squares, else 28)")
    made.add_argument("--fit", help="pad: the whole image on its border's colour; crop: the middle square (pad)")
    made.add_argument("--invert", action="store_true", help="turn dark on bright into bright on dark")
    made.add_argument("--transpose", action="store_true", help="exchange rows and columns, for EMNIST's own files")
    made.add_argument("--limit", help="at most so many images of each class and part (all)")
    made.add_argument("--test-share", help="of each class, where there are no test images (0.2)")
    made.add_argument("--seed", help="of what is drawn and mixed (42)")
    made.add_argument(
        "--labels", help="the labels' column (or first, last) or entry; or the names: a,b,c, or a text file"
    )
    made.add_argument("--drop-duplicates", action="store_true", help="leave out training images that are test images")
    made.add_argument("--dry-run", action="store_true", help="read and check everything, write nothing")
    options, unknown = made.parse_known_args(argv)
    options = vars(options)
    check_names([word.lstrip("-").replace("-", "_") for word in unknown], tuple(options))
    for number in (signal.SIGINT, signal.SIGTERM):  # what was begun is cleared away
        signal.signal(number, signal.default_int_handler)
    import_images(options.pop("source"), options.pop("target"), Options.of(options))
    return 0


if __name__ == "__main__":
    speak()
    sys.exit(main())
