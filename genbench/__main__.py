"""`python -m genbench`."""

from genbench.cli.main import main

main()
