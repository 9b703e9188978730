"""`python -m tertia.cli`."""

from tertia.cli import main

main()
