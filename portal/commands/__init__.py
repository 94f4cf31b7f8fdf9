"""The commands of `python -m portal`, one module each with `main(parsed) -> exit status`."""
