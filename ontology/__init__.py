"""Rows and rules of the six dimensions: no web framework, no HTTP client, no index, no model."""
