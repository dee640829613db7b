"""`python -m unmasked`: the command line, for `torchrun -m unmasked`."""

from unmasked.cli import main

if __name__ == "__main__":
    main()
