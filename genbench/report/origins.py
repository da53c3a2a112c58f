"""Origins: the code, data, machine and command behind the numbers of each model on a data set."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from genbench.analysis.values import by_model
from genbench.errors import ConfigError
from genbench.report.blocks import Origin, Origins
from genbench.results.reader import OTHER_RUNS, Run
from genbench.runs.make_spec import restore_spec
from genbench.suites import FOLDER
from genbench.sweeps.shell_commands import command


def origins(runs: Sequence[Run], suite: str) -> Origins:
    """Return the origins of all numbers of a suite on a data set, one entry per model."""
    return tuple(_origin(model, of_model, suite) for model, of_model in by_model(runs))


def _origin(model: str, runs: Sequence[Run], suite: str) -> Origin:
    runs = sorted(runs, key=lambda run: run.seed)
    provenances = [run.record["provenance"] for run in runs]
    measured = [measurement for p in provenances for measurement in p["measurements"]]
    made = [*(p["training"] for p in provenances), *measured, *(m["training"] for m in measured if "training" in m)]
    facts = {
        "code": _distinct(_code(origin["code"]) for origin in made),
        "data": _distinct(_data(p["data"]) for p in provenances),
        "machine": _distinct(_machine(origin["machine"]) for origin in made),
        "libraries": _distinct(_pairs(origin["machine"].get("libraries", {})) for origin in made),
    }
    absent = sum(run.folder is None for run in runs)
    if absent:
        number = "the runs are" if absent == len(runs) else f"{absent} of {len(runs)} runs are"
        facts["kept"] = f"{number} not kept here; only their published records are"
    spec = runs[0].record["spec"]
    return Origin(
        model,
        tuple((run.seed, run.record["labels"]["run"]) for run in runs),
        tuple((name, text) for name, text in facts.items() if text),
        _command(spec, suite),
        json.dumps(spec, indent=1),
    )


def _command(spec: Mapping[str, Any], suite: str) -> str:
    """Return the command that repeats a run; the sweep of the suite for one that is trained in an ensemble."""
    if spec.get("stack"):
        name = suite if (FOLDER / f"{suite}.toml").is_file() else f"{suite}.toml"
        return "" if suite == OTHER_RUNS else f"genbench sweep {name}"
    try:
        return command(restore_spec(spec))
    except ConfigError:
        return ""


def _distinct(texts: Iterable[str]) -> str:
    return "; or ".join(dict.fromkeys(text for text in texts if text))


def _pairs(parts: Mapping[str, str | None]) -> str:
    return ", ".join(f"{name} {value}" for name, value in parts.items() if value)


def _code(code: Mapping[str, Any]) -> str:
    if not code.get("genbench"):
        return ""
    commit = f", commit {code['commit'][:12]}" if code.get("commit") else ""
    return f"genbench {code['genbench']}{commit}{' with uncommitted changes' if code.get('dirty') else ''}"


def _data(data: Mapping[str, Any]) -> str:
    parts = [str(data["source"])] if data.get("source") else []
    parts += [f"{name} {value}" for name, value in data.items() if name not in ("source", "original")]
    if data.get("original") is False:
        parts.append("a file, not a published original")
    return ", ".join(parts)


def _machine(machine: Mapping[str, Any]) -> str:
    if "python" not in machine:
        return f"unknown, {machine['device']}" if machine.get("device") else ""
    system = f"{machine['system']} on {machine['machine']}, {machine['processor']}, {machine['cores']} cores"
    return f"{system}, {machine['device']}, Python {machine['python']}"
