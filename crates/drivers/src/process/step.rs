//! What to do next, as a pure function of what is on disk, in the process table and at the probe. Every step is judged
//! anew from there, so it does not matter who made the one before, or whether it was cut off.

use greenroom_domain::id::OperationId;
use greenroom_domain::time::Span;

use super::record::{Phase, Record};

/// What became of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Life {
    /// Not started, or before the last boot, which is no fault of its own.
    Absent,
    Alive,
    /// Why, as far as known.
    Dead(String),
}

/// What the probe said since this start of the process.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Probed {
    pub passed_in_a_row: u32,
    pub failed_in_a_row: u32,
    /// Whether it was asked at all: before that, whoever looks has just come.
    pub asked: bool,
    /// Since when without a failure.
    pub ready_for: Option<Span>,
    pub last_failure: Option<String>,
}

/// The moment's facts about one operation.
#[derive(Debug, Clone)]
pub(crate) struct Facts<'a> {
    pub record: Option<&'a Record>,
    pub life: Life,
    pub probed: Probed,
    pub cancelled: bool,
    /// Time since this start began.
    pub elapsed: Span,
    /// The routes lead to this process (true without a stable address).
    pub routed: bool,
    /// The routes lead where they should: before this operation serves, not to one that was taken back; after it was
    /// taken back itself, to what was there before.
    pub restored: bool,
    /// Others of this placement that still live.
    pub others: Vec<OperationId>,
    /// Those among them that were taken back and must go in any case.
    pub condemned: Vec<OperationId>,
}

impl Facts<'_> {
    /// Past its deadline, a process is judged by what the probe says today: nobody may have looked at it while it became
    /// ready, and what is ready has until its next failure to show that it stays so.
    const fn is_late(&self) -> bool {
        self.probed.asked && self.probed.ready_for.is_none()
    }
}

/// Limits of the recipe.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub times: u32,
    pub min_stable: Span,
    pub deadline: Span,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    Start,
    /// It was live and has died.
    Restart,
    /// Nothing now: ask the probe and look again.
    Wait,
    /// Lead the stable address to it.
    Switch,
    /// It held for `min_stable`.
    Prove,
    /// TERM, wait, KILL.
    Stop(Vec<OperationId>),
    /// Record that it failed; what follows takes it back.
    Condemn(String),
    /// It was live once and cannot be restarted; what to do is for others to decide.
    GiveUp(String),
    /// Lead the stable address back.
    Restore,
    Finish,
    /// Nothing is left to do.
    Rest,
}

pub(crate) fn next(facts: &Facts<'_>, limits: Limits) -> Action {
    let Some(record) = facts.record else {
        return if facts.cancelled { Action::Rest } else { Action::Start };
    };
    if record.verdict.is_some() {
        return match (facts.restored, &facts.life) {
            (false, _) => Action::Restore,
            (true, Life::Alive) => Action::Stop(vec![record.op]),
            (true, _) if !facts.condemned.is_empty() => Action::Stop(facts.condemned.clone()),
            (true, _) => Action::Rest,
        };
    }
    let fail = |why: String| if record.lived { Action::GiveUp(why) } else { Action::Condemn(why) };
    if facts.cancelled && !record.lived && record.phase < Phase::Proved {
        return Action::Condemn("cancelled".into());
    }
    match (record.phase, &facts.life) {
        (Phase::Proved | Phase::Done, Life::Dead(_) | Life::Absent) => Action::Restart,
        (Phase::Starting | Phase::Serving, Life::Absent) => Action::Start,
        (Phase::Starting | Phase::Serving, Life::Dead(why)) => fail(why.clone()),
        (Phase::Starting | Phase::Serving, Life::Alive) if facts.elapsed >= limits.deadline && facts.is_late() => fail(late(facts, limits)),
        (Phase::Starting, Life::Alive) if !facts.restored => Action::Restore,
        (Phase::Starting, Life::Alive) if !facts.condemned.is_empty() => Action::Stop(facts.condemned.clone()),
        (Phase::Starting, Life::Alive) if facts.probed.passed_in_a_row >= limits.times.max(1) => Action::Switch,
        (Phase::Starting, Life::Alive) => Action::Wait,
        (Phase::Serving, Life::Alive) if facts.probed.failed_in_a_row >= limits.times.max(1) => fail(format!("no longer ready: {}", last_failure(&facts.probed))),
        (Phase::Serving, Life::Alive) if facts.probed.ready_for.is_some_and(|t| t >= limits.min_stable) => Action::Prove,
        (Phase::Serving, Life::Alive) => Action::Wait,
        (Phase::Proved | Phase::Done, Life::Alive) if !facts.routed => Action::Switch,
        (Phase::Proved | Phase::Done, Life::Alive) if !facts.others.is_empty() => Action::Stop(facts.others.clone()),
        (Phase::Proved, Life::Alive) => Action::Finish,
        (Phase::Done, Life::Alive) => Action::Rest,
    }
}

fn late(facts: &Facts<'_>, limits: Limits) -> String {
    format!("not ready within {}: {}", limits.deadline, last_failure(&facts.probed))
}

