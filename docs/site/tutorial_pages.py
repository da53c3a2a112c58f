"""MkDocs hook: tutorials are notebooks, executed while the site is built.

Their sources are Python files in the percent format of jupytext, so diffs and reviews look like any other code.
jupytext, nbclient and nbconvert turn them into Markdown, so that they look like every other page and need no scripts;
the executed notebook is offered beside the page. Outputs are never committed and so never outdated.
"""

import asyncio
import os
import re
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jupytext
import nbformat
from mkdocs.structure.files import File, Files
from nbclient import NotebookClient
from nbconvert import MarkdownExporter
from nbconvert.filters import strip_ansi

FOLDER = Path(__file__).parents[1] / "tutorials"
LOADED = "Download this page as an executed notebook: [{name}.ipynb]({name}.ipynb).\n"


def on_files(files: Files, config: Any) -> Files:
    """Execute every tutorial and add its page, its pictures and its notebook."""
    notebooks = {path.stem: jupytext.read(path) for path in sorted(FOLDER.glob("*.py"))}
    asyncio.run(_execute(notebooks.values()))
    for name, notebook in notebooks.items():
        text, resources = MarkdownExporter().from_notebook_node(notebook)
        for output, content in resources["outputs"].items():
            text = text.replace(f"({output})", f"({name}_{output})")
            files.append(File.generated(config, f"tutorials/{name}_{output}", content=content))
        text = re.sub(r"^```\w+\n%%bash\n", "```sh\n", text, flags=re.MULTILINE)
        page = f"{text}\n---\n\n{LOADED.format(name=name)}"
        files.append(File.generated(config, f"tutorials/{name}.md", content=page))
        files.append(File.generated(config, f"tutorials/{name}.ipynb", content=nbformat.writes(notebook)))
    return files


async def _execute(notebooks: Iterable[nbformat.NotebookNode]) -> None:
    """Execute notebooks side by side, each in an empty folder. A cell that fails ends the build."""
    # Shell cells find the `genbench` of this environment, whose output is as wide as a page, without colors and bars.
    os.environ |= {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "79"}
    os.environ |= {"TTY_COMPATIBLE": "0", "OMP_NUM_THREADS": "1"}
    with ExitStack() as stack:
        clients = [
            NotebookClient(
                notebook,
                timeout=600,
                coalesce_streams=True,
                extra_arguments=["--log-level=ERROR"],
                resources={"metadata": {"path": stack.enter_context(TemporaryDirectory())}},
            )
            for notebook in notebooks
        ]
        await asyncio.gather(*(client.async_execute() for client in clients))
    for output in (output for client in clients for cell in client.nb.cells for output in cell.get("outputs", [])):
        if output.output_type == "stream":
            output.text = strip_ansi(output.text)
