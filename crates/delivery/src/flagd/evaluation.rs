//! `flagd.evaluation.v1.Service` and its second version: answers, one by one or all at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use greenroom_exposure::model::ValueType;
use greenroom_exposure::{Answer, Snapshot};
use http::header::{self, HeaderValue};
use http::{Method, Request};
use tonic::Status;

use super::message::{AnyFlag, AnyValue, Ask, AskAll, BooleanReply, FloatReply, IntegerReply, ObjectReply, Reply, ReplyToAll, StringReply, Why};
use super::value::{Caller, Struct};
use super::{Flagd, call, events, unimplemented};
use crate::ofrep::reply::{preflight, with};

/// What pages may send: Connect has headers of its own.
const ALLOWED: HeaderValue = HeaderValue::from_static("Authorization, X-API-Key, Content-Type, Flagd-Selector, Connect-Protocol-Version, Connect-Timeout-Ms, X-User-Agent");

impl Flagd {
    /// For the port that providers call "rpc", 8013 by custom; also as JSON over plain HTTP.
    pub fn evaluation(self: &Arc<Self>) -> Router {
        let mut router = Router::new();
        for version in ["v1", "v2"] {
            let path = |method: &str| format!("/flagd.evaluation.{version}.Service/{method}");
            router = router
                .route(&path("ResolveBoolean"), post(resolve::<BooleanReply>).options(open_to_pages))
                .route(&path("ResolveString"), post(resolve::<StringReply>).options(open_to_pages))
                .route(&path("ResolveInt"), post(resolve::<IntegerReply>).options(open_to_pages))
                .route(&path("ResolveFloat"), post(resolve::<FloatReply>).options(open_to_pages))
                .route(&path("ResolveObject"), post(resolve::<ObjectReply>).options(open_to_pages))
                .route(&path("EventStream"), post(events::open).options(open_to_pages));
        }
        // the second version has no such method
        router.route("/flagd.evaluation.v1.Service/ResolveAll", post(resolve_all).options(open_to_pages)).fallback(unimplemented).with_state(Arc::clone(self))
    }

    fn answer<R: Reply>(&self, ask: &Ask, caller: &Caller) -> Result<R, Status> {
        let published = self.published()?;
        let (snapshot, key) = (published.snapshot(), ask.flag_key.as_str());
        let not_found = || Status::not_found(format!("there is no feature `{key}` in environment `{}`", self.environment));
        let of = snapshot.value_type(key).ok_or_else(not_found)?;
        let answer = snapshot.evaluate(key, caller);
        let answer = answer.ok_or_else(|| Status::data_loss("the feature has no variant that could be served: correct its definition"))?;
        if answer.needs_targeting_key() {
            return Err(Status::failed_precondition("the answer depends on `targetingKey`, and the context has none"));
        }
        let reply = R::new(of, answer.value(), why(snapshot, &answer)).ok_or_else(|| Status::invalid_argument(format!("`{key}` is of type {of}, not {}", R::ASKED)))?;
        self.plane.count(&self.environment, &published, &answer, caller);
        Ok(reply)
    }

    /// Who asks for all of them caches them, and has not met any yet; so nothing is counted.
    fn answer_all(&self, caller: &Caller) -> Result<ReplyToAll, Status> {
        let published = self.published()?;
        let snapshot = published.snapshot();
        let answers = snapshot.evaluate_all(caller).filter(|answer| !answer.needs_targeting_key());
        let flags: BTreeMap<String, AnyFlag> = answers.filter_map(|answer| Some((answer.key().to_owned(), any(snapshot, &answer)?))).collect();
        Ok(ReplyToAll { flags, metadata: Some(metadata(snapshot)) })
    }
}

async fn resolve<R: Reply>(State(flagd): State<Arc<Flagd>>, request: Request<Body>) -> Response {
    if let Err(status) = flagd.admit(request.headers()) {
        return call::refuse(request.headers(), status);
    }
    let answer = |mut ask: Ask| {
        let caller = Caller::new(ask.context.take())?;
        flagd.answer::<R>(&ask, &caller)
    };
    call::unary(request, flagd.plane.limits.body, answer).await
}

async fn resolve_all(State(flagd): State<Arc<Flagd>>, request: Request<Body>) -> Response {
    if let Err(status) = flagd.admit(request.headers()) {
        return call::refuse(request.headers(), status);
    }
    let answer = |ask: AskAll| flagd.answer_all(&Caller::new(ask.context)?);
    call::unary(request, flagd.plane.limits.body, answer).await
}

async fn open_to_pages(method: Method) -> Response {
    with(preflight(method).await, header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED)
}

fn any(snapshot: &Snapshot, answer: &Answer<'_>) -> Option<AnyFlag> {
    let value = match answer.value_type() {
        ValueType::Boolean => AnyValue::Boolean(answer.boolean()?),
        ValueType::String => AnyValue::String(answer.value().as_str()?.to_owned()),
        ValueType::Integer | ValueType::Float => AnyValue::Double(answer.value().as_f64()?),
        ValueType::Object => AnyValue::Object(answer.value().as_object()?.into()),
    };
    let Why { reason, variant, metadata } = why(snapshot, answer);
    Some(AnyFlag { reason, variant, value: Some(value), metadata: Some(metadata) })
}

fn why(snapshot: &Snapshot, answer: &Answer<'_>) -> Why {
    let mut metadata = metadata(snapshot);
    for (name, said) in [("rule", answer.rule()), ("release", answer.release()), ("blocked_by", answer.blocked_by())] {
        if let Some(said) = said {
            metadata.put(name, said);
        }
    }
    Why { reason: answer.reason().as_str().to_owned(), variant: answer.variant().to_owned(), metadata }
}

/// The same names as over OFREP.
fn metadata(snapshot: &Snapshot) -> Struct {
    let mut metadata = Struct::default();
    metadata.put("flagSetId", snapshot.environment());
    metadata.put("version", snapshot.revision().to_string().as_str());
    metadata.put("revision", snapshot.revision() as f64);
    metadata
}
