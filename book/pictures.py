"""The README's pictures, taken from the executed notebooks: `make pictures` after `make report`."""

import base64
import io
import sys
from pathlib import Path

import nbformat
from PIL import Image

PICTURES = {  # file of book/pictures/: notebook, figure
    "reconstructions.png": ("02_reconstruction", "fig-reconstruction-classes"),
    "latent-map.png": ("03_latent_projection", "fig-maps-codes"),
    "interpolation.png": ("04_interpolation", "fig-grid"),
}


def main(notebooks: Path, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for file, (name, figure) in PICTURES.items():
        cells = nbformat.read(notebooks / f"{name}.ipynb", as_version=4).cells
        outputs = [o for cell in cells for o in cell.get("outputs", []) if o.get("metadata", {}).get("report")]
        found = [o for o in outputs if o.metadata["report"].get("name") == figure]
        if not found:
            sys.exit(f"{name} has no figure {figure}; it has {[o.metadata['report'].get('name') for o in outputs]}")
        image = Image.open(io.BytesIO(base64.b64decode(found[0].data["image/png"]))).convert("RGB")
        image.thumbnail((1000, 2000))
        image.quantize(64).save(folder / file, optimize=True)
        print(f"made {folder / file}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(__file__).parent / "pictures")
