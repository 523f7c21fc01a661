"""What we answer against the schemas of OFREP 0.3, with PyPI jsonschema."""

import json
import os
import unittest
import urllib.error
import urllib.request

from jsonschema import Draft202012Validator

import plane

FLAGS = f"{plane.ADDRESS}/ofrep/v1/evaluate/flags"

with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "ofrep-0.3.json"), encoding="utf-8") as file:
    SCHEMAS = json.load(file)


Draft202012Validator.check_schema(SCHEMAS)
VALIDATORS = {name: Draft202012Validator({**SCHEMAS, "$ref": f"#/$defs/{name}"}) for name in SCHEMAS["$defs"]}


def ask(url, body, token=plane.TOKEN):
    """Status, media type and body."""
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body.encode(), headers), timeout=10) as response:
            return response.status, response.headers["content-type"], response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers["content-type"], error.read()


class Answers(unittest.TestCase):
    def check(self, url, body, status, schema):
        given, kind, text = ask(url, body)
        self.assertEqual((given, kind), (status, "application/json"), text)
        answer = json.loads(text)
        VALIDATORS[schema].validate(answer)
        return answer

    def test_single_answers_of_every_feature(self):
        reasons = set()
        for n in range(40):
            caller = {"targetingKey": f"user-{n}", "plan": "gold" if n % 3 else "basic", "seats": n % 20, "email": f"user-{n}@example.{'com' if n % 5 else 'org'}"}
            for key in plane.model()["features"]:
                if key != "broken":
                    answer = self.check(f"{FLAGS}/{urllib.request.quote(key, safe='')}", json.dumps({"context": caller}), 200, "success")
                    # the schema lets both be absent, providers do not
                    self.assertTrue("value" in answer and "variant" in answer)
                    reasons.add(answer["reason"])
        self.assertEqual(reasons, {"STATIC", "TARGETING_MATCH", "SPLIT", "DISABLED", "DEFAULT"})

    def test_failures_of_one_feature(self):
        for key, body in (("broken", "{}"), ("colour", "{}"), ("boolean", "{"), ("boolean", '{"context":7}'), ("boolean", '{"context":{"targetingKey":7}}'), ("boolean", '{"context":{"seats":1e300}}')):
            self.check(f"{FLAGS}/{key}", body, 400, "failure")
        self.check(f"{FLAGS}/nowhere", "{}", 404, "notFound")

    def test_all_features_with_and_without_a_caller(self):
        for body in ("", "{}", '{"context":{"targetingKey":"ann","plan":"gold"}}'):
            answer = self.check(FLAGS, body, 200, "bulk")
            self.assertEqual(len(answer["eventStreams"]), 1)
        for body in ("{", '{"context":7}', '{"context":{"targetingKey":7}}'):
            self.check(FLAGS, body, 400, "bulkFailure")

    def test_who_may_not_ask_is_told_why(self):
        # the document gives these answers no body: what stands there has the form of its other errors
        for url in (FLAGS, f"{FLAGS}/boolean"):
            for token, status in ((None, 401), ("stranger", 401), (plane.FORBIDDEN, 403)):
                given, _, text = ask(url, "{}", token)
                self.assertEqual(given, status)
                VALIDATORS["general"].validate(json.loads(text))

    def test_errors_of_the_whole(self):
        self.check(FLAGS, json.dumps({"context": {"long": "x" * (1 << 20)}}), 413, "general")
        self.check(f"{FLAGS}?flagConfigEtag=99", "{}", 503, "general")

    def test_what_a_stream_announces(self):
        bulk = self.check(FLAGS, '{"context":{"targetingKey":"ann"}}', 200, "bulk")
        with urllib.request.urlopen(plane.ADDRESS + bulk["eventStreams"][0]["endpoint"]["requestUri"], timeout=10) as stream:
            self.assertTrue(stream.headers["content-type"].startswith("text/event-stream"))
            new = plane.model()
            new["revision"] += 1
            plane.change(new)
            said = next(line for line in stream if line.startswith(b"data:"))
        announcement = json.loads(said.removeprefix(b"data:"))
        VALIDATORS["announcement"].validate(announcement)
        self.assertEqual(announcement["etag"], "42")


if __name__ == "__main__":
    unittest.main()
