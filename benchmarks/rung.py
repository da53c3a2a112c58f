"""Train the missing cells of a track at one budget, seed by seed over all methods, and publish them every minute.

    mkdir FOLDER; cp -rL results/latents-v1 FOLDER    # without the runs: published cells are not trained again
    python -m benchmarks.rung latents-v1 3000 --results FOLDER --set data.path=cifar10.tar.gz
    cp -r FOLDER/latents-v1/. results/latents-v1

The command stops and resumes like `genbench sweep`, and begins by publishing what a killed one has finished. The folder
`pictures` in FOLDER/TRACK has the first samples of one seed (--pictures SEED, by default 0). The published cells were
trained on the images that their records name: with other images, their records would leave the tables.
"""

import argparse
import time
from pathlib import Path

from benchmarks.ladder.images import save_strip, strip_path
from genbench.report.publish import publish_suite
from genbench.results.reader import RECORDS
from genbench.runs.record import identity, read_published
from genbench.runs.spec import Spec
from genbench.runs.store import Store, labels_of
from genbench.sweeps.executors import execute
from genbench.sweeps.jobs import JobEvent
from genbench.sweeps.set_options import parse_set_options
from genbench.sweeps.suite import Sweep, load

PAUSE = 60
"""Seconds between publications: the tables of a large track take longer to write than a small network to train."""


def missing(track: Sweep, steps: int, store: Store) -> list[Spec]:
    """Return the cells of a budget and the cells without training that have neither a saved nor a published record."""
    path = store.root / track.name / RECORDS
    records = read_published(path) if path.exists() else []
    published = {identity(record) for record in records if "failure" not in record}
    cells = []
    for spec in track.specs:
        labels = labels_of(spec)
        done = (labels["run"], labels["evaluation"]) in published or store.is_complete(spec, store.record(spec))
        if spec.plan["steps"] in (0, steps) and not done:
            cells.append(spec)
    return sorted(cells, key=lambda spec: spec.seed)


def main() -> None:
    """Train and publish."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("track")
    parser.add_argument("steps", type=int)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--pictures", type=int, default=0, metavar="SEED")
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="SECTION.NAME=VALUE")
    arguments = parser.parse_args()
    track, store = load(arguments.track, parse_set_options(arguments.settings)), Store(arguments.results)
    latest = time.monotonic()
    cells = missing(track, arguments.steps, store)
    print(f"{len(cells)} cells to train", flush=True)

    def publish() -> None:
        nonlocal latest
        publish_suite(track.name, track.specs, store, places=track.places)
        for spec in track.specs:
            if spec.seed == arguments.pictures and store.record_path(spec).exists():
                path = strip_path(store.root / track.name, store.folder(spec).name)
                save_strip(store.record_path(spec).parent, path, spec)
        latest = time.monotonic()

    def on_event(event: JobEvent) -> None:
        if event.kind in ("done", "failed"):
            spec = cells[event.cell]
            what = f"{spec.model_label} on {spec.data_label}, seed {spec.seed}"
            print(f"{time.ctime()}: {what}: {event.kind} {event.message}", flush=True)
            if time.monotonic() - latest > PAUSE:
                publish()

    if any(store.record_path(spec).exists() for spec in track.specs):
        publish()  # what a command that was killed has finished
    execute(cells, store, 1, on_event)
    if cells:
        publish()


if __name__ == "__main__":
    main()
