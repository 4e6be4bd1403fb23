"""`python -m trainwright`, and `torchrun -m trainwright`: the command line."""

from trainwright.cli.main import run

run()
