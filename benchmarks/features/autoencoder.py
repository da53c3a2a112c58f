"""Train the autoencoder of CIFAR-10 whose weights ship with genbench.

    pip install -e '.[dev]'
    OMP_NUM_THREADS=1 python benchmarks/features/autoencoder.py ARCHIVE --to FOLDER

ARCHIVE has the images as train|test/CLASS/NAME; the shipped weights learned a JPEG re-encoding of CIFAR-10. FOLDER gets
checkpoints, from which the same command resumes, and `cifar10-8x8x8.safetensors` with the weights in half precision and
the constants of the latents. Prints the PSNR on test images and the sha256 of the file, which belongs in
genbench/models/latent/autoencoder.py. Training is seeded and uses one thread. Another processor or version of
torch may round differently and give other weights. In that case, raise the version of the encoder, and repeat the
measurements of the tables that use it.
"""

import argparse
import hashlib
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from genbench.core import Data
from genbench.data.images import cifar10
from genbench.models.latent.autoencoder import NAME, SIZES, Autoencoder, Reconstruction
from genbench.seeds import derive
from genbench.training.loop import fit
from genbench.training.plan import Plan
from genbench.training.process_group import start_group

KL = 5e-3
"""Half of the default weight of the divergence, because there are twice as many latents."""


def trained(data: Data, folder: Path, steps: int) -> Autoencoder:
    """Train the autoencoder, and return it as it is stored: weights in half precision, constants measured with them."""
    plan = Plan(
        steps=steps,
        batch_size=32,
        lr=2e-3,
        schedule="cosine",
        warmup=100,
        clip=1.0,
        weight_decay=0.0,
        precision="bf16",
    )
    torch.manual_seed(derive(0, NAME))
    net = Autoencoder(data.event, **SIZES)
    fit(
        Reconstruction(net, KL),
        data,
        plan,
        start_group("cpu"),
        seed=0,
        folders=[folder],
        run=f"{NAME}, {steps} steps",
        progress=[lambda step, steps, logs: print(f"{step}/{steps} {logs}", flush=True)],
    )
    net.half().float().eval()
    net.calibrate(data)
    return net


@torch.no_grad()
def psnr(net: Autoencoder, data: Data) -> float:
    """Return the peak signal-to-noise ratio of all reconstructed test images together, in dB."""
    x = data.test.take(data.test.size or 0, 0).x
    true, decoded = (data.space.decode(images).double() / 255 for images in (x, net.decode(net.encode(x))))
    return float(-10 * (true - decoded).square().mean().log10())


def stored(name: str, value: Tensor) -> Tensor:
    """Return a tensor as it is stored: constants keep their precision."""
    return value if name in ("shift", "scale") else value.half()


def main() -> None:
    """Train and store the autoencoder."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("archive", help="folder or tar archive of the images of CIFAR-10")
    parser.add_argument("--to", type=Path, required=True, help="folder of the weights and of checkpoints")
    parser.add_argument("--steps", type=int, default=4000, help="training steps of 32 images")
    arguments = parser.parse_args()
    arguments.to.mkdir(parents=True, exist_ok=True)
    data = cifar10(path=arguments.archive)
    net = trained(data, arguments.to, arguments.steps)
    content = safetensors.torch.save({name: stored(name, value) for name, value in net.state_dict().items()})
    (arguments.to / f"{NAME}.safetensors").write_bytes(content)
    print(f"PSNR {psnr(net, data):.2f} dB, {len(content)} bytes, sha256 {hashlib.sha256(content).hexdigest()}")


if __name__ == "__main__":
    main()
