"""`python -m limbeck` and `torchrun -m limbeck` are the command line."""

from limbeck.cli.main import run

if __name__ == "__main__":
    run()
