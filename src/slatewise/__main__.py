"""`python -m slatewise` is the command line."""

from slatewise.cli.main import main

if __name__ == "__main__":
    main()
