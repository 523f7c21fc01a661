"""PyPI openfeature-provider-ofrep, unchanged, through the OpenFeature Python SDK: one request per evaluation."""

import unittest
from concurrent.futures import ThreadPoolExecutor

from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import Reason

import plane
from connect import connect

ANN = EvaluationContext("ann", {"plan": "gold"})


class Provider(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.client = connect(plane.ADDRESS, plane.TOKEN)

    def test_every_type_arrives_as_it_is(self):
        client = self.client
        self.assertIs(client.get_boolean_value("boolean", False, ANN), True)
        self.assertEqual(client.get_string_value("string", "x", ANN), 'say "grüezi"\n')
        self.assertEqual(client.get_integer_value("integer", 1, ANN), 2**53 - 1)
        self.assertEqual(client.get_float_value("float", 1.0, ANN), 0.25)
        whole = client.get_float_details("whole-float", 1.0, ANN)
        self.assertEqual((whole.value, whole.error_code), (10.0, None))
        self.assertEqual(client.get_object_value("object", {}, ANN), {"dark": True, "sizes": [1, 2.5], "none": None})

    def test_an_answer_says_why(self):
        shown = self.client.get_boolean_details("shop/checkout/new", False, ANN)
        self.assertEqual((shown.value, shown.variant, shown.reason), (True, "on", Reason.TARGETING_MATCH))
        self.assertEqual((shown.flag_metadata["release"], shown.flag_metadata["rule"]), ("autumn", "autumn/1"))
        held = self.client.get_boolean_details("held", True, ANN)
        self.assertEqual((held.value, held.reason), (False, Reason.DISABLED))
        self.assertEqual(held.flag_metadata["blocked_by"], "need:tax>=1.4")
        default = self.client.get_string_details("seats", "x", ANN)
        self.assertEqual((default.value, default.reason), ("none", Reason.DEFAULT))

    def test_keys_with_slashes_colons_and_per_cent_signs(self):
        for key in ("shop/checkout/new", "shop%2Fcheckout%2Fnew", "shop:50%"):
            self.assertIs(self.client.get_boolean_value(key, False, ANN), True, key)

    def test_another_context_another_answer(self):
        self.assertIs(self.client.get_boolean_value("shop/checkout/new", True, EvaluationContext("ann")), False)
        for seats, expected in ((10, "many"), (9.5, "few"), ("10", "few"), (None, "none")):
            context = EvaluationContext("ann", {"seats": seats})
            self.assertEqual(self.client.get_string_value("seats", "x", context), expected, seats)

    def test_every_error_by_its_code_and_the_default(self):
        failing = (
            (ErrorCode.FLAG_NOT_FOUND, self.client, "nowhere", ANN),
            (ErrorCode.TARGETING_KEY_MISSING, self.client, "colour", EvaluationContext(None, {"plan": "gold"})),
            (ErrorCode.TARGETING_KEY_MISSING, self.client, "quarter", None),
            (ErrorCode.INVALID_CONTEXT, self.client, "boolean", EvaluationContext(7)),
            (ErrorCode.GENERAL, self.client, "broken", ANN),
            (ErrorCode.TYPE_MISMATCH, self.client, "string", ANN),
            (ErrorCode.GENERAL, connect(plane.ADDRESS, plane.TOKEN, "nobody", headers_factory=lambda: {}), "boolean", ANN),
            (ErrorCode.GENERAL, connect(plane.ADDRESS, "stranger", "stranger"), "boolean", ANN),
            (ErrorCode.GENERAL, connect(plane.ADDRESS, plane.FORBIDDEN, "forbidden"), "boolean", ANN),
        )
        for code, client, key, context in failing:
            details = client.get_boolean_details(key, True, context)
            self.assertEqual((details.value, details.error_code, details.reason), (True, code, Reason.ERROR), key)
            self.assertTrue(details.error_message, key)

    def test_a_key_in_x_api_key_opens_as_well(self):
        client = connect(plane.ADDRESS, plane.TOKEN, "api-key", headers_factory=lambda: {"X-API-Key": plane.TOKEN})
        self.assertIs(client.get_boolean_value("boolean", False, ANN), True)

    def test_people_get_what_the_library_gives_them(self):
        callers = list(plane.people(2_000))
        expected = plane.evaluate(callers)
        client = self.client
        ask = {
            bool: client.get_boolean_details,
            str: client.get_string_details,
            int: client.get_integer_details,
            float: client.get_float_details,
            dict: client.get_object_details,
        }
        features = [key for key in expected[0] if key != "broken"]

        def check(n):
            key = features[n % len(features)]
            wanted = expected[n][key]
            attributes = dict(callers[n])
            context = EvaluationContext(attributes.pop("targetingKey"), attributes)
            answer = ask[type(wanted["value"])](key, wanted["value"], context)
            given = {"value": answer.value, "variant": answer.variant, "reason": str(answer.reason)}
            return None if given == wanted else f"{key} for {context}: {given}, not {wanted}"

        with ThreadPoolExecutor(4) as pool:
            self.assertEqual([wrong for wrong in pool.map(check, range(len(callers))) if wrong], [])

    def test_then_a_change_counts_for_the_next_question_and_a_restart_is_survived(self):
        new = plane.model()
        new["revision"] += 1
        new["features"]["boolean"]["default"] = "off"
        plane.change(new)
        changed = self.client.get_boolean_details("boolean", True, ANN)
        self.assertEqual((changed.value, changed.flag_metadata["revision"]), (False, 42))
        plane.post("/stop")
        away = self.client.get_boolean_details("boolean", True, ANN)
        self.assertEqual((away.value, away.error_code), (True, ErrorCode.GENERAL))
        plane.post("/start")
        self.assertIs(self.client.get_boolean_value("boolean", True, ANN), False)


if __name__ == "__main__":
    unittest.main()
