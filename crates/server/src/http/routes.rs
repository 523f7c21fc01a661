//! The table of routes. A command's handler only turns the wire into a domain command and says how its answer looks;
//! everything else (who, once, when, durable) is the same for all and stands here.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State as Extract};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post, put};
use greenroom_access::{Action, Resource};
use greenroom_api::problem::Code;
use greenroom_api::{AFTER_HEADER, IDEMPOTENCY_HEADER, Problem, SEQ_HEADER, views};
use greenroom_domain::command::Command;
use greenroom_domain::state::Recorded;
use greenroom_ledger::Hash;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::body::Sent;
use super::{Api, Look, Refused, caller};
use crate::engine::{Beside, Caller, Key, Submission, now};

/// A read waits this long to catch up with `Greenroom-After`.
const CATCH_UP: std::time::Duration = std::time::Duration::from_secs(2);

/// What answers are in, unless said otherwise.
pub const JSON: &str = "application/json";
/// The stream of server-sent events.
pub const EVENT_STREAM: &str = "text/event-stream";

/// One row of the table.
pub struct Route {
    pub method: &'static str,
    pub path: &'static str,
    pub summary: &'static str,
    /// What must be allowed; empty for routes that anyone may call.
    pub action: &'static str,
    pub request: Option<fn(&mut SchemaGenerator) -> Schema>,
    pub response: fn(&mut SchemaGenerator) -> Schema,
    pub query: Option<fn(&mut SchemaGenerator) -> Schema>,
    /// What the answer may be, by media type, when it is not the JSON of `response` alone.
    pub media: &'static [&'static str],
}

/// Router and table, made together.
#[derive(Default)]
pub struct Routes {
    pub router: Router<Arc<Api>>,
    pub table: Vec<Route>,
}

/// The path as it was matched, if it was text.
type Parts = Result<Path<HashMap<String, String>>, axum::extract::rejection::PathRejection>;

fn params(parts: Parts) -> Result<Params, Problem> {
    parts.map(|Path(params)| Params(params)).map_err(|_| Problem::new(Code::Invalid, "the path is not UTF-8").detail("encode names in UTF-8, then percent-encode them"))
}

/// Parts of the path.
pub struct Params(HashMap<String, String>);

impl Params {
    /// A part of the path, parsed.
    ///
    /// # Errors
    /// `invalid` when it does not parse.
    pub fn get<T: std::str::FromStr<Err: std::fmt::Display>>(&self, name: &str) -> Result<T, Problem> {
        self.text(name).parse().map_err(|error: T::Err| Problem::new(Code::Invalid, error.to_string()).detail(format!("in the path, {name}")))
    }

    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }
}

/// What a handler of a command asks for.
pub struct Ask<R> {
    pub command: Command,
    pub needs: Vec<(Action, Resource)>,
    pub beside: Beside,
    /// What is found out before the command is decided, outside the writer; only for those who may give the command.
    pub before: Option<Before>,
    pub status: u16,
    pub view: View<R>,
}

/// A look at the world that a command's decision rests on.
pub type Before = Pin<Box<dyn Future<Output = Result<(), Problem>> + Send>>;

/// How a command's answer looks, from the state after it and the events it gave.
pub type View<R> = Box<dyn FnOnce(&Look<'_>, &[Recorded]) -> Result<R, Problem> + Send>;

impl<R> Ask<R> {
    pub fn new(action: Action, resource: Resource, command: Command, view: impl FnOnce(&Look<'_>, &[Recorded]) -> Result<R, Problem> + Send + 'static) -> Self {
        Self { command, needs: vec![(action, resource)], beside: Beside::default(), before: None, status: 200, view: Box::new(view) }
    }

    #[must_use]
    pub const fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }
}

/// What a handler sees beside path and body.
pub struct Asked<'a> {
    pub look: Look<'a>,
    pub caller: &'a Caller,
    pub api: &'a Api,
}

