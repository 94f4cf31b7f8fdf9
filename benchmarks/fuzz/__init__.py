"""Generated cases against the running program, good ones and bad, judged by its OpenAPI document."""
