"""What does ``python -m autointerp`` do? The same as the command ``autointerp``."""

from autointerp.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
