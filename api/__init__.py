"""The programs' door: the REST API under `/v1`."""
