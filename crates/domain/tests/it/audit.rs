//! What must hold at every event of every story: the laws that look at one step at a time.

use std::sync::Arc;

use greenroom_domain::event::Event;
use greenroom_domain::exposure;
use greenroom_domain::id::Name;
use greenroom_domain::link::{self, Need, Seen};
use greenroom_domain::sealed::Sealed;
use greenroom_domain::state::{Recorded, State};

/// Folds `events` onto `state` one by one, and looks at each.
pub fn all(state: &State, events: &[Recorded], seen: &Seen, texts: &dyn Fn(&Sealed) -> Option<String>) {
    let mut before = state.clone();
    for recorded in events {
        assert_eq!(recorded.seq, before.seq + 1, "no gaps");
        assert!(recorded.at >= before.at, "time never goes back");
        let read = round_trip(&recorded.event);
        let mut after = before.clone();
        after.apply(&Recorded { event: read, ..recorded.clone() });
        life_cycles(&before, &after, recorded);
        needs(&before, &after, recorded, seen);
        revisions(&before, &after, recorded, texts);
        before = after;
    }
}

/// What is written is what is read.
fn round_trip(event: &Event) -> Event {
    let body = event.encode().unwrap();
    let read = Event::decode(event.kind(), event.version(), &body).unwrap_or_else(|e| panic!("{e:?}\n{}", String::from_utf8_lossy(&body)));
    assert_eq!(read, *event);
    read
}

fn life_cycles(before: &State, after: &State, recorded: &Recorded) {
    if let Event::RolloutMoved(e) = &recorded.event {
        let old = before.rollouts.get(&e.rollout).expect("a rollout that moves exists");
        assert_eq!(old.step.kind(), e.from);
        assert!(e.from.may_become(e.to.kind()), "{} -> {}", e.from, e.to.kind());
    }
    for (name, release) in &after.releases {
        let Some(old) = before.releases.get(name).filter(|old| !Arc::ptr_eq(old, release)) else { continue };
        for (environment, inside) in &release.environments {
            let Some(was) = old.environments.get(environment).map(|i| &i.course) else { continue };
            assert!(*was == inside.course || was.kind().may_become(inside.course.kind()), "{name}: {} -> {} by {:?}", was.kind(), inside.course.kind(), recorded.event);
        }
    }
    for rollout in after.rollouts.values() {
        let holds = after.placements.get(&rollout.key).is_some_and(|p| p.active == Some(rollout.id));
        assert!(holds == rollout.step.kind().holds() || !after.placements.contains_key(&rollout.key), "{} is {} and holds its placement: {holds}", rollout.id, rollout.step.kind());
    }
}

/// Nothing in production is shown to more people unless every need is met and fresh; nothing is taken off by automation
/// unless one is positively unmet.
fn needs(before: &State, after: &State, recorded: &Recorded, seen: &Seen) {
    let met = |name: &Name, environment: &Name| {
        let release = before.releases.get(name).expect("a release that grows exists");
        let open = link::growth(before, release, environment, recorded.at, seen);
        assert!(open.is_empty(), "{:?} although {open:#?}", recorded.event);
    };
    let unmet = |name: &Name, environment: &Name| {
        let release = before.releases.get(name).expect("a release that is taken off exists");
        let needs = link::needs(before, release, environment, recorded.at, seen);
        assert!(needs.iter().any(|(_, status)| matches!(status, Need::Unmet { .. })), "{:?} although {needs:#?}", recorded.event);
    };
    match &recorded.event {
        Event::ReleaseStageStarted(e) if e.stage > 0 => met(&e.name, &e.environment),
        Event::ReleaseResumed(e) if after.releases[&e.name].serving_stage(&e.environment).is_some_and(|s| s > 0) => met(&e.name, &e.environment),
        Event::BaselineRestored(e) => met(&e.release, &e.environment),
        Event::FeatureRestored(e) => {
            for release in before.releases.values() {
                let contains = release.spec.features.iter().any(|f| f.key == e.feature);
                let claims = release.serving_stage(&e.environment).is_some_and(|stage| stage > 0);
                let stays = matches!(link::binds(before, release, &e.environment), Some((link::Through::Baseline, _)));
                if contains && (claims || stays) {
                    met(&release.name, &e.environment);
                }
            }
        }
        Event::ReleasePaused(e) if e.off => unmet(&e.name, &e.environment),
        Event::BaselineBlocked(e) => unmet(&e.release, &e.environment),
        _ => {}
    }
}

/// Whoever follows revisions sees every change of exposure.
fn revisions(before: &State, after: &State, recorded: &Recorded, texts: &dyn Fn(&Sealed) -> Option<String>) {
    for environment in after.environments.keys() {
        if after.revision(environment) == recorded.seq {
            continue;
        }
        let (mut old, new) = (exposure::compile(before, environment, texts), exposure::compile(after, environment, texts));
        old.revision = new.revision;
        assert_eq!(old, new, "{:?} changes what `{environment}` serves and its revision does not", recorded.event);
    }
}

/// Every map of entities, every index, and what is to be judged, are the same.
pub fn same(a: &State, b: &State) {
    same_maps(a, b);
    let work = |s: &State| s.agenda.work(greenroom_domain::agenda::Cursor::default(), greenroom_domain::time::At::LAST);
    assert_eq!(work(a), work(b));
}

/// As [`same`], but for what is to be judged.
pub fn same_maps(a: &State, b: &State) {
    assert_eq!((a.seq, a.at, a.separation, a.numbers), (b.seq, b.at, b.separation, b.numbers));
    macro_rules! equal {
        ($($field:ident),*) => { $(assert!(a.$field == b.$field, "{} differ:\n{:#?}\n{:#?}", stringify!($field), a.$field, b.$field);)* };
    }
    equal!(
        environments,
        services,
        policies,
        features,
        cohorts,
        attributes,
        earlier_cohorts,
        builds,
        versions,
        configs,
        placements,
        deployments,
        rollouts,
        checks,
        releases,
        holds,
        persons,
        tokens,
        token_ids,
        expiring,
        revisions
    );
    equal!(placed, active, waiting, by_number, latest, needed_by, unflagged, builds_of, tried, lived);
}
