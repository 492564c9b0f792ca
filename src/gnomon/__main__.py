"""`python -m gnomon`, which is how torchrun starts it."""

from gnomon.cli.main import main

if __name__ == "__main__":
    main()
