"""PyPI UnleashClient, unchanged: it evaluates by itself what it is handed, by polling and by a stream."""

import json
import logging
import tempfile
import time
import unittest

import plane
from connect import connect
from UnleashClient.utils import InstanceAllowType

KINDS = {"string": "string", "integer": "number", "float": "number", "object": "json"}
# without it each SDK would ask the clock
NOW = {"currentTime": "2026-12-31T23:59:59Z"}
logging.disable(logging.CRITICAL)


def context(person):
    """A context of OpenFeature's as one of Unleash's, which has some fields of its own and beside them text alone."""
    fields = {"targetingKey": "userId", "currentTime": "currentTime", "remoteAddress": "remoteAddress"}
    properties = {name: str(value) for name, value in person.items() if name not in fields}
    return {fields[name]: value for name, value in person.items() if name in fields} | {"properties": properties}


def said(feature, answer):
    """Whether a feature is on for an answer, and with which variant."""
    value, variant = answer["value"], answer["variant"]
    enabled = variant != feature["off"] and value is not False
    if not enabled or feature["type"] == "boolean":
        return enabled, "disabled", None
    kind = feature["type"]
    means = value if kind in ("string", "object") else json.dumps(value)
    return enabled, variant, {"type": KINDS[kind], "value": means}


def until(holds, patience=30):
    end = time.monotonic() + patience
    while not holds():
        if time.monotonic() > end:
            raise AssertionError("waited in vain")
        time.sleep(0.01)


class Client(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        options = {"refresh_interval": 1, "metrics_interval": 3600, "multiple_instance_mode": InstanceAllowType.SILENTLY_ALLOW}
        cls.clients = {
            mode: connect(plane.ADDRESS, plane.TOKEN, cache_directory=f"{cls.folder.name}/{mode}", experimental_mode={"type": mode}, **options)
            for mode in ("polling", "streaming")
        }
        for client in cls.clients.values():
            until(lambda: client.is_enabled("boolean"))
        features = plane.report()
        report = {key: next(said for said in protocols if said["protocol"] == "unleash") for key, protocols in features.items()}
        cls.local = sorted(key for key, capability in report.items() if capability["evaluated"] == "locally")

    @classmethod
    def tearDownClass(cls):
        for client in cls.clients.values():
            client.destroy()
        cls.folder.cleanup()

    def answers(self, client, key, asked):
        variant = client.get_variant(key, asked)
        self.assertEqual(client.is_enabled(key, asked), variant["feature_enabled"], key)
        payload = variant.get("payload")
        if payload and payload["type"] == "json":  # the order in an object means nothing
            payload = {**payload, "value": json.loads(payload["value"])}
        return variant["feature_enabled"], variant["name"], payload

    def test_it_is_handed_what_the_report_allows_and_nothing_else(self):
        for mode, client in self.clients.items():
            self.assertEqual(sorted(client.feature_definitions()), self.local, mode)

    def test_people_get_what_the_library_gives_them(self):
        features = plane.model()["features"]
        everyone = list(plane.people(10_000)) + [NOW, NOW | {"plan": "gold"}, NOW | {"plan": "gold", "seats": 12}]
        for n, (person, answers) in enumerate(zip(everyone, plane.evaluate(everyone))):
            asked = context(person)
            for key in self.local:
                self.assertEqual(self.answers(self.clients["polling"], key, asked), said(features[key], answers[key]), f"{key} for {person}")
                if n % 20 == 0:
                    self.assertEqual(self.answers(self.clients["streaming"], key, asked), said(features[key], answers[key]), f"{key} for {person}")

    def test_then_counts_arrive(self):
        options = {"metrics_interval": 3600, "multiple_instance_mode": InstanceAllowType.SILENTLY_ALLOW}
        client = connect(plane.ADDRESS, plane.TOKEN, cache_directory=f"{self.folder.name}/counts", **options)
        for key in ("boolean", "boolean", "held"):
            client.is_enabled(key)
        client.get_variant("string")
        client.destroy()
        self.assertEqual(plane.usage(), {"boolean": {"on": 2}, "held": {"off": 1}, "string": {"new": 1}})

    def test_then_a_change_arrives_and_a_restart_is_survived(self):
        new = plane.model()
        new["revision"] += 1
        new["features"]["boolean"]["default"] = "off"
        plane.change(new)
        for client in self.clients.values():
            until(lambda: not client.is_enabled("boolean"))
        plane.post("/stop")
        new["revision"] += 1
        new["features"]["boolean"]["default"] = "on"
        plane.change(new)
        self.assertTrue(self.clients["polling"].is_enabled("string"))
        plane.post("/start")
        for client in self.clients.values():
            until(lambda: client.is_enabled("boolean"))


if __name__ == "__main__":
    unittest.main()
