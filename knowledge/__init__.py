"""Text in, ranked passages out: everything between a Markdown page and the hit that answers a question."""
