"""``python -m t2app``: the command line."""

from t2app.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
