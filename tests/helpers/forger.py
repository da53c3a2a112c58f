"""Results folders that are changed by an author who knows how records and weights are sealed."""

import json
import shutil

from genbench.results.archive import zip_folder
from genbench.runs.make_spec import restore_spec
from genbench.runs.record import read_record
from genbench.runs.store import Store, labels_of, run_name
from genbench.runs.weights_file import WEIGHTS
from genbench.storage import tensors
from helpers.records import edit_record, main_row


class Forger:
    """Changes a results folder and seals records and weights again."""

    def __init__(self, root):
        self.store = Store(root)

    def record_of(self, model, seed):
        return next(p for p in self.store.record_paths() if p.parts[-3].startswith(f"{model}-moons-{seed}-"))

    def weights_of(self, model, seed):
        return self.record_of(model, seed).parents[1] / "model.safetensors"

    def set_value(self, path, metric, change, field="value"):
        def edit(record):
            row = main_row(record, metric)
            row[field] = change(row[field])

        edit_record(path, edit)

    def relabel(self, path, change):
        """Change the spec of a run in its record and its weights, and name all folders accordingly."""

        def edit(record):
            change(record["spec"])
            spec = restore_spec(record["spec"])
            record["labels"] = labels_of(spec)

        edit_record(path, edit)
        spec = restore_spec(read_record(path)["spec"])
        run = path.parents[1]
        state, header = tensors.load(run / "model.safetensors", WEIGHTS)
        tensors.save(
            run / "model.safetensors", state, {**header, "run": run_name(spec), "spec": json.dumps(spec.json())}
        )
        path.parent.rename(run / spec.evaluation_key)
        shutil.rmtree(run.parent / run_name(spec), ignore_errors=True)
        return run.rename(run.parent / run_name(spec))

    def put_weights(self, source, target):
        """Replace weights by those of another run, under the header of the replaced ones."""
        state, _ = tensors.load(source, WEIGHTS)
        _, header = tensors.load(target, WEIGHTS)
        header.pop("sha256", None)
        tensors.save(target, state, header)

    def submit(self, path):
        """Pack everything, whatever it holds."""
        zip_folder(self.store.root, path)
        return path
