//! Signing in, people, tokens and the presets.

use std::sync::Arc;

use argon2::Argon2;
use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use axum::body::Bytes;
use axum::extract::State as Extract;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use greenroom_access::{Action, Resource};
use greenroom_api::problem::Code;
use greenroom_api::requests::{self, Preset};
use greenroom_api::{Problem, views};
use greenroom_domain::command::Command;
use greenroom_domain::event::{Event, TokenKind};
use greenroom_domain::id::PersonId;
use greenroom_domain::role::Role;
use greenroom_domain::state::Recorded;
use greenroom_domain::time::Span;

use super::{NoQuery, Paging, missing, page};
use crate::engine::{Caller, now};
use crate::http::body::Sent;
use crate::http::routes::{Ask, Asked, Params, Routes, parse, submit};
use crate::http::{Api, Look, Refused};
use crate::secret;
use crate::view::people as view;

/// A sign-in lasts this long.
const SIGNED_IN: Span = Span::secs(30 * 86_400);
/// Passwords are checked one at a time; whoever waits longer for a turn is sent away.
const GUESS_WAITS: std::time::Duration = std::time::Duration::from_secs(3);
/// A token lasts this long unless said otherwise.
const TOKEN: Span = Span::secs(90 * 86_400);

pub fn routes(routes: Routes) -> Routes {
    routes
        .other::<requests::Setup, views::SignedIn>("POST", "/setup", "", "Make the first person, with the token printed at the first start", post(setup))
        .other::<requests::Login, views::SignedIn>("POST", "/login", "", "Sign in with a local account", post(login))
        .read("/whoami", Action::BoardRead, "Who the token belongs to", whoami)
        .read("/people", Action::PeopleRead, "People", people)
        .command("POST", "/people", "person.add", "Add a person", add)
        .command("PUT", "/people/{id}/roles", "person.roles", "Set a person's roles", set_roles)
        .command("PUT", "/people/{id}/password", "person.add", "Set a person's password", set_password)
        .command("DELETE", "/people/{id}", "person.remove", "Remove a person and their tokens", remove)
        .command("PUT", "/preset", "settings.change", "Choose how duties are shared", preset)
        .read("/tokens", Action::TokensRead, "Tokens, without their secrets", tokens)
        .command("POST", "/tokens", "token.create", "Create a token; its secret is shown once", create_token)
        .command("DELETE", "/tokens/{id}", "token.revoke", "Revoke a token", revoke_token)
}

fn hashed(password: &str) -> Result<String, Problem> {
    if password.chars().count() < requests::PASSWORD_LENGTH {
        return Err(Problem::new(Code::Invalid, format!("the password has fewer than {} characters", requests::PASSWORD_LENGTH)).detail("choose a longer one"));
    }
    let salt = SaltString::encode_b64(&secret::random::<16>()).map_err(|e| Problem::new(Code::Internal, e.to_string()))?;
    // tens of milliseconds by design: other tasks go on meanwhile
    tokio::task::block_in_place(|| Argon2::default().hash_password(password.as_bytes(), &salt))
        .map(|hash| hash.to_string())
        .map_err(|e| Problem::new(Code::Internal, e.to_string()))
}

async fn setup(Extract(api): Extract<Arc<Api>>, Sent(sent): Sent) -> Response {
    first(&api, sent).await.unwrap_or_else(|problem| Refused(problem).into_response())
}

async fn first(api: &Arc<Api>, sent: Result<Bytes, Problem>) -> Result<Response, Problem> {
    let request: requests::Setup = parse(&sent?)?;
    let refused = || {
        let remedy = if api.engine.state.load().persons.is_empty() {
            "restart the server while nobody has joined: it prints another"
        } else {
            "somebody has joined already: an admin adds you with `greenroom person add NAME --password`; then sign in without a first token"
        };
        Problem::new(Code::Unauthenticated, "this is not the first-start token, or it was used, or its hour is over").detail(remedy)
    };
    let hash = hashed(&request.password)?;
    {
        // taken before the command: it works once, even for two at the same time
        let mut first = api.first.lock().map_err(|_| refused())?;
        match &*first {
            Some((expected, ends)) if *expected == secret::hash(&request.token) && *ends > now() => *first = None,
            _ => return Err(refused()),
        }
    }
    let command = Command::AddPerson { name: request.name, roles: vec![Role::Admin] };
    let person = joined(api, command, hash).await?;
    signed_in(api, person, 200).await
}

async fn joined(api: &Arc<Api>, command: Command, hash: String) -> Result<PersonId, Problem> {
    let answer = api
        .engine
        .submit(|answer| crate::engine::Submission {
            caller: Caller::Host,
            command,
            needs: Vec::new(),
            key: None,
            dry_run: false,
            beside: crate::engine::Beside { password: Some(hash), ..crate::engine::Beside::default() },
            render: Box::new(|_, events| (200, who_joined(events).map(|id| id.to_string().into_bytes()).unwrap_or_default())),
            answer,
        })
        .await?;
    String::from_utf8(answer.body).ok().and_then(|text| text.parse().ok()).ok_or_else(|| Problem::new(Code::Internal, "nobody joined"))
}

