"""What to call next or for a task, with the search at work: below an answer in the explorer, and by the API."""

import json
import re
from typing import Any

import httpx
import pytest
from playwright.async_api import Browser, expect

from tests.browser import visit
from tests.parts import INDEXING_SECONDS, RunningPortal
from tests.program import eventually

pytestmark = pytest.mark.timeout(300 + INDEXING_SECONDS)
PATH = "/v1/knowledge/suggest"
PETS: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Zoo", "version": "1"},
    "paths": {
        "/animals": {
            "get": {"operationId": "listAnimals", "summary": "List animals", "responses": {}},
            "post": {"operationId": "adoptAnimal", "summary": "Adopt an animal", "responses": {}},
        },
        "/animals/{animalId}/meals": {
            "post": {
                "operationId": "feedAnimal",
                "summary": "Feed an animal",
                "parameters": [{"name": "animalId", "in": "path", "required": True, "schema": {"type": "string"}}],
                "responses": {},
            },
        },
    },
}


@pytest.fixture(scope="module")
def portal(running_portal: RunningPortal) -> RunningPortal:
    running_portal.wait_searchable()
    return running_portal


def _client(portal: RunningPortal) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {portal.register()['key']}"}
    return httpx.AsyncClient(base_url=portal.base_url, headers=headers, timeout=30)


async def test_the_explorer_shows_what_comes_next_and_offers_ids_of_ones_own(
    browser: Browser, portal: RunningPortal
) -> None:
    async with visit(browser, portal.base_url) as window:
        page = window.page
        await window.sign_up()
        await window.go("/reference/createEntity")
        await expect(page.locator("[data-next]")).to_be_empty()
        await page.get_by_role("button", name="Send").click()
        await expect(page.locator("[data-answer-status]")).to_have_text("201 Created")
        made = json.loads(await page.locator("[data-answer-body]").inner_text())
        rows = page.locator("[data-next] a")
        await expect(rows).to_have_count(3)
        assert str(await rows.first.get_attribute("href")).startswith("/reference/")
        # What the other tests' organisations called may have been learnt by now.
        await expect(page.locator("[data-next]")).to_contain_text(re.compile("related|others did next"))

        await page.evaluate("sessionStorage.clear()")
        await window.go("/reference/getEntity")
        field = page.get_by_label("entityId")
        await expect(field).to_have_attribute("list", "values-path-entityId")
        offered = await field.evaluate("field => [...field.list.options].map(row => [row.value, row.label])")
        assert offered == [[made["_id"], made["name"]]]
        assert await field.input_value() != made["_id"]


async def test_a_task_finds_operations_with_what_they_take(portal: RunningPortal) -> None:
    async with _client(portal) as client:
        answer = await client.post(PATH, json={"task": "rotate an API key", "limit": 3})
    found = answer.json()["data"]
    assert found[0]["operationId"] == "rotateApiKey" and found[0]["source"] == "meaning"
    assert {each["name"] for each in found[0]["parameters"]} >= {"keyId", "graceHours"}


async def test_operations_of_ones_own_specification_are_suggested_by_meaning(portal: RunningPortal) -> None:
    async with _client(portal) as client:
        new = {"title": "Zoo", "format": "openapi", "text": json.dumps(PETS)}
        specification = (await client.post("/v1/knowledge/documents", json=new)).json()["_id"]

        async def feeds() -> bool:
            asked = {"task": "give a lion its dinner", "specificationId": specification}
            found = (await client.post(PATH, json=asked)).json()["data"]
            return [each["operationId"] for each in found][:1] == ["feedAnimal"]

        await eventually(feeds)
        asked = {"context": ["adoptAnimal"], "specificationId": specification}
        found = (await client.post(PATH, json=asked)).json()
        assert found["context"] == ["adoptAnimal"]
        assert {each["operationId"] for each in found["data"]} == {"listAnimals", "feedAnimal"}
        feed = next(each for each in found["data"] if each["operationId"] == "feedAnimal")
        assert [(each["place"], each["name"]) for each in feed["parameters"]] == [("path", "animalId")]
        unknown = await client.post(PATH, json={"context": ["createEntity"], "specificationId": specification})
        assert unknown.json()["errors"][0]["location"] == "body.context[0]"
