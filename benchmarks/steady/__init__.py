"""A steady stream of requests for minutes: how late its answers are, whether any is lost, and whether memory stays."""
