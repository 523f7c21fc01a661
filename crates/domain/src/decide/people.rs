//! People, tokens and the settings that change decisions.

use super::Work;
use crate::event::{Erased, PersonJoined, PersonLeft, PersonPasswordSet, PersonRolesSet, SeparationSet, Token, TokenCreated, TokenKind, TokenRevoked};
use crate::id::{Digest, Name, PersonId, TokenId};
use crate::refusal::{ReasonCode, Refusal};
use crate::role::Role;
use crate::sealed::Sealed;
use crate::time::{At, Span};

pub(super) fn add(work: &mut Work<'_>, name: &str, roles: &[Role]) -> Result<(), Refusal> {
    if name.trim().is_empty() || name.len() > 200 {
        return Err(Refusal::invalid("person", "a person's name has 1 to 200 characters", "give a login name"));
    }
    let id = PersonId::new(work.id());
    let name = work.seal(name);
    work.push(PersonJoined { id, name, roles: normal(roles) });
    Ok(())
}

fn normal(roles: &[Role]) -> Vec<Role> {
    let mut roles = roles.to_vec();
    roles.sort_unstable();
    roles.dedup();
    roles
}

fn present(work: &Work<'_>, id: PersonId) -> Result<(), Refusal> {
    match work.state.persons.get(&id) {
        Some(p) if p.left.is_none() => Ok(()),
        _ => Err(Refusal::not_found("person", id)),
    }
}

/// No edit can lock out the last admin.
fn keeps_an_admin(work: &Work<'_>, without: PersonId) -> Result<(), Refusal> {
    if !work.state.persons.get(&without).is_some_and(|p| p.roles.contains(&Role::Admin)) {
        return Ok(());
    }
    let other = work.state.persons.values().any(|p| p.id != without && p.left.is_none() && p.roles.contains(&Role::Admin));
    if other {
        return Ok(());
    }
    Err(Refusal::conflict(ReasonCode::LastAdmin, format!("person/{without}"), "this is the last admin", "make someone else admin first"))
}

pub(super) fn set_roles(work: &mut Work<'_>, id: PersonId, roles: &[Role]) -> Result<(), Refusal> {
    present(work, id)?;
    let roles = normal(roles);
    if !roles.contains(&Role::Admin) {
        keeps_an_admin(work, id)?;
    }
    if work.state.persons.get(&id).is_some_and(|p| p.roles != roles) {
        work.push(PersonRolesSet { id, roles });
    }
    Ok(())
}

pub(super) fn set_password(work: &mut Work<'_>, id: PersonId) -> Result<(), Refusal> {
    present(work, id)?;
    work.push(PersonPasswordSet { id });
    Ok(())
}

pub(super) fn remove(work: &mut Work<'_>, id: PersonId) -> Result<(), Refusal> {
    present(work, id)?;
    keeps_an_admin(work, id)?;
    work.push(PersonLeft { id });
    Ok(())
}

/// A token that outlives whoever knows what it is for is never revoked.
const LONGEST: Span = Span::secs(3_653 * 24 * 3_600);

pub(super) fn create_token(
    work: &mut Work<'_>,
    kind: TokenKind,
    hash: &Digest,
    person: Option<PersonId>,
    environment: Option<&Name>,
    title: &str,
    expires: At,
) -> Result<(), Refusal> {
    if expires <= work.now {
        return Err(Refusal::invalid("token", "the token would have expired already", "give an expiry in the future"));
    }
    if expires > work.now + LONGEST {
        return Err(Refusal::invalid("token", "a token lives ten years at most", "give an earlier expiry, and make a new one in time"));
    }
    match (kind, person, environment) {
        (TokenKind::Pat, Some(id), _) => present(work, id)?,
        (TokenKind::Pat, None, _) => return Err(Refusal::invalid("token", "a personal token belongs to a person", "name the person")),
        (TokenKind::Sdk | TokenKind::Web | TokenKind::Relay, _, None) => return Err(Refusal::invalid("token", "such a token reads exactly one environment", "add --env")),
        (_, _, Some(name)) if !work.state.environments.contains_key(name) => return Err(Refusal::not_found("environment", name)),
        _ => {}
    }
    if work.state.tokens.contains_key(hash) {
        return Err(Refusal::conflict(ReasonCode::AlreadyExists, "token", "this token exists already", "create another"));
    }
    let id = TokenId::new(work.id());
    let token = Token { id, kind, hash: hash.clone(), person, environment: environment.cloned(), title: title.chars().take(200).collect(), at: work.now, expires };
    work.push(TokenCreated { token });
    Ok(())
}

pub(super) fn revoke_token(work: &mut Work<'_>, id: TokenId) -> Result<(), Refusal> {
    if !work.state.token_ids.contains_key(&id) {
        return Err(Refusal::not_found("token", id));
    }
    work.push(TokenRevoked { id });
    Ok(())
}

pub(super) fn set_separation(work: &mut Work<'_>, on: bool) {
    if work.state.separation != on {
        work.push(SeparationSet { on });
    }
}

pub(super) fn erase(work: &mut Work<'_>, sealed: &[Sealed]) -> Result<(), Refusal> {
    if sealed.is_empty() {
        return Err(Refusal::invalid("erase", "there is nothing to erase", "name a person or a sealed text"));
    }
    if let Some(person) = work.state.persons.values().find(|p| p.left.is_none() && sealed.contains(&p.name)) {
        return Err(Refusal::conflict(
            ReasonCode::StillReferenced,
            format!("person/{}", person.id),
            "this is the name of someone who is here: without it they could not sign in",
            "remove the person first",
        ));
    }
    work.push(Erased { sealed: sealed.to_vec() });
    Ok(())
}
