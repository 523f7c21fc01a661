//! The ledger as a list, and as a stream that a client can take up again where it left off.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{RawQuery, State as Extract};
use axum::http::{HeaderMap, header};
use axum::response::sse::{Event as Sse, KeepAlive};
use axum::response::{IntoResponse, Response};
use greenroom_access::{Action, Resource};
use greenroom_api::problem::Code;
use greenroom_api::{Problem, views};
use greenroom_ledger::{Direction, Reader};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::mpsc;

use super::routes::{allowed, catch_up, json, parse_query};
use super::v1::limit;
use super::{Api, Refused, caller};
use crate::engine::now;
use crate::view::event::event;

/// Events read at once.
const CHUNK: usize = 200;
/// A comment this often keeps connections open.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EventsQuery {
    /// Only events after this seq; without it a list begins with the newest.
    pub after: Option<u64>,
    /// Only events before this seq, newest first.
    pub before: Option<u64>,
    /// At most 500; 100 unless given.
    pub limit: Option<usize>,
    /// Where the page before ended, as it said in `next`.
    pub cursor: Option<String>,
    pub subject: Option<String>,
    pub actor: Option<String>,
}

pub async fn events(Extract(api): Extract<Arc<Api>>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let wants_stream = headers.get(header::ACCEPT).is_some_and(|a| a.to_str().is_ok_and(|a| a.contains("text/event-stream")));
    let answer = async {
        catch_up(&api, &headers).await?;
        let state = api.engine.state.load_full();
        let who = caller::caller(&state, &headers, now())?;
        allowed(&api, &state, &who, Action::EventsRead, &Resource::Any)?;
        let query: EventsQuery = parse_query(query.as_deref().unwrap_or(""))?;
        if wants_stream {
            return stream(Arc::clone(&api), query, &headers);
        }
        let (look_api, look_state) = (Arc::clone(&api), Arc::clone(&state));
        let page = tokio::task::spawn_blocking(move || list(&look_api, &look_state, &query)).await.map_err(|e| Problem::new(Code::Internal, e.to_string()))??;
        Ok(json(200, &page, state.seq))
    };
    answer.await.unwrap_or_else(|problem| Refused(problem).into_response())
}

fn list(api: &Api, state: &greenroom_domain::state::State, query: &EventsQuery) -> Result<views::Page<views::Event>, Problem> {
    let limit = limit(query.limit)?;
    let reader = &api.engine.reader;
    let page_from =
        query.cursor.as_ref().map(|c| c.parse().map_err(|_| Problem::new(Code::Invalid, "the cursor is not one of this list").detail("take it from `next`"))).transpose()?;
    let (cursor, direction) = match query.after {
        Some(after) => (page_from.unwrap_or(after), Direction::OldestFirst),
        None => (page_from.or(query.before).unwrap_or(u64::MAX), Direction::NewestFirst),
    };
    let found = match (&query.subject, &query.actor) {
        (Some(subject), None) => reader.by_subject(subject, cursor, limit, direction),
        (Some(subject), Some(actor)) => by_both(reader, subject, &actor_id(api, state, actor), cursor, limit, direction),
        (None, Some(actor)) => reader.by_actor(&actor_id(api, state, actor), cursor, limit, direction),
        (None, None) if direction == Direction::OldestFirst => reader.events(cursor, limit),
        (None, None) => {
            let last = cursor.min(state.seq.saturating_add(1));
            let from = last.saturating_sub(1).saturating_sub(limit as u64);
            reader.events(from, limit.min(usize::try_from(last.saturating_sub(1) - from).unwrap_or(0))).map(|mut events| {
                events.reverse();
                events
            })
        }
    };
    let found = found.map_err(|error| Problem::new(Code::StorageUnavailable, error.to_string()).detail(error.remedy()))?;
    let next = (found.len() == limit).then(|| found.last().map(|e| e.seq.to_string())).flatten();
    let look = api.look(state);
    Ok(views::Page { items: found.iter().map(|e| event(&look, e)).collect(), next })
}

/// One index gives candidates, which are looked through for the other.
fn by_both(reader: &Reader, subject: &str, actor: &str, mut cursor: u64, limit: usize, direction: Direction) -> Result<Vec<greenroom_ledger::Event>, greenroom_ledger::Error> {
    let mut found = Vec::new();
    loop {
        let candidates = reader.by_subject(subject, cursor, CHUNK, direction)?;
        let last = candidates.len() < CHUNK;
        cursor = candidates.last().map_or(cursor, |e| e.seq);
        found.extend(candidates.into_iter().filter(|e| *e.actor == *actor));
        if last || found.len() >= limit {
            found.truncate(limit);
            return Ok(found);
        }
    }
}

/// The ledger knows people by id; others by the name they gave, as it stands.
fn actor_id(api: &Api, state: &greenroom_domain::state::State, name: &str) -> String {
    api.engine.directory.person(state, name).map_or_else(|| name.to_owned(), |id| id.to_string())
}

/// Every event once, in order, from `Last-Event-ID` (or `after`, or now) on.
fn stream(api: Arc<Api>, query: EventsQuery, headers: &HeaderMap) -> Result<Response, Problem> {
    let resumed = match headers.get("last-event-id") {
        None => None,
        Some(value) => Some(value.to_str().ok().and_then(|v| v.parse::<u64>().ok()).ok_or_else(|| Problem::new(Code::Invalid, "Last-Event-ID is not the id of an event"))?),
    };
    let secret_holder = caller::caller(&api.engine.state.load(), headers, now())?;
    let actor = query.actor.as_ref().map(|name| actor_id(&api, &api.engine.state.load(), name));
    let mut head = api.engine.head();
    let mut at = resumed.or(query.after).unwrap_or_else(|| *head.borrow_and_update());
    let (send, receive) = mpsc::channel::<Result<Sse, Infallible>>(64);
    tokio::spawn(async move {
        loop {
            let durable = *head.borrow_and_update();
            while at < durable {
                let (reader, from) = (api.engine.reader.clone(), at);
                let Ok(Ok(events)) = tokio::task::spawn_blocking(move || reader.events(from, CHUNK)).await else { return };
                if events.is_empty() {
                    break;
                }
                let state = api.engine.state.load_full();
                // whoever has left, or whose token is gone, hears no more
                if allowed(&api, &state, &secret_holder, Action::EventsRead, &Resource::Any).is_err() {
                    return;
                }
                let look = api.look(&state);
                for found in &events {
                    at = found.seq;
                    let subject_fits = query.subject.as_ref().is_none_or(|s| found.subjects.iter().any(|x| **x == **s));
                    let actor_fits = actor.as_ref().is_none_or(|a| *found.actor == **a);
                    if !(subject_fits && actor_fits) {
                        continue;
                    }
                    let data = serde_json::to_string(&event(&look, found)).unwrap_or_default();
                    let message = Sse::default().id(found.seq.to_string()).event(&*found.kind).data(data);
                    if send.send(Ok(message)).await.is_err() {
                        return;
                    }
                }
            }
            tokio::select! {
                changed = head.changed() => if changed.is_err() { return },
                () = send.closed() => return,
            }
        }
    });
    let stream = tokio_stream::wrappers::ReceiverStream::new(receive);
    Ok(axum::response::Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}