fn who_joined(events: &[Recorded]) -> Option<PersonId> {
    events.iter().find_map(|e| if let Event::PersonJoined(joined) = &e.event { Some(joined.id) } else { None })
}

async fn login(Extract(api): Extract<Arc<Api>>, Sent(sent): Sent) -> Response {
    sign_in(&api, sent).await.unwrap_or_else(|problem| Refused(problem).into_response())
}

async fn sign_in(api: &Arc<Api>, sent: Result<Bytes, Problem>) -> Result<Response, Problem> {
    let request: requests::Login = parse(&sent?)?;
    // guessing is slow for all guessers together, and cannot take the cores from those who are signed in
    let turn = tokio::time::timeout(GUESS_WAITS, api.guessing.acquire()).await;
    let Ok(Ok(_turn)) = turn else {
        return Err(Problem::new(Code::RateLimited, "too many are signing in at this moment").detail("try again in a few seconds"));
    };
    let refused = || Problem::new(Code::Unauthenticated, "name or password is wrong").detail("an admin can set a new password: greenroom person password NAME");
    let person = api.engine.directory.person(&api.engine.state.load(), &request.name);
    let stored = match person {
        Some(id) => api.engine.reader.credential(&id.to_string()).map_err(|e| Problem::new(Code::StorageUnavailable, e.to_string()))?,
        None => None,
    };
    let right = tokio::task::block_in_place(|| match &stored {
        Some(hash) => PasswordHash::new(hash).is_ok_and(|hash| Argon2::default().verify_password(request.password.as_bytes(), &hash).is_ok()),
        // as long as with a person, so that time does not tell who exists
        None => {
            let _ = hashed(&request.password);
            false
        }
    });
    match person.filter(|_| right) {
        Some(person) => signed_in(api, person, 200).await,
        None => Err(refused()),
    }
}

async fn signed_in(api: &Arc<Api>, person: PersonId, status: u16) -> Result<Response, Problem> {
    let secret = secret::mint(TokenKind::Pat);
    let expires = now() + SIGNED_IN;
    let command = Command::CreateToken { kind: TokenKind::Pat, hash: secret::hash(&secret), person: Some(person), environment: None, title: "sign-in".to_owned(), expires };
    let view = move |look: &Look<'_>, _: &[Recorded]| {
        let found = look.state.persons.get(&person).ok_or_else(|| missing("person", person))?;
        Ok(views::SignedIn { token: secret, person: view::person(look, found), expires })
    };
    let ask = Ask { command, needs: Vec::new(), beside: crate::engine::Beside::default(), before: None, status, view: Box::new(view) };
    submit(api, Caller::Person(person), ask, None, false, false).await
}

fn whoami(asked: &Asked<'_>, _: &Params, _: NoQuery) -> Result<views::WhoAmI, Problem> {
    let look = &asked.look;
    let Caller::Token(token) = asked.caller else { return Err(Problem::new(Code::Unauthenticated, "no token")) };
    let person = token.person.and_then(|id| look.state.persons.get(&id));
    Ok(views::WhoAmI {
        actor: asked.caller.actor().to_string(),
        person: person.map(|p| view::person(look, p)),
        token: Some(view::token(&asked.look, token)),
        roles: person.map(|p| p.roles.clone()).unwrap_or_default(),
        separation: look.state.separation,
    })
}

fn people(asked: &Asked<'_>, _: &Params, paging: Paging) -> Result<views::Page<views::Person>, Problem> {
    let look = asked.look;
    page(look.state.persons.values().map(|p| view::person(&look, p)), &paging, |p| p.id.to_string())
}

fn add(_: &Asked<'_>, _: &Params, request: requests::AddPerson) -> Result<Ask<views::Person>, Problem> {
    let hash = request.password.as_deref().map(hashed).transpose()?;
    let roles_too = !request.roles.is_empty();
    let mut ask = Ask::new(Action::PersonAdd, Resource::Any, Command::AddPerson { name: request.name.clone(), roles: request.roles }, move |look, events| {
        let id = who_joined(events).ok_or_else(|| missing("person", "new"))?;
        let person = look.state.persons.get(&id).ok_or_else(|| missing("person", id))?;
        // the name is sealed with this very command, and not in the directory before it commits
        Ok(views::Person { name: Some(request.name), ..view::person(look, person) })
    });
    if roles_too {
        ask.needs.push((Action::PersonRoles, Resource::Any));
    }
    ask.beside.password = hash;
    Ok(ask.status(201))
}

fn person_of(asked: &Asked<'_>, params: &Params) -> Result<PersonId, Problem> {
    let text = params.text("id");
    match text.parse() {
        Ok(id) => Ok(id),
        Err(_) => asked.look.engine.directory.person(asked.look.state, text).ok_or_else(|| missing("person", text)),
    }
}

