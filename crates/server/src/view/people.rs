//! People, tokens, decisions and holds.

use greenroom_api::views;
use greenroom_domain::actor::Actor;
use greenroom_domain::decision::{Decision, Verdict, by_only_author};
use greenroom_domain::event::Token;
use greenroom_domain::hold::{Hold, Why};
use greenroom_domain::id::{Digest, HoldId};
use greenroom_domain::refusal::{Reason, ReasonCode};
use greenroom_domain::state::{Person, State};

use crate::directory::Directory;
use crate::http::Look;

pub fn person(look: &Look<'_>, person: &Person) -> views::Person {
    views::Person { id: person.id, name: look.engine.directory.text(&person.name), roles: person.roles.clone(), joined: person.joined, left: person.left }
}

pub fn token(look: &Look<'_>, token: &Token) -> views::Token {
    views::Token {
        id: token.id,
        kind: token.kind,
        title: token.title.clone(),
        environment: token.environment.clone(),
        person: token.person,
        whose: token.person.map(|id| look.engine.directory.name_of(look.state, id).unwrap_or_else(|| id.to_string())),
        created: token.at,
        expires: token.expires,
    }
}

/// A decision on what `authors` made of `scope`.
pub fn decision(look: &Look<'_>, decision: &Decision, scope: &Digest, authors: &[Actor]) -> views::Decision {
    let own = decision.verdict == Verdict::Go && by_only_author(decision, authors, look.state.separation);
    views::Decision {
        id: decision.id,
        role: decision.role,
        verdict: match decision.verdict {
            Verdict::Go => "go".to_owned(),
            Verdict::NoGo => "no-go".to_owned(),
        },
        by: look.engine.directory.name_of(look.state, decision.by).unwrap_or_else(|| decision.by.to_string()),
        at: decision.at,
        expires: decision.expires,
        valid: decision.scope == *scope && decision.expires > look.now,
        note: decision.note.as_ref().and_then(|n| look.engine.directory.text(n)),
        separation: look.state.separation,
        uncounted: own.then(|| "its only author does not count: another person must say go".to_owned()),
    }
}

/// Why a hold stands, in words.
pub fn why(directory: &Directory, why: &Why) -> String {
    match why {
        Why::Said(text) => directory.text(text).unwrap_or_else(|| "erased".to_owned()),
        Why::RolledBack { service, environment } => format!("`{service}` was rolled back in `{environment}`"),
        Why::Clock => "the clock jumped".to_owned(),
        Why::Expired { release } => format!("release `{release}` was not started before it expired"),
    }
}

/// Reasons as people read them: a hold says whose it is, and why.
pub fn in_words(directory: &Directory, state: &State, mut reasons: Vec<Reason>) -> Vec<Reason> {
    for reason in reasons.iter_mut().filter(|r| r.code == ReasonCode::Hold) {
        let id = reason.subject.strip_prefix("hold/").and_then(|id| id.parse().ok());
        if let Some(hold) = id.and_then(|id: HoldId| state.holds.get(&id)) {
            reason.message = format!("hold #{} of {} stands: {}", hold.number, directory.who(state, hold.owner), why(directory, &hold.why));
        }
    }
    reasons
}

pub fn hold(look: &Look<'_>, hold: &Hold) -> views::Hold {
    let reason = why(&look.engine.directory, &hold.why);
    views::Hold {
        id: hold.id,
        number: hold.number,
        scope: hold.scope.clone(),
        plane: hold.plane,
        stops: hold.stops,
        reason,
        owner: look.engine.directory.who(look.state, hold.owner),
        at: hold.at,
        expires: hold.expires,
    }
}
