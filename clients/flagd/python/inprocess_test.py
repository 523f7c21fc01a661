"""PyPI openfeature-provider-flagd, unchanged, through the OpenFeature Python SDK: definitions are followed, and evaluated
here."""

import unittest

import grpc
from openfeature import api
from openfeature.contrib.provider.flagd.config import ResolverType
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEvent
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import Reason
from openfeature.schemas.protobuf.flagd.sync.v1 import sync_pb2, sync_pb2_grpc

import plane
from shared import ANN, Heard, ask, connect, next_model, provider, types

PORT, CLOSED = plane.FLAGD["sync"], plane.FLAGD["closed"]["sync"]
OPTIONS = {"port": PORT, "resolver_type": ResolverType.IN_PROCESS}


class InProcess(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.client = connect("in-process", **OPTIONS)

    @classmethod
    def tearDownClass(cls):
        api.shutdown()

    def test_every_type_arrives_as_it_is(self):
        types(self, self.client)

    def test_an_answer_says_which_revision_it_comes_from(self):
        shown = self.client.get_boolean_details("shop/checkout/new", False, ANN)
        self.assertEqual((shown.value, shown.variant, shown.reason), (True, "on", Reason.TARGETING_MATCH))
        self.assertEqual(dict(shown.flag_metadata), {"flagSetId": "production", "version": "41", "revision": 41})
        held = self.client.get_boolean_details("held", True, ANN)
        self.assertEqual((held.value, held.variant), (False, "off"))

    def test_every_error_by_its_code_and_the_default(self):
        # of the last four no provider would answer as we do, so they are not handed out
        failing = [(ErrorCode.FLAG_NOT_FOUND, "nowhere"), (ErrorCode.TYPE_MISMATCH, "string")]
        failing += [(ErrorCode.FLAG_NOT_FOUND, key) for key in ("quarter", "colour", "seats", "broken")]
        for code, key in failing:
            details = self.client.get_boolean_details(key, True, ANN)
            self.assertEqual((details.value, details.error_code, details.reason), (True, code, Reason.ERROR), key)

    def test_selectors_and_tokens(self):
        chosen = connect("chosen", selector="flagSetId=production", provider_id="shop-1", **OPTIONS)
        self.assertIs(chosen.get_boolean_value("boolean", False, ANN), True)

        def credentials(token):
            return grpc.composite_channel_credentials(grpc.local_channel_credentials(), grpc.access_token_call_credentials(token))

        options = {**OPTIONS, "port": CLOSED, "fatal_status_codes": ["UNAUTHENTICATED", "PERMISSION_DENIED", "NOT_FOUND"]}
        token = connect("token", channel_credentials=credentials(plane.TOKEN), **options)
        self.assertIs(token.get_boolean_value("boolean", False, ANN), True)
        # of a fatal answer to its other call this provider thinks nothing, and waits for ever
        options["sync_metadata_disabled"] = True
        for other in ({}, {"channel_credentials": credentials(plane.FORBIDDEN)}, {"port": PORT, "selector": "elsewhere"}):
            refused = provider(**{**options, **other})
            with self.assertRaises(Exception):
                refused.initialize(EvaluationContext())
            refused.shutdown()

    def test_the_messages_are_those_of_the_service(self):
        with grpc.insecure_channel(f"127.0.0.1:{PORT}") as channel:
            service = sync_pb2_grpc.FlagSyncServiceStub(channel)
            fetched = service.FetchAllFlags(sync_pb2.FetchAllFlagsRequest(provider_id="shop-1"))
            synced = next(iter(service.SyncFlags(sync_pb2.SyncFlagsRequest(provider_id="shop-1"))))
            self.assertEqual(fetched.flag_configuration, synced.flag_configuration)
            self.assertTrue(synced.HasField("sync_context"))
            self.assertTrue(service.GetMetadata(sync_pb2.GetMetadataRequest()).HasField("metadata"))

    def test_10_000_people_get_what_the_library_gives_them_of_every_feature_that_the_report_allows(self):
        callers = list(plane.people(10_000))
        expected = plane.evaluate(callers)
        report = plane.capabilities()
        features = [key for key, of in report.items() if of["flagd"] == "locally"]
        self.assertTrue(12 <= len(features) < len(report), features)
        evaluating = provider(**OPTIONS)
        evaluating.initialize(EvaluationContext())
        for n, caller in enumerate(callers):
            for key in features:
                wanted = expected[n][key]
                given = ask(evaluating, key, wanted["value"], caller)
                if (given.value, given.variant) != (wanted["value"], wanted["variant"]):
                    self.fail(f"{key} for user {n}: {given} instead of {wanted}")
        evaluating.shutdown()

    def test_z_a_change_is_heard_and_a_restart_survived(self):
        client = connect("followed", **OPTIONS)
        heard = Heard(client, ProviderEvent.PROVIDER_CONFIGURATION_CHANGED, lambda details: "boolean" in (details.flags_changed or []))
        plane.change(next_model(42, boolean="off"))
        heard.wait()
        details = client.get_boolean_details("boolean", True, ANN)
        self.assertEqual((details.value, details.flag_metadata["revision"]), (False, 42))

        lost = Heard(client, ProviderEvent.PROVIDER_STALE)
        plane.post("/stop")
        lost.wait()
        self.assertIs(client.get_boolean_value("boolean", True, ANN), False, "the last definitions go on")
        plane.change(next_model(43, boolean="on"))
        back = Heard(client, ProviderEvent.PROVIDER_CONFIGURATION_CHANGED)
        plane.post("/start")
        back.wait()
        self.assertIs(client.get_boolean_value("boolean", False, ANN), True)


if __name__ == "__main__":
    unittest.main()