fn shown(id: PersonId) -> impl FnOnce(&Look<'_>, &[Recorded]) -> Result<views::Person, Problem> + Send + 'static {
    move |look, _| look.state.persons.get(&id).map(|p| view::person(look, p)).ok_or_else(|| missing("person", id))
}

fn set_roles(asked: &Asked<'_>, params: &Params, request: requests::SetRoles) -> Result<Ask<views::Person>, Problem> {
    let id = person_of(asked, params)?;
    Ok(Ask::new(Action::PersonRoles, Resource::Person, Command::SetRoles { id, roles: request.roles }, shown(id)))
}

fn set_password(asked: &Asked<'_>, params: &Params, request: requests::SetPassword) -> Result<Ask<views::Done>, Problem> {
    let id = person_of(asked, params)?;
    let hash = hashed(&request.password)?;
    let own = asked.caller.actor() == greenroom_domain::actor::Actor::Person(id);
    let mut ask = Ask::new(Action::PersonAdd, Resource::Any, Command::SetPassword { id }, |look, _| Ok(views::Done { seq: look.state.seq }));
    if own {
        ask.needs.clear();
    }
    ask.beside.password = Some(hash);
    Ok(ask)
}

fn remove(asked: &Asked<'_>, params: &Params, _: requests::Nothing) -> Result<Ask<views::Done>, Problem> {
    let id = person_of(asked, params)?;
    Ok(Ask::new(Action::PersonRemove, Resource::Person, Command::RemovePerson { id }, |look, _| Ok(views::Done { seq: look.state.seq })))
}

fn preset(_: &Asked<'_>, _: &Params, request: requests::SetPreset) -> Result<Ask<views::Done>, Problem> {
    let on = request.preset == Preset::Team;
    Ok(Ask::new(Action::SettingsChange, Resource::Any, Command::SetSeparation { on }, |look, _| Ok(views::Done { seq: look.state.seq })))
}

fn tokens(asked: &Asked<'_>, _: &Params, paging: Paging) -> Result<views::Page<views::Token>, Problem> {
    let mut all: Vec<_> = asked.look.state.tokens.values().collect();
    all.sort_by_key(|t| t.id);
    page(all.into_iter().map(|t| view::token(&asked.look, t)), &paging, |t| t.id.to_string())
}

fn create_token(asked: &Asked<'_>, _: &Params, request: requests::CreateToken) -> Result<Ask<views::TokenCreated>, Problem> {
    if request.environment.is_some() && !matches!(request.kind, TokenKind::Sdk | TokenKind::Web | TokenKind::Relay) {
        return Err(Problem::new(Code::Invalid, format!("a {} token is not bound to one environment", secret::kind_text(request.kind)))
            .detail("leave the environment out: only sdk, web and relay tokens have one"));
    }
    let secret = secret::mint(request.kind);
    let caller = match asked.caller.actor() {
        greenroom_domain::actor::Actor::Person(id) => Some(id),
        _ => None,
    };
    let person = request.person.or(caller).filter(|_| request.kind == TokenKind::Pat);
    let own = person.is_some() && person == caller;
    let hash = secret::hash(&secret);
    let command = Command::CreateToken {
        kind: request.kind,
        hash: hash.clone(),
        person,
        environment: request.environment,
        title: if request.title.is_empty() { "token".to_owned() } else { request.title },
        expires: now() + request.valid_for.unwrap_or(TOKEN),
    };
    let public_key = asked.api.signer.public();
    let kept_from_answers = secret.clone();
    let mut ask = Ask::new(Action::TokenCreate, Resource::Any, command, move |look, _| {
        let token = look.state.tokens.get(&hash).ok_or_else(|| missing("token", "new"))?;
        Ok(views::TokenCreated { token: view::token(look, token), secret, public_key })
    });
    ask.beside.secret = Some(kept_from_answers);
    if own {
        // everyone may make tokens for themselves: they allow no more than their person
        ask.needs = vec![(Action::BoardRead, Resource::Any)];
    }
    Ok(ask.status(201))
}

fn revoke_token(asked: &Asked<'_>, params: &Params, _: requests::Nothing) -> Result<Ask<views::Done>, Problem> {
    let id = params.get("id")?;
    let own = asked.look.state.token_ids.get(&id).and_then(|h| asked.look.state.tokens.get(h)).and_then(|t| t.person).map(greenroom_domain::actor::Actor::Person)
        == Some(asked.caller.actor());
    let mut ask = Ask::new(Action::TokenRevoke, Resource::Token, Command::RevokeToken { id }, |look: &Look<'_>, _: &[Recorded]| Ok(views::Done { seq: look.state.seq }));
    if own {
        ask.needs = vec![(Action::BoardRead, Resource::Any)];
    }
    Ok(ask)
}
