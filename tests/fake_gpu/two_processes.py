"""One of two processes that share runs: `python -m fake_gpu.two_processes FOLDER`, with the variables of torchrun."""

import os
import sys
from pathlib import Path

from fake_gpu import device


def main(folder: Path) -> None:
    """Run all shared cases; the first process writes what they leave, or why they failed."""
    device.install()
    import numpy as np
    import torch

    from fake_gpu import proof
    from fake_gpu.trainings import shared_cases

    torch.set_num_threads(1)
    with proof.on("cuda"):
        for case in shared_cases():
            try:
                numbers = case.run_in(str(folder / case.name), "cuda")
            except Exception as error:
                (folder / f"{case.name}.txt").write_text(proof.reason(error), "utf-8")
                continue
            if os.environ["RANK"] == "0":
                np.savez(folder / f"{case.name}.npz", **numbers)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
