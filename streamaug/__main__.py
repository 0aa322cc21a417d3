"""`python -m streamaug COMMAND`: the command line, where the script `streamaug` is not on the path."""

from streamaug.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
