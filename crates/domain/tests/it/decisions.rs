//! Who must say go, and what their word binds to.

use greenroom_domain::command::Command;
use greenroom_domain::decision::{About, Verdict};
use greenroom_domain::event::Event;
use greenroom_domain::refusal::ReasonCode;
use greenroom_domain::release::release::CourseKind;
use greenroom_domain::role::Role;
use serde_json::{Value, json};

use crate::world::*;

fn spec() -> Value {
    json!({"features": [{"key": "checkout", "variant": "on"}], "decisions": [{"role": "product-owner"}, {"role": "approver"}],
           "stages": [{"name": "some", "share": "10%"}, {"name": "all", "share": "100%"}]})
}

fn about() -> About {
    About::Release(n("summer"))
}

fn start(w: &mut World) -> Vec<ReasonCode> {
    let mut trial = w.clone();
    match trial.attempt(&World::start_command("summer")) {
        Ok(_) => Vec::new(),
        Err(refusal) => refusal.reasons.iter().map(|r| r.code).collect(),
    }
}

fn planned() -> World {
    let mut w = World::shop();
    w.plan("summer", spec());
    w
}

#[test]
fn two_roles_two_people() {
    let mut w = planned();
    assert_eq!(start(&mut w), [ReasonCode::DecisionMissing; 2]);
    w.decide_as(BEN, about(), Role::ProductOwner, Verdict::Go);
    w.decide_as(BEN, about(), Role::Approver, Verdict::Go);
    assert_eq!(start(&mut w), [ReasonCode::DecisionMissing], "one person is not two");
    w.decide_as(CLEO, about(), Role::ProductOwner, Verdict::Go);
    assert_eq!(start(&mut w), [], "Cleo as product owner leaves Ben's seat as approver");
}

#[test]
fn the_only_author_does_not_count_unless_separation_is_off() {
    let mut w = planned();
    w.decide_as(ANN, about(), Role::ProductOwner, Verdict::Go);
    w.decide_as(BEN, about(), Role::Approver, Verdict::Go);
    assert_eq!(start(&mut w), [ReasonCode::Separation]);
    w.ok(&Command::SetSeparation { on: false });
    w.decide_as(ANN, about(), Role::Approver, Verdict::Go);
    assert_eq!(start(&mut w), []);
    w.ok(&Command::SetSeparation { on: true });
    assert_eq!(start(&mut w), [ReasonCode::Separation]);
}

#[test]
fn an_edit_of_scope_voids_and_a_new_title_does_not() {
    let mut w = planned();
    w.decide_as(BEN, about(), Role::ProductOwner, Verdict::Go);
    w.decide_as(CLEO, about(), Role::Approver, Verdict::Go);
    assert_eq!(start(&mut w), []);
    let mut titled = spec();
    titled["title"] = json!("The summer one");
    w.plan("summer", titled);
    assert_eq!(start(&mut w), []);
    let mut wider = spec();
    wider["stages"][0]["share"] = json!("20%");
    w.plan("summer", wider);
    assert_eq!(start(&mut w), [ReasonCode::DecisionMissing; 2]);
    // and back again is the scope that was decided on
    w.plan("summer", spec());
    assert_eq!(start(&mut w), []);
}

#[test]
fn another_value_or_another_end_is_another_scope() {
    let mut w = World::shop();
    let plan = |end: Option<&str>| json!({"features": [{"key": "basket", "variant": "new"}], "decisions": [{"role": "approver"}], "stages": [{"name": "all", "share": "100%"}], "expires": end});
    w.plan("summer", plan(None));
    let go = |w: &mut World| w.decide_as(BEN, about(), Role::Approver, Verdict::Go);
    go(&mut w);
    assert_eq!(start(&mut w), []);
    let basket = |new: &str, owner: &str| {
        vec![manifest("feature", "basket", json!({"type": "string", "variants": {"new": new, "other": "other", "off": "old"}, "off": "off", "owner": owner}))]
    };
    w.apply(basket("new", "someone"));
    assert_eq!(start(&mut w), [], "who owns it was not decided on");
    let events = w.apply(basket("newer", "someone"));
    assert!(events.iter().any(|e| matches!(e, Event::ReleaseScopeChanged(e) if e.changed == ["values"])), "{events:?}");
    assert_eq!(start(&mut w), [ReasonCode::DecisionMissing]);
    assert_eq!(w.apply(basket("newer", "someone")), []);
    go(&mut w);
    assert_eq!(start(&mut w), []);
    w.plan("summer", plan(Some("2026-09-01T00:00:00Z")));
    assert_eq!(start(&mut w), [ReasonCode::DecisionMissing]);
}

#[test]
fn nobody_becomes_someone_else_by_having_the_title_changed() {
    let mut w = planned();
    // Ann wrote it, and says go herself; Ben changes its title
    w.decide_as(ANN, about(), Role::ProductOwner, Verdict::Go);
    w.decide_as(CLEO, about(), Role::Approver, Verdict::NoGo);
    let mut titled = spec();
    titled["title"] = json!("harmless");
    w.attempt_as(person(BEN), &World::plan_command("summer", titled)).unwrap();
    w.decide_as(CLEO, about(), Role::Approver, Verdict::Go);
    assert_eq!(start(&mut w), [ReasonCode::Separation], "she decided alone on what she wrote alone");
}

