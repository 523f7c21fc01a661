"""The data plane under test, as a Python suite meets it: where it is, how it is changed, what it should answer."""

import json
import os
import urllib.request

PLANE = json.loads(os.environ["PLANE"])
ADDRESS, TOKEN, FORBIDDEN, FLAGD = PLANE["address"], PLANE["token"], PLANE["forbidden"], PLANE.get("flagd")


def model():
    """The model the plane was started with: a fresh copy each time."""
    with open(os.environ["PLANE_MODEL"], encoding="utf-8") as file:
        return json.load(file)


def post(path, body=None):
    data = b"" if body is None else json.dumps(body).encode()
    request = urllib.request.Request(PLANE["control"] + path, data, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        text = response.read()
    return json.loads(text) if text else None


def change(new):
    """Publishes another model; the plane serves it when this returns."""
    post("/change", new)


def evaluate(callers):
    """What the library answers, past any wire: for each context {feature: {value, variant, reason}}."""
    return post("/evaluate", {"callers": callers})


def capabilities():
    """Where each feature can be evaluated: {feature: {protocol: "locally" | "remotely"}}."""
    return post("/capabilities")


    """What becomes of each feature on each protocol."""
    return post("/capabilities")


def report():
    """What becomes of each feature on each protocol."""
    return post("/report")


def usage():
    """Counts of evaluations that were not taken yet: {feature: {variant: count}}."""
    return post("/usage")


def people(count):
    """Contexts of people who differ in all that the model asks about."""
    for n in range(count):
        domain = "example.com" if n % 5 == 0 else "example.org"
        person = {"targetingKey": f"user-{n}", "plan": "gold" if n % 3 == 0 else "basic", "email": f"user-{n}@{domain}"}
        if n % 4 != 0:
            person["seats"] = n % 20
        if n % 6 == 0:
            person["version"] = "1.9.0" if n % 12 == 0 else "2.0.1"
        if n % 7 != 0:
            person["address"] = f"10.0.{n % 3}.{n % 256}"
            person["remoteAddress"] = f"10.0.{n % 4}.{n % 9}"
        person["currentTime"] = "2026-12-31T23:59:59Z" if n % 2 == 0 else "2027-01-01T00:00:01Z"
        yield person