/// A read: what is asked, the path's parts, the query.
type Reads<Q, R> = fn(&Asked<'_>, &Params, Q) -> Result<R, Problem>;

/// A read that is allowed and has not been made yet.
struct Read<Q, R> {
    api: Arc<Api>,
    state: Arc<greenroom_domain::state::State>,
    caller: Caller,
    params: Params,
    query: Q,
    handler: Reads<Q, R>,
}

impl<Q, R: Serialize> Read<Q, R> {
    fn answer(self) -> Result<Response, Problem> {
        let Self { api, state, caller, params, query, handler } = self;
        let view = handler(&Asked { look: api.look(&state), caller: &caller, api: &api }, &params, query)?;
        Ok(json(200, &view, state.seq))
    }
}

impl Routes {
    /// A read of the state. `action` is what the caller must be allowed.
    pub fn read<Q, R>(self, path: &'static str, action: Action, summary: &'static str, handler: Reads<Q, R>) -> Self
    where
        Q: DeserializeOwned + JsonSchema + Send + 'static,
        R: Serialize + JsonSchema + 'static,
    {
        // a read may touch the ledger; other tasks go on meanwhile
        self.reads(path, action, summary, handler, |read| async { tokio::task::block_in_place(|| read.answer()) })
    }

    /// The same, of everything there is.
    pub fn survey<Q, R>(self, path: &'static str, action: Action, summary: &'static str, handler: Reads<Q, R>) -> Self
    where
        Q: DeserializeOwned + JsonSchema + Send + 'static,
        R: Serialize + JsonSchema + 'static,
    {
        self.reads(path, action, summary, handler, |read| async { Arc::clone(&read.api).surveys.run(|| read.answer()).await? })
    }

    fn reads<Q, R, F>(mut self, path: &'static str, action: Action, summary: &'static str, handler: Reads<Q, R>, run: fn(Read<Q, R>) -> F) -> Self
    where
        Q: DeserializeOwned + JsonSchema + Send + 'static,
        R: Serialize + JsonSchema + 'static,
        F: Future<Output = Result<Response, Problem>> + Send + 'static,
    {
        let serve = move |Extract(api): Extract<Arc<Api>>, path: Parts, RawQuery(query): RawQuery, headers: HeaderMap| async move {
            let answer = async {
                let params = params(path)?;
                catch_up(&api, &headers).await?;
                let state = api.engine.state.load_full();
                let caller = caller::caller(&state, &headers, now())?;
                allowed(&api, &state, &caller, action, &Resource::Any)?;
                let query = parse_query::<Q>(query.as_deref().unwrap_or(""))?;
                run(Read { api, state, caller, params, query, handler }).await
            };
            answer.await.unwrap_or_else(|problem| Refused(problem).into_response())
        };
        self.table.push(Route {
            method: "GET",
            path,
            summary,
            action: action.as_str(),
            request: None,
            response: |generator| generator.subschema_for::<R>(),
            query: Some(|generator| generator.subschema_for::<Q>()),
            media: &[JSON],
        });
        self.router = self.router.route(path, get(serve));
        self
    }

    /// A command. `action` stands in the table; what is really asked is in [`Ask::needs`].
    pub fn command<B, R>(
        mut self,
        method: &'static str,
        path: &'static str,
        action: &'static str,
        summary: &'static str,
        handler: fn(&Asked<'_>, &Params, B) -> Result<Ask<R>, Problem>,
    ) -> Self
    where
        B: DeserializeOwned + JsonSchema + Send + 'static,
        R: Serialize + JsonSchema + Send + 'static,
    {
        let attempts: Option<Action> = action.parse().ok();
        let serve = move |Extract(api): Extract<Arc<Api>>, parts: Parts, RawQuery(query): RawQuery, headers: HeaderMap, Sent(body): Sent| async move {
            let answer = async {
                let asked = Received { method, path, attempts, params: params(parts)?, query: query.as_deref().unwrap_or(""), headers: &headers };
                run_command(&api, asked, body, handler).await
            };
            answer.await.unwrap_or_else(|problem| Refused(problem).into_response())
        };
        let on: MethodRouter<Arc<Api>> = match method {
            "PUT" => put(serve),
            "DELETE" => delete(serve),
            _ => post(serve),
        };
        self.table.push(Route {
            method,
            path,
            summary,
            action,
            request: Some(|generator| generator.subschema_for::<B>()),
            response: |generator| generator.subschema_for::<R>(),
            query: None,
            media: &[JSON],
        });
        self.router = self.router.route(path, on);
        self
    }

    /// A route with its own handler, described here: a request's body, or a GET's query, and what it answers.
    pub fn other<B, R>(self, method: &'static str, path: &'static str, action: &'static str, summary: &'static str, on: MethodRouter<Arc<Api>>) -> Self
    where
        B: JsonSchema + 'static,
        R: JsonSchema + 'static,
    {
        self.other_in::<B, R>(method, path, action, summary, &[JSON], on)
    }

    /// The same, answering in other media types too.
    pub fn other_in<B, R>(
        mut self,
        method: &'static str,
        path: &'static str,
        action: &'static str,
        summary: &'static str,
        media: &'static [&'static str],
        on: MethodRouter<Arc<Api>>,
    ) -> Self
    where
        B: JsonSchema + 'static,
        R: JsonSchema + 'static,
    {
        let asks: fn(&mut SchemaGenerator) -> Schema = |generator| generator.subschema_for::<B>();
        self.table.push(Route {
            method,
            path,
            summary,
            action,
            request: (method != "GET").then_some(asks),
            response: |generator| generator.subschema_for::<R>(),
            query: (method == "GET").then_some(asks),
            media,
        });
        self.router = self.router.route(path, on);
        self
    }
}

/// A command as it came in.
struct Received<'a> {
    method: &'static str,
    /// The route's, not the request's.
    path: &'static str,
    /// What the route is for, where that is one action.
    attempts: Option<Action>,
    params: Params,
    query: &'a str,
    headers: &'a HeaderMap,
}

