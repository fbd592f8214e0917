"""`python -m headroom.cli`: the command line where nothing of it was installed."""

from headroom.cli import main

main()
