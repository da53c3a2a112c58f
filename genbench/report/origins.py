"""Origins: what every number of a model on a data set comes from, down to the command that makes it again."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genbench.errors import ConfigError
from genbench.report.suites import Kept
from genbench.report.tables import grouped
from genbench.runs.spec import restore
from genbench.sweeps.shell_commands import command


@dataclass(frozen=True)
class Origin:
    """Where the numbers of one model on one data set come from.

    Args:
        model: as tables call it.
        runs: each seed with the name of its run.
        facts: names and values, in the order of reading.
        command: the line of a shell that makes the first of the runs again; empty where there is none.
        spec: of the first of the runs, as JSON; the others differ in their seed.
    """

    model: str
    runs: tuple[tuple[int, str], ...]
    facts: tuple[tuple[str, str], ...]
    command: str
    spec: str


@dataclass(frozen=True)
class Origins:
    """The origins of all numbers of a data set."""

    data: str
    origins: tuple[Origin, ...]


def origins(data: str, runs: Sequence[Kept]) -> Origins:
    """Return where the numbers of a data set come from, one entry a model."""
    return Origins(data, tuple(_origin(model, of) for model, of in grouped(runs, lambda kept: kept.name).items()))


def _origin(model: str, runs: Sequence[Kept]) -> Origin:
    runs = sorted(runs, key=lambda kept: kept.seed)
    found = [kept.record["provenance"] for kept in runs]
    facts = [
        ("code", _distinct(_code(p.get("code", {})) for p in found)),
        ("sources", _distinct(_pairs(p.get("code", {}).get("sources", {})) for p in found)),
        ("data", _distinct(_data(p.get("data", {})) for p in found)),
        ("machine", _distinct(_machine(p.get("machine", {})) for p in found)),
        ("libraries", _distinct(_pairs(p.get("machine", {}).get("libraries", {})) for p in found)),
    ]
    gone = sum(kept.folder is None for kept in runs)
    if gone:
        which = "the runs are" if gone == len(runs) else f"{gone} of {len(runs)} runs are"
        facts.append(("kept", f"{which} not kept here: of them, what was published is all that is known"))
    spec = runs[0].record["spec"]
    return Origin(
        model,
        tuple((kept.seed, kept.record["labels"]["run"]) for kept in runs),
        tuple((name, text) for name, text in facts if text),
        _command(spec),
        json.dumps(spec, indent=1),
    )


def _command(spec: dict[str, Any]) -> str:
    try:
        return command(restore(spec), Path("results"))
    except ConfigError:
        return ""


def _distinct(texts: Iterable[str]) -> str:
    return "; or ".join(dict.fromkeys(text for text in texts if text))


def _pairs(parts: dict[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in parts.items() if value)


def _code(code: dict[str, Any]) -> str:
    if not code.get("genbench"):
        return ""
    commit = f", commit {code['commit'][:12]}" if code.get("commit") else ""
    return f"genbench {code['genbench']}{commit}{' with changes that were not committed' if code.get('dirty') else ''}"


def _data(data: dict[str, Any]) -> str:
    parts = [str(data["source"])] if data.get("source") else []
    parts += [f"{name} {value}" for name, value in data.items() if name not in ("source", "original")]
    if data.get("original") is False:
        parts.append("NOT the checksummed original")
    return ", ".join(parts)


def _machine(machine: dict[str, Any]) -> str:
    if "python" not in machine:
        return f"unknown, {machine['device']}" if machine.get("device") else ""
    where = f"{machine['system']} on {machine['machine']}, {machine['processor']}, {machine['cores']} cores"
    return f"{where}, {machine['device']}, Python {machine['python']}"