async fn run_command<B, R>(
    api: &Arc<Api>,
    received: Received<'_>,
    body: Result<Bytes, Problem>,
    handler: fn(&Asked<'_>, &Params, B) -> Result<Ask<R>, Problem>,
) -> Result<Response, Problem>
where
    B: DeserializeOwned,
    R: Serialize + Send + 'static,
{
    crate::engine::Engine::count(&api.engine.counters.http, 1);
    let body = body?;
    let options: Options = parse_query(received.query)?;
    let state = api.engine.state.load_full();
    let caller = caller::caller(&state, received.headers, now())?;
    received.worth_reading(api, &state, &caller)?;
    let key = received.key(&body)?;
    let parsed: B = parse(&body)?;
    let asked = Asked { look: api.look(&state), caller: &caller, api };
    let mut ask = match handler(&asked, &received.params, parsed) {
        Ok(ask) => ask,
        // what was done already may look wrong now: the person exists, the hold is gone
        Err(problem) => return key.and_then(|key| answered(api, &caller, &key)).unwrap_or(Err(problem)),
    };
    if let Some(before) = ask.before.take() {
        for (action, resource) in &ask.needs {
            allowed(api, &state, &caller, *action, resource)?;
        }
        before.await?;
    }
    drop(state);
    submit(api, caller, ask, key, options.dry_run, options.prune).await
}

impl Received<'_> {
    /// A machine's token that may do this nowhere learns nothing from trying.
    fn worth_reading(&self, api: &Api, state: &greenroom_domain::state::State, caller: &Caller) -> Result<(), Problem> {
        let (Some(action), Some(principal)) = (self.attempts, caller.principal(state, now())) else { return Ok(()) };
        if principal.scope == greenroom_access::TokenScope::None || api.engine.access.anywhere(&principal, action) {
            return Ok(());
        }
        Err(Problem::new(Code::Forbidden, format!("you may not {}", action.words())).detail("this token is not for that: sign in as a person, or use a token of another kind"))
    }

    /// A key counts for one principal, and for one request: method, path, query and body together.
    fn key(&self, body: &[u8]) -> Result<Option<Key>, Problem> {
        let Some(value) = self.headers.get(IDEMPOTENCY_HEADER) else { return Ok(None) };
        let text = value.to_str().ok().filter(|t| !t.is_empty() && t.len() <= 200);
        let text = text.ok_or_else(|| Problem::new(Code::Invalid, "the Idempotency-Key is not 1 to 200 visible characters").detail("send a UUID"))?;
        let mut params: Vec<_> = self.params.0.iter().collect();
        params.sort();
        let mut covered = format!("{} {} {params:?} {}\n", self.method, self.path, self.query).into_bytes();
        covered.extend_from_slice(body);
        Ok(Some(Key { key: text.to_owned(), request: Hash::of(&covered) }))
    }
}

/// The answer given before to this very request, if there is one.
fn answered(api: &Api, caller: &Caller, key: &Key) -> Option<Result<Response, Problem>> {
    let known = api.engine.reader.answer(&caller.actor().to_string(), &key.key).ok()??;
    Some(crate::engine::writer::restored(&known, key).map(|answer| bytes(answer.status, answer.body, answer.seq)))
}

/// Hands the ask to the writer and renders what comes back.
pub async fn submit<R: Serialize + Send + 'static>(api: &Arc<Api>, caller: Caller, ask: Ask<R>, key: Option<Key>, dry_run: bool, keeps_view: bool) -> Result<Response, Problem> {
    let Ask { command, needs, beside, before: _, status, view } = ask;
    let own_preview = keeps_view || matches!(command, Command::Apply { .. } | Command::Import { .. });
    let engine = Arc::clone(&api.engine);
    let render = Box::new(move |state: &greenroom_domain::state::State, events: &[Recorded]| {
        let look = Look { engine: &engine, state, now: now() };
        if dry_run && !own_preview {
            let would = events.iter().map(|e| crate::view::event::planned(&look, e)).collect();
            return (200, serde_json::to_vec(&views::Preview { would }).unwrap_or_default());
        }
        match view(&look, events) {
            Ok(view) => (status, serde_json::to_vec(&view).unwrap_or_default()),
            Err(problem) => (problem.status, serde_json::to_vec(&problem).unwrap_or_default()),
        }
    });
    let answer = api.engine.submit(|answer| Submission { caller, command, needs, key, dry_run, beside, render, answer }).await?;
    Ok(bytes(answer.status, answer.body, answer.seq))
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Options {
    dry_run: bool,
    prune: bool,
}