#[test]
fn with_a_second_author_the_first_may_decide() {
    let mut w = planned();
    let mut edited = spec();
    edited["stages"][0]["share"] = json!("5%");
    w.attempt_as(person(BEN), &World::plan_command("summer", edited)).unwrap();
    w.decide_as(ANN, about(), Role::ProductOwner, Verdict::Go);
    w.decide_as(CLEO, about(), Role::Approver, Verdict::Go);
    assert_eq!(start(&mut w), []);
}

#[test]
fn a_no_go_stands_until_it_is_answered() {
    let mut w = planned();
    w.decide_as(BEN, about(), Role::ProductOwner, Verdict::Go);
    w.decide_as(CLEO, about(), Role::Approver, Verdict::Go);
    w.decide_as(4, about(), Role::Approver, Verdict::NoGo);
    assert_eq!(start(&mut w), [ReasonCode::DecisionNoGo]);
    w.pass(secs(30 * 24 * 3600));
    assert!(start(&mut w).contains(&ReasonCode::DecisionNoGo), "silence answers nothing");
    w.decide_as(BEN, about(), Role::ProductOwner, Verdict::Go);
    w.decide_as(ANN, about(), Role::Approver, Verdict::Go);
    assert!(start(&mut w).contains(&ReasonCode::DecisionNoGo), "its author's word does not count");
    w.decide_as(CLEO, about(), Role::Approver, Verdict::Go);
    assert_eq!(start(&mut w), []);
}

#[test]
fn decisions_end_and_growth_asks_again() {
    let mut w = planned();
    w.decide_as(BEN, about(), Role::ProductOwner, Verdict::Go);
    w.attempt_as(
        person(CLEO),
        &Command::Decide { about: about(), role: Role::Approver, verdict: Verdict::Go, by: person_id(CLEO), note: Some("fine".to_owned()), valid_for: Some(secs(3600)) },
    )
    .unwrap();
    w.ok(&World::start_command("summer"));
    w.pass(secs(3601));
    assert_eq!(start(&mut w), [ReasonCode::DecisionMissing]);
    assert_eq!(w.kind("summer"), CourseKind::Exposing, "what serves goes on");
    w.decide_as(CLEO, about(), Role::Approver, Verdict::Go);
    let before = w.state.seq;
    w.decide_as(CLEO, about(), Role::Approver, Verdict::Go);
    assert_eq!(w.state.seq, before, "the same word twice is one");
    assert_eq!(start(&mut w), []);
}

#[test]
fn a_withdrawn_release_asks_everyone_anew() {
    let mut w = planned();
    w.decide_as(BEN, about(), Role::ProductOwner, Verdict::Go);
    w.decide_as(CLEO, about(), Role::Approver, Verdict::Go);
    w.ok(&World::start_command("summer"));
    w.withdraw("summer");
    let decide = Command::Decide { about: about(), role: Role::Approver, verdict: Verdict::Go, by: person_id(CLEO), note: None, valid_for: None };
    assert_eq!(w.refused(&decide), [ReasonCode::WrongState]);
    w.plan("summer", spec());
    assert_eq!(start(&mut w), [ReasonCode::DecisionMissing; 2]);
}

#[test]
fn an_armed_release_starts_when_the_last_word_is_said() {
    let mut w = World::shop();
    let mut armed = spec();
    armed["mode"] = json!("on_deploy");
    w.plan("summer", armed);
    w.decide_as(BEN, about(), Role::ProductOwner, Verdict::Go);
    assert_eq!(w.kind("summer"), CourseKind::Armed);
    w.decide_as(CLEO, about(), Role::Approver, Verdict::Go);
    w.settle();
    assert_eq!(w.kind("summer"), CourseKind::Exposing);
}

#[test]
fn the_last_admin_stays() {
    let mut w = World::empty();
    let add = |name: &str, roles: &[Role]| Command::AddPerson { name: name.to_owned(), roles: roles.to_vec() };
    let host = greenroom_domain::actor::Actor::System(greenroom_domain::actor::Part::Host);
    w.attempt_as(host, &add("eve", &[Role::Engineer])).unwrap();
    let eve = *w.state.persons.keys().next().unwrap();
    w.ok(&Command::SetRoles { id: eve, roles: vec![Role::Viewer] });
    w.attempt_as(host, &add("adam", &[Role::Admin])).unwrap();
    let adam = w.state.persons.values().find(|p| p.roles == [Role::Admin]).unwrap().id;
    assert_eq!(w.refused(&Command::SetRoles { id: adam, roles: vec![] }), [ReasonCode::LastAdmin]);
    assert_eq!(w.refused(&Command::RemovePerson { id: adam }), [ReasonCode::LastAdmin]);
    w.ok(&Command::SetRoles { id: eve, roles: vec![Role::Admin, Role::Engineer, Role::Admin] });
    let roles = w.state.persons[&eve].roles.clone();
    assert!(matches!(w.ok(&Command::SetPassword { id: eve }).as_slice(), [Event::PersonPasswordSet(set)] if set.id == eve));
    assert_eq!(w.state.persons[&eve].roles, roles, "a password is no role");
    w.ok(&Command::RemovePerson { id: adam });
    for gone in [Command::RemovePerson { id: adam }, Command::SetPassword { id: adam }] {
        assert_eq!(w.refused(&gone), [ReasonCode::NotFound]);
    }
}
