//! The ledger itself: its verification, erasure, keys and evidence.

use std::sync::Arc;

use axum::extract::{Path, State as Extract};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use greenroom_access::{Action, Resource};
use greenroom_api::problem::Code;
use greenroom_api::{Problem, requests, views};
use greenroom_domain::command::Command;
use greenroom_domain::id::Digest;
use greenroom_domain::sealed::Sealed;

use super::{NoQuery, missing};
use crate::directory::hash_of;
use crate::engine::now;
use crate::http::events::{self, EventsQuery};
use crate::http::routes::{Ask, Asked, EVENT_STREAM, JSON, Params, Routes, allowed, json};
use crate::http::{Api, Refused, caller};

pub fn routes(routes: Routes) -> Routes {
    routes
        .other::<requests::Nothing, views::Verified>("POST", "/ledger/verify", "ledger.verify", "Check the whole chain", post(verify))
        .command("POST", "/erase", "ledger.erase", "Erase sealed texts; the chain still verifies", erase)
        .other_in::<EventsQuery, views::Page<views::Event>>(
            "GET",
            "/events",
            "events.read",
            "The ledger's events, as pages or, where the client accepts it, as a stream that goes on from `Last-Event-ID`",
            &[JSON, EVENT_STREAM],
            get(events::events),
        )
        .other_in::<NoQuery, String>("GET", "/evidence/{digest}", "deployments.read", "Evidence as it was kept", &["application/octet-stream"], get(evidence))
        .read("/keys", Action::BoardRead, "The public key that checks signed snapshots", keys)
}

async fn verify(Extract(api): Extract<Arc<Api>>, headers: HeaderMap) -> Response {
    let run = async {
        let state = api.engine.state.load_full();
        let who = caller::caller(&state, &headers, now())?;
        allowed(&api, &state, &who, Action::LedgerVerify, &Resource::Ledger)?;
        let reader = api.engine.reader.clone();
        let started = std::time::Instant::now();
        let report = tokio::task::spawn_blocking(move || reader.verify(0, |_| {})).await;
        let report = report.map_err(|e| Problem::new(Code::Internal, e.to_string()))?.map_err(|e| Problem::new(Code::StorageUnavailable, e.to_string()).detail(e.remedy()))?;
        if let Some(problem) = api.engine.looked_at_chain(report.fault.as_ref()) {
            return Err(problem);
        }
        let view = views::Verified {
            from: 1,
            to: report.seq,
            events: report.seq - report.after,
            head: report.hash.to_string(),
            took_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(0),
        };
        Ok::<_, Problem>(json(200, &view, state.seq))
    };
    run.await.unwrap_or_else(|problem| Refused(problem).into_response())
}

fn erase(asked: &Asked<'_>, _: &Params, request: requests::Erase) -> Result<Ask<views::Erased>, Problem> {
    let mut sealed: Vec<Sealed> = request.sealed.into_iter().map(Sealed).collect();
    if let Some(id) = request.person {
        let person = asked.look.state.persons.get(&id).ok_or_else(|| missing("person", id))?;
        if person.left.is_none() {
            return Err(Problem::new(Code::Conflict, "the person has not left").detail("remove the person first: greenroom person remove NAME"));
        }
        sealed.push(person.name.clone());
    }
    for one in &sealed {
        let known = asked.look.engine.reader.sealed(hash_of(&one.0)).map_err(|e| Problem::new(Code::StorageUnavailable, e.to_string()).detail(e.remedy()))?;
        if known.is_none() {
            return Err(missing("sealed text", &one.0));
        }
    }
    let texts = sealed.len() as u64;
    Ok(Ask::new(Action::LedgerErase, Resource::Ledger, Command::Erase { sealed }, move |_, _| Ok(views::Erased { texts })))
}

fn keys(asked: &Asked<'_>, _: &Params, _: NoQuery) -> Result<views::Keys, Problem> {
    Ok(views::Keys { ed25519: asked.api.signer.public() })
}

/// Evidence as it was kept, by digest.
async fn evidence(Extract(api): Extract<Arc<Api>>, Path(digest): Path<String>, headers: HeaderMap) -> Response {
    let run = async {
        let state = api.engine.state.load_full();
        let who = caller::caller(&state, &headers, now())?;
        allowed(&api, &state, &who, Action::DeploymentsRead, &Resource::Any)?;
        let digest: Digest = digest.parse().map_err(|e: greenroom_domain::id::IdError| Problem::new(Code::Invalid, e.to_string()))?;
        let blob = api.engine.blobs.get(hash_of(&digest)).map_err(|e| Problem::new(Code::StorageUnavailable, e.to_string()).detail(e.remedy()))?;
        let blob = blob.ok_or_else(|| missing("evidence", digest))?;
        // always as a download: what a build brought must not run in someone's browser
        let headers = [(header::CONTENT_TYPE, blob.kind.clone()), (header::CONTENT_DISPOSITION, "attachment".to_owned()), (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned())];
        Ok::<_, Problem>((headers, blob.content).into_response())
    };
    run.await.unwrap_or_else(|problem| Refused(problem).into_response())
}
