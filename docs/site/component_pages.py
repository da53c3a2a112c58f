"""MkDocs hook: a page for every registered component, from its registry entry alone.

Sentences, references and settings come from the builder's docstring and signature, as `genbench show` prints them.
Formulas are in `formulas.toml`; pictures are drawn from the component itself.
"""

import html
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import component_pictures  # pyright: ignore[reportMissingImports]
import component_results  # pyright: ignore[reportMissingImports]
from mkdocs.structure.files import File, Files

from genbench.cli.descriptions import describe
from genbench.registry import ALL

TITLES = {
    "models": "Models",
    "couplings": "Couplings",
    "datasets": "Data sets",
    "metrics": "Metrics",
    "extractors": "Feature extractors",
    "nets": "Networks",
    "encoders": "Encoders",
    "texts": "Text encoders",
}
PREFIXES = {
    "model": "model",
    "coupling": "model.coupling",
    "sample": "sample",
    "data set": "data",
    "net": "model.net",
    "encoder": "model.encoder",
    "text encoder": "model.text",
}
assert set(TITLES) == set(ALL), "a kind of component has no pages"
NAMES = {kind: list(ALL[kind]) for kind in TITLES}
FORMULAS = tomllib.loads((Path(__file__).parent / "formulas.toml").read_text(encoding="utf-8"))


def on_config(config: Any) -> None:
    """Put the pages into the navigation."""
    kinds = [
        {title: [f"components/{kind}/index.md", *({name: f"components/{kind}/{name}.md"} for name in NAMES[kind])]}
        for kind, title in TITLES.items()
    ]
    for item in config.nav:
        if "Components" in item:
            item["Components"] = [{"Overview": "components/index.md"}, *kinds]


def on_files(files: Files, config: Any) -> Files:
    """Add the pages and their pictures."""

    def add(place: str, content: str | bytes) -> None:
        files.append(File.generated(config, place, content=content))

    counts = []
    for kind, title in TITLES.items():
        pictures = {
            name: picture for name in NAMES[kind] if (picture := component_pictures.draw(kind, name)) is not None
        }
        for name, picture in pictures.items():
            add(f"components/{kind}/{name}.png", picture)
        for name in NAMES[kind]:
            results = []
            if kind in RESULTS and (found := RESULTS[kind](name)) is not None:
                picture, caption = found
                add(f"components/{kind}/{name}-results.png", picture)
                results = [f"![{caption}]({name}-results.png)", "", caption, ""]
            results += component_results.standing(name) if kind == "models" else []
            add(f"components/{kind}/{name}.md", _page(kind, name, name in pictures, results))
        add(f"components/{kind}/index.md", _index(kind, title, list(pictures)))
        counts.append(f"| [{title}]({kind}/index.md) | {len(NAMES[kind])} | `genbench list {kind}` |")
    add("components/index.md", "\n".join([OVERVIEW, *counts, ""]))
    return files


RESULTS = {"models": component_results.drawn, "metrics": component_results.detection}
"""Pictures from published results, by kind."""

OVERVIEW = """# Components

Everything that a run names is a component: a builder whose keyword-only arguments are its settings. These pages are
made from the registry, so they say what the code does; `genbench show NAME` prints the same on a terminal. Components
of other packages appear in `genbench list` as soon as the package is installed.

| kind | number | on the command line |
|---|---|---|"""


def _index(kind: str, title: str, pictures: list[str]) -> str:
    lines = [f"# {title}", ""]
    if pictures:
        lines += ['<div class="pictures" markdown>', ""]
        lines += [f"[![{name}]({name}.png){{ width=180 }}]({name}.md)<br>`{name}`\n" for name in pictures]
        lines += ["</div>", ""]
    lines += ["| name | |", "|---|---|"]
    lines += [f"| [{name}]({name}.md) | {_cell(ALL[kind].summary(name))} |" for name in NAMES[kind]]
    return "\n".join([*lines, ""])


def _page(kind: str, name: str, picture: bool, results: list[str]) -> str:
    description = describe(name, ALL[kind])
    about, errors = _without_errors(description["about"])
    summary, _, rest = about.strip().partition("\n")
    lines = [f"# {name}", "", _plain(summary), ""]
    for formula in FORMULAS.get(kind, {}).get(name, "").splitlines():
        lines += [f"$${formula}$$", ""]
    if picture:
        lines += [f"![{component_pictures.CAPTIONS[kind]}]({name}.png){{ width=360 }}", ""]
        lines += [f"*{component_pictures.CAPTIONS[kind]}*", ""]
    lines += [_plain(rest.strip()), "", *_errors(errors), *results]
    for section, settings in description["settings"].items():
        lines += _settings(PREFIXES.get(section, f"metric.{name}"), settings)
    if usual := description.get("usual"):
        lines += _usual(usual)
    lines += [f"Version {description['version']}, from the package `{description['from']}`.", "", *_try(kind, name)]
    return "\n".join([*lines, ""])


def _without_errors(about: str) -> tuple[str, str]:
    """Split the Raises section off a docstring."""
    section = re.search(r"^Raises:\n((?:[ \t]+.*\n?)+)", about, re.MULTILINE)
    return (about.replace(section[0], ""), section[1]) if section else (about, "")


def _errors(text: str) -> list[str]:
    lines = re.findall(r"^\s+(\w+): (.*(?:\n\s{8,}.*)*)", text, re.MULTILINE)
    return [f"- Raises `{error}` {_cell(why)}" for error, why in lines] + [""] * bool(lines)


def _settings(prefix: str, settings: Mapping[str, Mapping[str, Any]]) -> list[str]:
    lines = [f"## Settings `{prefix}.*`", ""]
    if not settings:
        return [*lines, "None.", ""]
    lines += ["| setting | type | default | meaning |", "|---|---|---|---|"]
    for name, setting in settings.items():
        default = "required" if setting["required"] else f"`{_default(setting['default'])}`"
        lines.append(f"| `{name}` | {_cell(setting['type'])} | {default} | {_cell(setting['meaning'])} |")
    return [*lines, ""]


def _usual(usual: Mapping[str, Any]) -> list[str]:
    lines = ["## Defaults of this data set", ""]
    for section, values in usual.items():
        if section == "metrics":
            lines.append("- metrics: " + ", ".join(f"[{name}](../metrics/{name}.md)" for name in values))
        elif values:
            lines.append(f"- `{section}`: " + ", ".join(f"`{key}={value}`" for key, value in values.items()))
    return [*lines, ""]


def _try(kind: str, name: str) -> list[str]:
    command = {
        "models": f"genbench run --model {name} --dataset moons",
        "datasets": f"genbench run --model cfm --dataset {name}",
        "couplings": f"genbench run --model meanflow --dataset moons --set model.coupling={name}",
        "nets": f"genbench run --model cfm --dataset moons --set model.net={name}",
        "encoders": f"genbench run --model cfm --dataset digits --set model.encoder={name}",
        "texts": f"genbench run --model starflow --dataset digits-captions --set model.text={name}",
    }.get(kind, f"genbench show {name}")
    if kind == "metrics":
        command = f"genbench eval RUN --metric {name}"
    if kind == "nets" and name != "mlp":
        command = f"genbench run --model cfm --dataset digits --set model.net={name}"
    return ["```sh", command, "```"]


def _default(value: Any) -> str:
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def _cell(text: str) -> str:
    """Return text that a cell of a table can hold."""
    return _plain(text).replace("|", "&#124;").replace("\n", " ")


def _plain(text: str) -> str:
    """Return text without Markdown of its own, except for `code`."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else re.sub(r"([_*])", r"\\\1", html.escape(part)) for part in parts)