fn last_failure(probed: &Probed) -> String {
    probed.last_failure.clone().unwrap_or_else(|| "the probe was not answered yet".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { times: 2, min_stable: Span::secs(1), deadline: Span::secs(60) };

    fn op(attempt: u32) -> OperationId {
        format!("rol_{:032x}/{attempt}", 7).parse().unwrap()
    }

    fn record(phase: Phase) -> Record {
        Record {
            op: op(1),
            fence: 1,
            label: "web@1".parse().unwrap(),
            build: crate::sha256_digest(Default::default()),
            config: crate::sha256_digest(Default::default()),
            listen: "127.0.0.1:1".parse().unwrap(),
            stable: None,
            argv: Vec::new(),
            log: Default::default(),
            drain: Span::secs(5),
            phase,
            began: Span(0),
            boot: String::new(),
            process: None,
            started: None,
            starts: 1,
            restarts: 0,
            lived: false,
            verdict: None,
            blameless: false,
            failure: None,
            retired: None,
            terminated: None,
        }
    }

    fn facts(record: &Record) -> Facts<'_> {
        Facts {
            record: Some(record),
            life: Life::Alive,
            probed: Probed::default(),
            cancelled: false,
            elapsed: Span(0),
            routed: false,
            restored: true,
            others: Vec::new(),
            condemned: Vec::new(),
        }
    }

    fn ready(ready_for: Span) -> Probed {
        Probed { passed_in_a_row: 2, failed_in_a_row: 0, asked: true, ready_for: Some(ready_for), last_failure: None }
    }

    #[test]
    fn a_deployment_goes_its_way() {
        let starting = record(Phase::Starting);
        assert_eq!(next(&Facts { record: None, ..facts(&starting) }, LIMITS), Action::Start);
        assert_eq!(next(&facts(&starting), LIMITS), Action::Wait);
        assert_eq!(next(&Facts { probed: ready(Span(0)), ..facts(&starting) }, LIMITS), Action::Switch);
        let serving = record(Phase::Serving);
        assert_eq!(next(&Facts { probed: ready(Span(0)), routed: true, ..facts(&serving) }, LIMITS), Action::Wait);
        assert_eq!(next(&Facts { probed: ready(Span::secs(1)), routed: true, ..facts(&serving) }, LIMITS), Action::Prove);
        let proved = record(Phase::Proved);
        assert_eq!(next(&Facts { routed: true, others: vec![op(9)], ..facts(&proved) }, LIMITS), Action::Stop(vec![op(9)]));
        assert_eq!(next(&Facts { routed: true, ..facts(&proved) }, LIMITS), Action::Finish);
        assert_eq!(next(&Facts { routed: true, ..facts(&record(Phase::Done)) }, LIMITS), Action::Rest);
    }

    #[test]
    fn what_fails_before_it_is_proved_is_taken_back_and_what_lived_is_restarted() {
        for phase in [Phase::Starting, Phase::Serving] {
            let r = record(phase);
            assert_eq!(next(&Facts { life: Life::Dead("x".into()), ..facts(&r) }, LIMITS), Action::Condemn("x".into()));
            let late = |probed| next(&Facts { elapsed: Span::secs(60), probed, ..facts(&r) }, LIMITS);
            let asked = Probed { asked: true, ..Probed::default() };
            assert!(matches!(late(asked), Action::Condemn(why) if why.starts_with("not ready within 1m")));
            assert_eq!(late(Probed::default()), Action::Wait, "whoever has just come asks before it judges");
            assert!(!matches!(late(ready(Span(0))), Action::Condemn(_)), "it became ready while nobody looked");
            assert_eq!(next(&Facts { life: Life::Absent, ..facts(&r) }, LIMITS), Action::Start, "the machine was restarted");
            assert_eq!(next(&Facts { cancelled: true, ..facts(&r) }, LIMITS), Action::Condemn("cancelled".into()));
            let again = Record { lived: true, ..record(phase) };
            assert_eq!(next(&Facts { life: Life::Dead("x".into()), ..facts(&again) }, LIMITS), Action::GiveUp("x".into()));
        }
        let failing = Probed { failed_in_a_row: 2, last_failure: Some("status 500".into()), ..Probed::default() };
        let serving = record(Phase::Serving);
        assert_eq!(next(&Facts { probed: failing, ..facts(&serving) }, LIMITS), Action::Condemn("no longer ready: status 500".into()));
        for phase in [Phase::Proved, Phase::Done] {
            let r = record(phase);
            assert_eq!(next(&Facts { life: Life::Dead("x".into()), ..facts(&r) }, LIMITS), Action::Restart);
            assert_eq!(next(&Facts { cancelled: true, routed: true, ..facts(&r) }, LIMITS), next(&Facts { routed: true, ..facts(&r) }, LIMITS), "too late to cancel");
        }
    }

    #[test]
    fn taking_back_leads_the_address_back_before_anything_is_stopped() {
        let r = Record { verdict: Some("x".into()), ..record(Phase::Serving) };
        assert_eq!(next(&Facts { restored: false, ..facts(&r) }, LIMITS), Action::Restore);
        assert_eq!(next(&facts(&r), LIMITS), Action::Stop(vec![op(1)]));
        assert_eq!(next(&Facts { life: Life::Dead("x".into()), ..facts(&r) }, LIMITS), Action::Rest);
    }
}
