"""What both modes of the provider are asked."""

import threading

from openfeature import api
from openfeature.contrib.provider.flagd import FlagdProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEvent

import plane

ANN = EvaluationContext("ann", {"plan": "gold"})


def provider(**options):
    return FlagdProvider(**{"host": "127.0.0.1", "deadline_ms": 5000, "retry_backoff_ms": 100, "retry_backoff_max_ms": 200, **options})


def connect(domain, **options):
    api.set_provider_and_wait(provider(**options), domain=domain)
    return api.get_client(domain)


class Heard:
    """Waits for an event of this kind that says what `holds`, from when it is made."""

    def __init__(self, client, kind, holds=lambda details: True):
        self.client, self.kind, self.holds, self.came = client, kind, holds, threading.Event()
        client.add_handler(kind, self.handle)

    def handle(self, details):
        if self.holds(details):
            self.came.set()

    def wait(self):
        try:
            if not self.came.wait(30):
                raise AssertionError(f"{self.kind} has not come")
        finally:
            self.client.remove_handler(self.kind, self.handle)


def changed(client, *keys):
    return Heard(client, ProviderEvent.PROVIDER_CONFIGURATION_CHANGED, lambda details: list(details.flags_changed or []) == list(keys))


def types(test, client):
    test.assertIs(client.get_boolean_value("boolean", False, ANN), True)
    test.assertEqual(client.get_string_value("string", "x", ANN), 'say "grüezi"\n')
    test.assertEqual(client.get_integer_value("integer", 1, ANN), 2**53 - 1)
    test.assertEqual(client.get_float_value("float", 1.0, ANN), 0.25)
    whole = client.get_float_details("whole-float", 1.0, ANN)
    test.assertEqual((whole.value, whole.error_code), (10.0, None))
    test.assertEqual(client.get_object_value("object", {}, ANN), {"dark": True, "sizes": [1, 2.5], "none": None})


ASK = {bool: "resolve_boolean_details", str: "resolve_string_details", int: "resolve_integer_details", float: "resolve_float_details", dict: "resolve_object_details"}
DEFAULT = {bool: False, str: "", int: 0, float: 0.0, dict: {}}


def ask(provider, key, like, caller):
    """One feature through the provider itself, by the type of the value `like`."""
    attributes = dict(caller)
    context = EvaluationContext(attributes.pop("targetingKey"), attributes)
    return getattr(provider, ASK[type(like)])(key, DEFAULT[type(like)], context)


def next_model(revision, **variants):
    """The model at a later revision, with other defaults."""
    new = plane.model()
    new["revision"] = revision
    for key, variant in variants.items():
        new["features"][key]["default"] = variant
    return new
