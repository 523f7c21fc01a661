//! A feature taken from everyone: how whoever evaluates takes it up, and what it takes to lift it.

use greenroom_domain::command::Command;
use greenroom_domain::decision::{About, Verdict};
use greenroom_domain::refusal::ReasonCode;
use greenroom_domain::release::feature::Withdrawal;
use greenroom_domain::role::Role;
use greenroom_domain::time::Share;
use serde_json::json;

use crate::world::*;

fn kill(feature: &str) -> Command {
    Command::KillFeature { feature: key(feature), environment: n(PRODUCTION), reason: "smells".to_owned() }
}

fn restore(feature: &str) -> Command {
    Command::RestoreFeature { feature: key(feature), environment: n(PRODUCTION) }
}

/// How the kill of `checkout` is taken up.
fn taken_up(w: &World) -> Withdrawal {
    w.state.features[&key("checkout")].kills[&n(PRODUCTION)].withdrawal.clone().unwrap()
}

#[test]
fn it_is_effective_once_evaluators_have_acknowledged() {
    let mut w = World::shop();
    w.evaluators = false;
    w.ok(&kill("checkout"));
    let said = taken_up(&w);
    assert_eq!((said.seq, said.deadline, said.share, said.effective), (w.state.revision(&n(PRODUCTION)), w.now + secs(30), Share::ALL, None));
    w.evaluators = true;
    w.settle();
    let said = taken_up(&w);
    assert_eq!((said.effective, said.in_contact, said.acknowledged, w.withdrawals().len()), (Some(w.now), 3, 3, 0));
    assert_eq!((w.happened("kill.effective"), w.happened("kill.partial")), (1, 0));
}

/// By the environment's policy, as a release that is withdrawn.
#[test]
fn the_environment_says_how_many_have_to_acknowledge_and_until_when() {
    let mut w = World::shop();
    let mut production = serde_json::to_value(&w.state.environments[&n(PRODUCTION)].spec).unwrap();
    production["policies"] = json!(["most"]);
    w.apply(vec![manifest("policy", "most", json!({"rules": [{"withdrawal": {"acknowledged": "60%", "deadline": "5s"}}]})), manifest("environment", PRODUCTION, production)]);
    w.evaluators = false;
    w.ok(&kill("checkout"));
    let said = taken_up(&w);
    assert_eq!((said.deadline, said.share.of(10)), (w.now + secs(5), 6));
}

#[test]
fn at_its_deadline_it_is_partial_once_and_stays_open() {
    let mut w = World::shop();
    w.evaluators = false;
    w.ok(&kill("checkout"));
    let open = w.withdrawals().remove(0);
    w.pass(secs(30));
    assert_eq!(w.hear(&open, 2, false).len(), 1);
    assert_eq!(w.hear(&open, 2, false), [], "said once");
    let said = taken_up(&w);
    assert_eq!((said.partial, said.in_contact, said.acknowledged, said.laggards.as_slice()), (true, 3, 2, ["slow".to_owned()].as_slice()));
    assert_eq!(w.hear(&open, 3, true).len(), 1);
    assert_eq!(w.hear(&open, 3, true), [], "it is over");
    let said = taken_up(&w);
    assert_eq!((said.effective.is_some(), said.acknowledged, said.laggards), (true, 3, Vec::<String>::new()));
}

/// A report that comes late says nothing of the kill that followed.
#[test]
fn lifted_and_killed_again_it_is_acknowledged_anew() {
    let mut w = World::shop();
    w.evaluators = false;
    w.ok(&kill("checkout"));
    let before = w.withdrawals().remove(0);
    w.ok(&restore("checkout"));
    assert_eq!((w.withdrawals(), w.hear(&before, 3, true)), (vec![], vec![]), "nothing waits any more");
    w.ok(&kill("checkout"));
    assert_eq!((w.hear(&before, 3, true), taken_up(&w).effective), (vec![], None));
    w.evaluators = true;
    w.settle();
    assert!(taken_up(&w).effective.is_some());
}

#[test]
fn killed_features_of_one_release_are_restored_one_by_one_even_after_decisions_lapsed() {
    let mut w = World::shop();
    w.ship("web@1.1.0");
    w.plan(
        "summer",
        json!({"features": [{"key": "checkout", "variant": "on"}, {"key": "basket", "variant": "new"}], "needs": ["web>=1.1.0"],
        "decisions": [{"role": "product-owner"}], "stages": [{"name": "all", "share": "100%"}]}),
    );
    let about = || About::Release(n("summer"));
    let go = |w: &mut World| w.decide_as(BEN, about(), Role::ProductOwner, Verdict::Go);
    go(&mut w);
    w.ok(&World::start_command("summer"));
    w.ok(&Command::CloseRelease { name: n("summer"), environment: None });
    w.ok(&kill("checkout"));
    assert!(w.ok(&kill("checkout")).is_empty());
    w.ok(&kill("basket"));
    w.pass(secs(10 * 24 * 3600));
    assert_eq!(w.refused(&restore("checkout")), [ReasonCode::DecisionMissing]);
    go(&mut w);
    w.ok(&restore("checkout"));
    assert_eq!((w.served("checkout", "u"), w.served("basket", "u")), ("on".to_owned(), "off".to_owned()));
    w.ok(&restore("basket"));
    assert_eq!(w.served("basket", "u"), "new");
    assert!(w.ok(&restore("basket")).is_empty());
}
