"""Many decisions of the rate limiter over HTTP, on several web processes, judged by the rule as it is written."""