/// Reads JSON strictly; an empty body stands for `{}`.
///
/// # Errors
/// `invalid`, with line and column.
pub fn parse<B: DeserializeOwned>(body: &[u8]) -> Result<B, Problem> {
    let body = if body.is_empty() { b"{}" } else { body };
    if let Err(error) = std::str::from_utf8(body) {
        return Err(Problem::new(Code::Invalid, format!("the request is not UTF-8 from byte {}", error.valid_up_to())).detail("send JSON in UTF-8"));
    }
    serde_json::from_slice(body).map_err(|error| {
        Problem::new(Code::Invalid, error.to_string()).detail(format!(
            "in the request's body, line {}, column {}; what it may hold is described at /openapi.json",
            error.line(),
            error.column()
        ))
    })
}

/// # Errors
/// `invalid`, with the name of what does not read.
pub fn parse_query<Q: DeserializeOwned>(query: &str) -> Result<Q, Problem> {
    let uri: Uri = format!("/?{query}").parse().map_err(|_| Problem::new(Code::Invalid, "the query is not a query"))?;
    axum::extract::Query::try_from_uri(&uri).map(|axum::extract::Query(q)| q).map_err(|error| Problem::new(Code::Invalid, error.body_text()).detail("in the query"))
}

/// Waits until this server has seen the event that the caller names in `Greenroom-After`.
///
/// # Errors
/// `not-caught-up` after two seconds.
pub async fn catch_up(api: &Api, headers: &HeaderMap) -> Result<(), Problem> {
    let Some(value) = headers.get(AFTER_HEADER) else { return Ok(()) };
    let want: u64 = value.to_str().ok().and_then(|v| v.parse().ok()).ok_or_else(|| Problem::new(Code::Invalid, "Greenroom-After is not a number"))?;
    let mut head = api.engine.head();
    let reached = tokio::time::timeout(CATCH_UP, head.wait_for(|seq| *seq >= want)).await;
    match reached {
        Ok(Ok(_)) => Ok(()),
        _ => Err(Problem::new(Code::NotCaughtUp, format!("this server has not seen event {want} yet")).detail("repeat the request")),
    }
}

/// # Errors
/// `forbidden`, with the roles that would do.
pub fn allowed(api: &Api, state: &greenroom_domain::state::State, caller: &Caller, action: Action, resource: &Resource) -> Result<(), Problem> {
    let Some(principal) = caller.principal(state, now()) else {
        return Err(Problem::new(Code::Unauthenticated, "the token is expired or revoked").detail("sign in with: greenroom login"));
    };
    let verdict = api.engine.access.decide(&principal, action, resource);
    if verdict.allowed { Ok(()) } else { Err(Problem::new(Code::Forbidden, format!("you may not {}", action.words())).detail(verdict.remedy.clone())) }
}

/// An answer in JSON with the seq that it includes.
pub fn json<T: Serialize>(status: u16, view: &T, seq: u64) -> Response {
    match serde_json::to_vec(view) {
        Ok(body) => bytes(status, body, seq),
        Err(error) => Refused(Problem::new(Code::Internal, "the answer could not be written").detail(error.to_string())).into_response(),
    }
}

fn bytes(status: u16, body: Vec<u8>, seq: u64) -> Response {
    let kind = if status >= 400 { "application/problem+json" } else { "application/json" };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    let location = (status == StatusCode::ACCEPTED).then(|| location(&body)).flatten();
    let mut response =
        (status, [(header::CONTENT_TYPE, HeaderValue::from_static(kind)), (header::HeaderName::from_static(SEQ_HEADER), HeaderValue::from(seq))], body).into_response();
    if let Some(location) = location {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// Where long work can be followed: all of it is deployments.
fn location(body: &[u8]) -> Option<HeaderValue> {
    #[derive(serde::Deserialize)]
    struct Made {
        id: greenroom_domain::id::DeploymentId,
    }
    let made: Made = serde_json::from_slice(body).ok()?;
    HeaderValue::try_from(format!("{}/deployments/{}", greenroom_api::PREFIX, made.id)).ok()
}
