//! Answers by gRPC: every type, every error, and who may ask.

use std::collections::HashMap;

use greenroom_delivery::Counted;
use greenroom_delivery::flagd::Admission;
use greenroom_delivery::flagd::message::{AnyValue, Ask, AskAll, BooleanReply, FloatReply, IntegerReply, ObjectReply, ReplyToAll, StringReply};
use serde_json::{Value, json};
use tonic::Code;

use super::{ask, call, fields, ports, ports_of};
use crate::limits;

const BOOLEAN: &str = "/flagd.evaluation.v1.Service/ResolveBoolean";
const STRING: &str = "/flagd.evaluation.v1.Service/ResolveString";
const INTEGER: &str = "/flagd.evaluation.v1.Service/ResolveInt";
const FLOAT: &str = "/flagd.evaluation.v1.Service/ResolveFloat";
const OBJECT: &str = "/flagd.evaluation.v1.Service/ResolveObject";
const ALL: &str = "/flagd.evaluation.v1.Service/ResolveAll";

async fn boolean(key: &str, context: Value) -> Result<BooleanReply, Code> {
    call(&ports().evaluation, BOOLEAN, ask(key, &context), &[]).await.map_err(|status| status.code())
}

#[tokio::test]
async fn every_type_is_answered_in_both_versions() {
    let port = ports().evaluation;
    let nobody = json!({});
    let reply: BooleanReply = call(&port, BOOLEAN, ask("plain", &nobody), &[]).await.unwrap();
    assert_eq!((reply.value, reply.variant.as_deref(), reply.reason.as_str()), (Some(true), Some("on"), "STATIC"));
    assert_eq!(fields(reply.metadata.as_ref()), json!({"flagSetId": "production", "version": "41", "revision": 41}));
    let reply: StringReply = call(&port, STRING, ask("greeting", &nobody), &[]).await.unwrap();
    assert_eq!(reply.value.as_deref(), Some("say \"hi\""));
    let reply: IntegerReply = call(&port, INTEGER, ask("limit", &nobody), &[]).await.unwrap();
    assert_eq!(reply.value, Some(10));
    for (key, expected) in [("ratio", 10.0), ("limit", 10.0)] {
        let reply: FloatReply = call(&port, FLOAT, ask(key, &nobody), &[]).await.unwrap();
        assert_eq!(reply.value, Some(expected), "{key}");
    }
    let reply: ObjectReply = call(&port, OBJECT, ask("theme", &nobody), &[]).await.unwrap();
    assert_eq!(fields(reply.value.as_ref()), json!({"dark": true}));

    let reply: BooleanReply = call(&port, "/flagd.evaluation.v2.Service/ResolveBoolean", ask("held", &nobody), &[]).await.unwrap();
    assert_eq!((reply.value, reply.variant.as_deref(), reply.reason.as_str()), (Some(false), Some("off"), "DISABLED"));
    let metadata = fields(reply.metadata.as_ref());
    assert_eq!((&metadata["release"], &metadata["blocked_by"]), (&json!("autumn"), &json!("need:tax>=1.4")));
    let reply: IntegerReply = call(&port, "/flagd.evaluation.v2.Service/ResolveInt", ask("limit", &nobody), &[]).await.unwrap();
    assert_eq!(reply.value, Some(10));
}

#[tokio::test]
async fn the_context_counts() {
    for (plan, expected) in [(json!("gold"), true), (json!("basic"), false), (json!(7), false), (json!(null), false), (json!(["gold"]), false)] {
        let reply = boolean("shop/new-checkout", json!({"targetingKey": "ann", "plan": plan})).await.unwrap();
        assert_eq!(reply.value, Some(expected), "{plan}");
    }
    let reply = boolean("shop/new-checkout", json!({"plan": "gold"})).await.unwrap();
    assert_eq!((reply.reason.as_str(), &fields(reply.metadata.as_ref())["rule"]), ("TARGETING_MATCH", &json!("rule")));
    assert_eq!(boolean("share", json!({"targetingKey": "user-1"})).await.unwrap().reason, "SPLIT");
    // Python sends an absent key so
    assert_eq!(boolean("plain", json!({"targetingKey": null})).await.unwrap().value, Some(true));
    let nothing = Ask { flag_key: "plain".to_owned(), context: None };
    let reply: BooleanReply = call(&ports().evaluation, BOOLEAN, nothing, &[]).await.unwrap();
    assert_eq!(reply.value, Some(true));
}

