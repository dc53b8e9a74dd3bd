"""openapi.json, which says what the bridge serves."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from openapi_spec_validator import validate
from twisted.trial.unittest import SynchronousTestCase

from nodeset.web.api.batch import MAX_ITEMS
from nodeset.web.api.document import readDocument
from nodeset.web.api.wishes import MAX_KEY
from tests.webs import WebSite


def served(web: WebSite) -> set[tuple[str, str]]:
    """The methods with their addresses, what stands in braces left out."""
    door: Any = web.http.entrance
    return {(route.method.lower(), _shape(route.template)) for route in door.routes}


def described(document: dict[str, Any]) -> set[tuple[str, str]]:
    """The same, of a description."""
    methods = ("get", "put", "post", "delete", "patch")
    return {(name, _shape(path)) for path, item in document["paths"].items() for name in item if name in methods}


def _shape(template: str) -> str:
    return re.sub(r"\{\w+\}", "{}", template)


class DocumentTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.document: dict[str, Any] = msgspec.json.decode(readDocument())

    def test_valid(self) -> None:
        """It is OpenAPI."""
        validate(self.document)

    def test_routes(self) -> None:
        """It describes every address that is served, no other."""
        web = WebSite(self)
        self.assertEqual(served(web) ^ described(self.document), set())

    def test_served(self) -> None:
        """Everybody may read it."""
        web = WebSite(self)
        answer = web.ask("GET", "/openapi.json")
        self.assertEqual((answer.status, answer.json()), (200, self.document))
        self.assertEqual(web.ask("HEAD", "/openapi.json").headers["content-length"], str(len(readDocument())))

    def test_numbers(self) -> None:
        """Its limits are those of the code."""
        body = self.document["paths"]["/v1/events"]["post"]["requestBody"]["content"]["application/json"]["schema"]
        self.assertEqual(body["maxItems"], MAX_ITEMS)
        self.assertEqual(self.document["components"]["parameters"]["key"]["schema"]["maxLength"], MAX_KEY)
