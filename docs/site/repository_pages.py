"""MkDocs hook: pages that live elsewhere in the repository (README, CONTRIBUTING, CHANGELOG, results/) join the site.

The pages are included, never copied. Their links are written for the repository: this hook points them to the pages on
the site, and turns links to files that are not part of the site into plain text.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "CONTRIBUTING.md", "CHANGELOG.md": "CHANGELOG.md"}
"""Pages at the root of the repository, and their place on the site."""
INCLUDED = ("results/*.md", "results/*/table.md", "results/*.csv", "results/*.json", "results/*.svg")
INCLUDED += ("results/*/samples.png", "results/*/pictures/*.png")

LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)#\s]+)(#[^)\s]*)?\)")
SOURCE = re.compile(r'(<(?:img|source)[^>]*? src(?:set)?=")([^":]+)(")')


def on_config(config: Any) -> None:
    """Put the results into the navigation: what was found first, then a table for every suite."""
    tables = [{path.parent.name: path.relative_to(ROOT).as_posix()} for path in sorted(ROOT.glob("results/*/table.md"))]
    others = {"Findings": "findings.md", "Rankings and budgets": "rankings.md", "Few steps": "few_steps.md"}
    others |= {"Does a short training predict a long one?": "cheap_predicts_dear.md"}
    others |= {"Couplings in 2D": "couplings.md", "Couplings in 8D and 50D": "couplings_dims.md"}
    others |= {"Couplings on digits": "couplings_digits.md", "Claims of the papers": "papers.md"}
    others |= {"Continuous conditions": "couplings_conditions.md"}
    others |= {"Plans of many points": "couplings_large.md", "Error budgets": "error_budget.md"}
    others |= {"CIFAR-10 latents and MNIST": "images.md", "Published differences": "claims.md"}
    others |= {"Calibration of metrics": "calibration.md", "Image metrics on real images": "image_metrics.md"}
    others |= {"Speed": "perf.md", "Scaling": "scaling.md", "Provenance": "provenance.md"}
    for item in config.nav:
        if "Results" in item:
            item["Results"] = ["results/README.md", *({title: f"results/{page}"} for title, page in others.items())]
            item["Results"].append({"Tables of the suites": tables})


def on_files(files: Files, config: Any) -> Files:
    """Add the pages, and the data files under results/ that they link to."""
    for path, place in PAGES.items():
        if (ROOT / path).exists():
            files.append(File.generated(config, place, abs_src_path=str(ROOT / path)))
    for path in sorted(path for pattern in INCLUDED for path in ROOT.glob(pattern)):
        files.append(File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Files) -> str:
    """Point the links of a page to the places of their targets on the site."""
    place = page.file.src_uri
    here = _in_repository(place)

    def follow(target: str) -> str | None:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(here), target))
        if path.startswith("docs/tutorials/"):
            path = path.removesuffix(".py") + ".md"
        published = path.replace("genbench/suites/", "results/")  # links of folders, which GitHub does not follow
        for known in (PAGES.get(path, path.removeprefix("docs/")), f"{path}/README.md", published):
            if known in files.src_uris:
                return posixpath.relpath(known, posixpath.dirname(place) or ".")
        return None if (ROOT / path).exists() else target

    def link(match: re.Match[str]) -> str:
        image, text, target, anchor = match.groups()
        if ":" in target:
            return match[0]
        to = follow(target)
        return text if to is None else f"{image}[{text}]({to}{anchor or ''})"

    def source(match: re.Match[str]) -> str:
        return f"{match[1]}{follow(match[2]) or match[2]}{match[3]}"

    parts = re.split(r"(```.*?```)", markdown, flags=re.DOTALL)
    return "".join(part if part.startswith("```") else SOURCE.sub(source, LINK.sub(link, part)) for part in parts)


def _in_repository(place: str) -> str:
    """Return the path of a page in the repository, from its place on the site."""
    outside = {known: path for path, known in PAGES.items()}
    return outside.get(place, place if place.startswith("results/") else f"docs/{place}")