#[tokio::test]
async fn every_error_by_the_code_that_providers_translate() {
    let failing = [
        ("nothing", json!({}), Code::NotFound),
        ("", json!({}), Code::NotFound),
        ("greeting", json!({}), Code::InvalidArgument),
        ("limit", json!({}), Code::InvalidArgument),
        ("broken", json!({}), Code::DataLoss),
        ("share", json!({"plan": "gold"}), Code::FailedPrecondition),
        ("plain", json!({"targetingKey": 7}), Code::FailedPrecondition),
        ("plain", json!({"seats": 9_007_199_254_740_994_u64}), Code::FailedPrecondition),
        ("plain", json!({"long": "x".repeat(5_000)}), Code::OutOfRange),
    ];
    for (key, context, code) in failing {
        assert_eq!(boolean(key, context).await.unwrap_err(), code, "{key}");
    }
    let mismatched = |path, key| async move { call::<Ask, BooleanReply>(&ports().evaluation, path, ask(key, &json!({})), &[]).await.unwrap_err() };
    for (path, key) in [(STRING, "plain"), (INTEGER, "ratio"), (INTEGER, "plain"), (FLOAT, "greeting"), (OBJECT, "limit"), (BOOLEAN, "theme")] {
        let status = mismatched(path, key).await;
        assert_eq!((status.code(), status.message().contains("is of type")), (Code::InvalidArgument, true), "{path} {key}");
    }
    let new = ports_of("new", Admission::Anyone, limits());
    let status = call::<Ask, BooleanReply>(&new.evaluation, BOOLEAN, ask("plain", &json!({})), &[]).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    let status = call::<Ask, BooleanReply>(&new.evaluation, "/flagd.evaluation.v2.Service/ResolveAll", ask("plain", &json!({})), &[]).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
}

#[tokio::test]
async fn all_at_once_leave_out_what_has_no_answer() {
    let context = |context: Value| AskAll { context: ask("", &context).context };
    let reply: ReplyToAll = call(&ports().evaluation, ALL, context(json!({})), &[]).await.unwrap();
    let keys: Vec<&str> = reply.flags.keys().map(String::as_str).collect();
    assert_eq!(keys, ["greeting", "held", "limit", "plain", "ratio", "shop/new-checkout", "theme"]);
    assert_eq!(reply.flags["limit"].value, Some(AnyValue::Double(10.0)));
    assert_eq!(reply.flags["greeting"].value, Some(AnyValue::String("say \"hi\"".to_owned())));
    assert_eq!(reply.flags["held"].value, Some(AnyValue::Boolean(false)));
    assert!(matches!(&reply.flags["theme"].value, Some(AnyValue::Object(theme)) if fields(Some(theme)) == json!({"dark": true})));
    assert_eq!(fields(reply.metadata.as_ref())["version"], "41");
    let reply: ReplyToAll = call(&ports().evaluation, ALL, context(json!({"targetingKey": "user-1"})), &[]).await.unwrap();
    assert_eq!(reply.flags["share"].reason, "SPLIT");
}

#[tokio::test]
async fn evaluations_are_counted_and_potential_ones_are_not() {
    let ports = ports();
    let shop = json!({"app.service": "shop-web", "app.version": "1.2.0"});
    for context in [&shop, &shop, &json!({}), &json!({"app.service": "shop-web"})] {
        let _: BooleanReply = call(&ports.evaluation, BOOLEAN, ask("plain", context), &[]).await.unwrap();
    }
    let _: ReplyToAll = call(&ports.evaluation, ALL, AskAll { context: None }, &[]).await.unwrap();
    call::<Ask, StringReply>(&ports.evaluation, STRING, ask("plain", &shop), &[]).await.unwrap_err();
    let counted = |build: Option<&str>| Counted { environment: "production".into(), feature: "plain".into(), variant: "on".into(), build: build.map(Into::into) };
    ports.usage.gather(&ports.feeds);
    assert_eq!(ports.usage.take(), HashMap::from([(counted(Some("shop-web@1.2.0")), 2), (counted(None), 2)]));
}

async fn admitted(admission: Admission, metadata: &[(&'static str, &'static str)]) -> Code {
    let ports = ports_of("production", admission, limits());
    call::<Ask, BooleanReply>(&ports.evaluation, BOOLEAN, ask("plain", &json!({})), metadata).await.map_or_else(|status| status.code(), |_| Code::Ok)
}

#[tokio::test]
async fn a_token_opens_its_own_environment_alone() {
    use Admission::{Anyone, ByToken};
    for (admission, token, code) in [
        (Anyone, None, Code::Ok),
        (ByToken, None, Code::Unauthenticated),
        (ByToken, Some("Bearer sdk-one"), Code::Ok),
        (Anyone, Some("Bearer sdk-one"), Code::Ok),
        (ByToken, Some("Bearer nobody"), Code::Unauthenticated),
        (Anyone, Some("Bearer nobody"), Code::Unauthenticated),
        (ByToken, Some("Bearer admin"), Code::PermissionDenied),
        (ByToken, Some("Bearer sdk-test"), Code::PermissionDenied),
        (Anyone, Some("Bearer sdk-test"), Code::PermissionDenied),
    ] {
        let metadata: Vec<_> = token.map(|token| ("authorization", token)).into_iter().collect();
        assert_eq!(admitted(admission, &metadata).await, code, "{admission:?} {token:?}");
    }
}

#[tokio::test]
async fn a_selector_may_name_the_environment_and_no_other() {
    for (selector, code) in [
        ("", Code::Ok),
        ("production", Code::Ok),
        ("flagSetId=production", Code::Ok),
        ("source=production", Code::Ok),
        ("test", Code::NotFound),
        ("flagSetId=test", Code::NotFound),
    ] {
        assert_eq!(admitted(Admission::Anyone, &[("flagd-selector", selector)]).await, code, "{selector}");
    }
}
