"""`python -m pagetune` is the same as `pagetune`."""

from pagetune.cli.app import main

if __name__ == "__main__":
    main()
