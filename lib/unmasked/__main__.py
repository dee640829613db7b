"""`python -m unmasked`: the command line, for `torchrun -m unmasked`."""

from unmasked.cli import main

main()
