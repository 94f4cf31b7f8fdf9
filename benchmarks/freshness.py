"""How soon what was stored is found: from the answer that took a document until a search shows it first."""

import time

import httpx

from benchmarks.percentiles import Latencies, describe_latencies

DOCUMENTS = 20
FOUND_SECONDS_MAX = 30.0
PAUSE_SECONDS = 0.02
SUBJECTS = ("tariff", "warranty", "harvest", "timetable", "allergy")
NAMES = ("Ablehorn", "Brackwater", "Cindermoor", "Dunlow")


def measure_freshness(port: int, key: str) -> Latencies:
    """Of documents stored one after another, each about something else.

    Raises:
        TimeoutError: one is not found.
    """
    headers = {"Authorization": f"Bearer {key}"}
    seconds: list[float] = []
    with httpx.Client(base_url=f"http://127.0.0.1:{port}/v1/knowledge", headers=headers, timeout=30) as client:
        for number in range(DOCUMENTS):
            subject = f"{SUBJECTS[number % len(SUBJECTS)]} of {NAMES[number // len(SUBJECTS)]}"
            document = {"title": f"The {subject}", "text": f"All about the {subject}, as agreed.", "format": "text"}
            stored = client.post("/documents", json=document)
            stored.raise_for_status()
            seconds.append(_wait_until_found(client, f"what is the {subject}?", stored.json()["_id"]))
    return describe_latencies(seconds)


def _wait_until_found(client: httpx.Client, query: str, document_id: str) -> float:
    began = time.perf_counter()
    while (passed := time.perf_counter() - began) < FOUND_SECONDS_MAX:
        found = client.post("/search", json={"query": query, "limit": 1})
        found.raise_for_status()
        if [hit["documentId"] for hit in found.json()["data"]] == [document_id]:
            return time.perf_counter() - began
        time.sleep(PAUSE_SECONDS)
    raise TimeoutError(f"not found after {passed:.0f} s: {query}")
