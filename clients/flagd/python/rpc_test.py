"""PyPI openfeature-provider-flagd, unchanged, through the OpenFeature Python SDK: one call per evaluation, and a stream that
says which cached answers to drop."""

import unittest
from concurrent.futures import ThreadPoolExecutor

import grpc
from openfeature import api
from openfeature.contrib.provider.flagd.config import CacheType
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEvent
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import Reason
from openfeature.schemas.protobuf.flagd.evaluation.v1 import evaluation_pb2 as v1, evaluation_pb2_grpc as v1_grpc
from openfeature.schemas.protobuf.flagd.evaluation.v2 import evaluation_pb2 as v2, evaluation_pb2_grpc as v2_grpc

import plane
from shared import ANN, Heard, ask, changed, connect, next_model, provider, types

PORT, CLOSED = plane.FLAGD["evaluation"], plane.FLAGD["closed"]["evaluation"]


class Rpc(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.client = connect("rpc", port=PORT, cache=CacheType.DISABLED)

    @classmethod
    def tearDownClass(cls):
        api.shutdown()

    def test_every_type_arrives_as_it_is(self):
        types(self, self.client)

    def test_an_answer_says_why(self):
        shown = self.client.get_boolean_details("shop/checkout/new", False, ANN)
        self.assertEqual((shown.value, shown.variant, shown.reason), (True, "on", Reason.TARGETING_MATCH))
        held = self.client.get_boolean_details("held", True, ANN)
        self.assertEqual((held.value, held.variant, held.reason), (False, "off", Reason.DISABLED))
        killed = self.client.get_string_details("killed", "x", ANN)
        self.assertEqual((killed.value, killed.variant), ("old", "off"))
        default = self.client.get_string_details("seats", "x", ANN)
        self.assertEqual((default.value, default.reason), ("none", Reason.DEFAULT))

    def test_another_context_another_answer(self):
        self.assertIs(self.client.get_boolean_value("shop/checkout/new", True, EvaluationContext("ann")), False)
        for seats, expected in ((10, "many"), (9.5, "few"), ("10", "few"), (None, "none")):
            context = EvaluationContext("ann", {"seats": seats})
            self.assertEqual(self.client.get_string_value("seats", "x", context), expected, seats)

    def test_every_error_by_its_code_and_the_default(self):
        elsewhere = connect("elsewhere", port=PORT, cache=CacheType.DISABLED, selector="flagSetId=production")
        self.assertIs(elsewhere.get_boolean_value("boolean", False, ANN), True)
        failing = (
            (ErrorCode.FLAG_NOT_FOUND, "nowhere", ANN),
            (ErrorCode.TYPE_MISMATCH, "string", ANN),
            (ErrorCode.TYPE_MISMATCH, "integer", ANN),
            (ErrorCode.PARSE_ERROR, "broken", ANN),
            (ErrorCode.GENERAL, "quarter", None),
            (ErrorCode.GENERAL, "boolean", EvaluationContext("ann", {"seats": 2**53 + 2})),
        )
        for code, key, context in failing:
            details = self.client.get_boolean_details(key, True, context)
            self.assertEqual((details.value, details.error_code, details.reason), (True, code, Reason.ERROR), key)
        mismatch = self.client.get_integer_details("float", 7, ANN)
        self.assertEqual((mismatch.value, mismatch.error_code), (7, ErrorCode.TYPE_MISMATCH))

    def test_a_port_for_tokens_lets_in_who_has_one(self):
        """Calls carry a token where the channel is private: here because it does not leave the machine."""

        def credentials(token):
            return grpc.composite_channel_credentials(grpc.local_channel_credentials(), grpc.access_token_call_credentials(token))

        client = connect("token", port=CLOSED, channel_credentials=credentials(plane.TOKEN))
        self.assertIs(client.get_boolean_value("boolean", False, ANN), True)
        for options in ({}, {"channel_credentials": credentials(plane.FORBIDDEN)}):
            refused = provider(port=CLOSED, fatal_status_codes=["UNAUTHENTICATED", "PERMISSION_DENIED"], **options)
            with self.assertRaises(Exception):
                refused.initialize(EvaluationContext())
            refused.shutdown()

    def test_the_messages_are_those_of_both_versions(self):
        with grpc.insecure_channel(f"127.0.0.1:{PORT}") as channel:
            for messages, service in ((v1, v1_grpc.ServiceStub(channel)), (v2, v2_grpc.ServiceStub(channel))):
                boolean = service.ResolveBoolean(messages.ResolveBooleanRequest(flag_key="held"))
                self.assertEqual((boolean.value, boolean.variant, boolean.metadata["blocked_by"]), (False, "off", "need:tax>=1.4"))
                string = service.ResolveString(messages.ResolveStringRequest(flag_key="killed"))
                self.assertEqual((string.value, string.reason), ("old", "DISABLED"))
                self.assertEqual(service.ResolveInt(messages.ResolveIntRequest(flag_key="integer")).value, 2**53 - 1)
                self.assertEqual(service.ResolveFloat(messages.ResolveFloatRequest(flag_key="float")).value, 0.25)
                self.assertEqual(service.ResolveObject(messages.ResolveObjectRequest(flag_key="object")).value["sizes"], [1, 2.5])
            self.assertTrue(boolean.HasField("value") and boolean.HasField("variant"))
            context = {"targetingKey": "ann", "plan": "gold"}
            request = v1.ResolveAllRequest()
            request.context.update(context)
            answered = v1_grpc.ServiceStub(channel).ResolveAll(request)
            (expected,) = plane.evaluate([context])
            values = {key: getattr(flag, flag.WhichOneof("value")) for key, flag in answered.flags.items()}
            self.assertEqual(dict(values.pop("object").items())["dark"], True)
            self.assertEqual(values, {key: answer["value"] for key, answer in expected.items() if key != "object"})
            self.assertEqual((answered.metadata["flagSetId"], answered.flags["colour"].reason), ("production", "SPLIT"))

    def test_10_000_people_get_what_the_library_gives_them(self):
        callers = list(plane.people(10_000))
        expected = plane.evaluate(callers)
        features = [key for key in expected[0] if key != "broken"]
        asking = provider(port=PORT, cache=CacheType.DISABLED)
        asking.initialize(EvaluationContext())

        def check(n):
            key = features[n % len(features)]
            wanted = expected[n][key]
            given = ask(asking, key, wanted["value"], callers[n])
            self.assertEqual((given.value, given.variant, given.reason), (wanted["value"], wanted["variant"], wanted["reason"]), f"{key} for user {n}")

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(check, range(len(callers))))
        asking.shutdown()

    def test_z_a_change_is_heard_and_a_restart_survived(self):
        client = connect("cached", port=PORT)
        client.get_boolean_value("boolean", True, ANN)
        self.assertEqual(client.get_boolean_details("boolean", False, ANN).reason, Reason.CACHED)
        heard = changed(client, "boolean")
        plane.change(next_model(42, boolean="off"))
        heard.wait()
        details = client.get_boolean_details("boolean", True, ANN)
        self.assertEqual((details.value, details.reason), (False, Reason.STATIC))

        lost = Heard(client, ProviderEvent.PROVIDER_STALE)
        plane.post("/stop")
        lost.wait()
        plane.change(next_model(43, boolean="on"))
        # the cache outlives the stream, so everything is named anew
        back = Heard(client, ProviderEvent.PROVIDER_CONFIGURATION_CHANGED)
        plane.post("/start")
        back.wait()
        details = client.get_boolean_details("boolean", False, ANN)
        self.assertEqual((details.value, details.reason), (True, Reason.STATIC))


if __name__ == "__main__":
    unittest.main()
