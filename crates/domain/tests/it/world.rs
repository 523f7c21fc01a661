//! A small world to tell stories in: a shop with two services, driven by hand. Time is a number; the fleet is a map of
//! what runs where; the ledger is a list. Every event that any story writes goes through [`crate::audit`].

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use greenroom_domain::actor::{Actor, Part};
use greenroom_domain::agenda::Cursor;
use greenroom_domain::command::{Command, Manifest, RecordCheck, Report};
use greenroom_domain::decide::{Context, Mint, Stop, decide};
use greenroom_domain::decision::{About, Verdict};
use greenroom_domain::deployment::build::{Artifact, BuildSpec};
use greenroom_domain::deployment::check::Outcome;
use greenroom_domain::deployment::deployment::{Deployment, Motive};
use greenroom_domain::deployment::placement::{Basis, Health, Observation};
use greenroom_domain::deployment::rollout::{Rollout, StepKind};
use greenroom_domain::event::Event;
use greenroom_domain::exposure;
use greenroom_domain::few::{Few, FewSet};
use greenroom_domain::id::{AttributeName, BuildLabel, DeploymentId, Digest, FeatureKey, Name, PersonId, PlacementKey, RolloutId, VariantName, Version};
use greenroom_domain::link::Seen;
use greenroom_domain::refusal::{ReasonCode, Refusal};
use greenroom_domain::release::release::{Course, CourseKind, Release};
use greenroom_domain::role::Role;
use greenroom_domain::state::{Recorded, State};
use greenroom_domain::time::{At, Span};
use greenroom_domain::withdrawal::Open;
use greenroom_exposure::{Pairs, Snapshot};
use serde_json::{Value, json};
use sha2::Digest as _;
use uuid::Uuid;

use crate::audit;

pub const PRODUCTION: &str = "production";

pub fn n(text: &str) -> Name {
    Name::new(text).unwrap()
}
pub fn key(text: &str) -> FeatureKey {
    FeatureKey::new(text).unwrap()
}
pub fn variant(text: &str) -> VariantName {
    VariantName::new(text).unwrap()
}
pub fn label(text: &str) -> BuildLabel {
    text.parse().unwrap()
}
pub fn secs(s: i64) -> Span {
    Span::secs(s)
}
pub const MINUTE: Span = Span::secs(60);
pub const DAY: Span = Span::secs(24 * 3600);

pub fn person(number: u128) -> Actor {
    Actor::Person(person_id(number))
}
pub fn person_id(number: u128) -> PersonId {
    PersonId::new(Uuid::from_u128(number))
}
/// Who acts unless a story says otherwise.
pub const ANN: u128 = 1;
pub const BEN: u128 = 2;
pub const CLEO: u128 = 3;

pub fn digest(text: &str) -> Digest {
    let hash = sha2::Sha256::digest(text.as_bytes());
    Digest::new(hash.iter().fold("sha256:".to_owned(), |s, b| format!("{s}{b:02x}"))).unwrap()
}

pub fn manifest(kind: &str, name: &str, spec: Value) -> Manifest {
    let title = None;
    match kind {
        "environment" => Manifest::Environment { name: n(name), title, spec: serde_json::from_value(spec).unwrap() },
        "service" => Manifest::Service { name: n(name), title, spec: serde_json::from_value(spec).unwrap() },
        "policy" => Manifest::Policy { name: n(name), title, spec: serde_json::from_value(spec).unwrap() },
        "feature" => Manifest::Feature { key: key(name), title, spec: serde_json::from_value(spec).unwrap() },
        "cohort" => Manifest::Cohort { name: n(name), title, spec: serde_json::from_value(spec).unwrap() },
        "attribute" => Manifest::Attribute { name: AttributeName::new(name).unwrap(), title, spec: serde_json::from_value(spec).unwrap() },
        other => panic!("{other}"),
    }
}

pub fn target(environment: &str, name: &str, wave: u32, port: u16) -> Value {
    json!({"name": name, "driver": "process", "address": format!("/{environment}/{name}"), "wave": wave,
           "endpoints": {"web": format!("127.0.0.1:{port}"), "stock": format!("127.0.0.1:{}", port + 1)}})
}

pub fn service() -> Value {
    json!({"components": ["app"],
           "recipes": {"process": {"run": ["{app}"], "ready": {"http": "/ready"}}},
           "checks": [{"name": "real", "kind": "real_data", "purposes": ["staging"], "run": {"http": {"path": "/"}}},
                      {"name": "smoke", "kind": "smoke", "purposes": ["production"], "run": {"http": {"path": "/"}}}]})
}

/// The shop: staging before production, services `web` and `stock`, feature `checkout`, cohort `staff`.
pub fn shop() -> Vec<Manifest> {
    vec![
        manifest("environment", "staging", json!({"purpose": "staging", "targets": [target("staging", "s1", 0, 7000)]})),
        manifest("environment", PRODUCTION, json!({"purpose": "production", "after": ["staging"], "policies": ["production"], "targets": [target(PRODUCTION, "p1", 0, 7100)]})),
        manifest("policy", "production", json!({"rules": []})),
        manifest("service", "web", service()),
        manifest("service", "stock", service()),
        manifest("feature", "checkout", json!({"type": "boolean", "variants": {"on": true, "off": false}, "off": "off"})),
        manifest("feature", "basket", json!({"type": "string", "variants": {"new": "new", "other": "other", "off": "old"}, "off": "off"})),
        manifest("cohort", "staff", json!({"internal": true, "any_of": [[{"attribute": "mail", "op": "ends_with", "values": ["@shop.test"]}]]})),
    ]
}

/// What the simulated target does with a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    Good,
    /// Never gets ready; the target takes it back.
    NeverReady,
    /// Gets ready, and its check fails.
    CheckFails,
    /// Takes the operation and is not heard of again.
    Silent,
    /// Its check cannot be judged.
    Inconclusive,
}

#[derive(Clone)]
pub struct World {
    pub state: State,
    pub ledger: Vec<Recorded>,
    pub now: At,
    pub seen: HashMap<PlacementKey, At>,
    /// What really runs.
    pub runs: HashMap<PlacementKey, Observation>,
    pub manners: BTreeMap<String, Manner>,
    /// Targets that cannot be reached.
    pub silent: Vec<Name>,
    pub actor: Actor,
    pub texts: HashMap<Digest, String>,
    /// Whether the fleet works by itself after every command.
    pub fleet: bool,
    /// Whether evaluators acknowledge withdrawals by themselves.
    pub evaluators: bool,
    /// Whether every event is audited on the way; the stories do, laws with their own audit need not.
    pub audited: bool,
    /// Whether what is over leaves the state.
    pub forgets: bool,
    cursor: Cursor,
    minted: u128,
}

impl World {
    /// Nothing but a clock.
    pub fn empty() -> Self {
        Self {
            state: State::default(),
            ledger: Vec::new(),
            now: "2026-03-02T09:00:00Z".parse().unwrap(),
            seen: HashMap::new(),
            runs: HashMap::new(),
            manners: BTreeMap::new(),
            silent: Vec::new(),
            actor: person(ANN),
            texts: HashMap::new(),
            fleet: true,
            evaluators: true,
            audited: true,
            forgets: true,
            cursor: Cursor::default(),
            minted: 0,
        }
    }

    /// The shop, with `web@1.0.0` and `stock@1.0.0` live in staging and production.
    pub fn shop() -> Self {
        let mut w = Self::empty();
        w.apply(shop());
        for build in ["stock@1.0.0", "web@1.0.0"] {
            w.register(build);
            w.deploy(build, "staging");
            w.deploy(build, PRODUCTION);
            assert_eq!(w.running(PRODUCTION, label(build).service.as_str()), build, "{:?}", w.last_steps());
        }
        w
    }

    // commands

    pub fn attempt(&mut self, command: &Command) -> Result<Vec<Event>, Refusal> {
        let actor = self.actor;
        self.attempt_as(actor, command)
    }

    pub fn attempt_as(&mut self, actor: Actor, command: &Command) -> Result<Vec<Event>, Refusal> {
        let events = self.decide(actor, command)?;
        if !matches!(command, Command::Tick { .. } | Command::Report(_) | Command::RecordCheck(_) | Command::ReportWithdrawal { .. }) {
            self.settle();
        }
        Ok(events)
    }

    /// Decides and takes the events, and nothing beside.
    pub fn decide(&mut self, actor: Actor, command: &Command) -> Result<Vec<Event>, Refusal> {
        self.minted += 1;
        let mint = Mint { seed: self.minted.to_be_bytes(), secret: (self.minted << 64).to_be_bytes() };
        let seen = Seen(Arc::new(self.seen.clone()));
        let known = self.texts.clone();
        let texts = |s: &greenroom_domain::sealed::Sealed| known.get(&s.0).cloned();
        let context = Context { now: self.now, actor, mint, seen: &seen, texts: &texts };
        let mut overlaid = None;
        for _ in 0..50 {
            match decide(overlaid.as_ref().unwrap_or(&self.state), &context, command) {
                Ok(mut decided) => {
                    if !self.forgets && decided.events.iter().any(|r| matches!(r.event, Event::Archived(_))) {
                        let mut state = self.state.clone();
                        decided.events.iter().filter(|r| !matches!(r.event, Event::Archived(_))).for_each(|r| state.apply(r));
                        // what is not forgotten is named again and again, which tells no time
                        state.seq = decided.state.seq;
                        decided.state = state;
                    }
                    if self.audited {
                        audit::all(&self.state, &decided.events, &seen, &|s| self.texts.get(&s.0).cloned());
                    }
                    self.texts.extend(decided.seals.iter().map(|s| (s.sealed.0.clone(), s.content.clone())));
                    let events = decided.events.iter().map(|r| r.event.clone()).collect();
                    self.ledger.extend(decided.events);
                    self.state = decided.state;
                    return Ok(events);
                }
                Err(Stop::Refused(refusal)) => {
                    assert!(!refusal.reasons.is_empty(), "a refusal says why");
                    return Err(refusal);
                }
                Err(Stop::Recall(subjects)) => {
                    let base = overlaid.as_ref().unwrap_or(&self.state);
                    overlaid = Some(base.with_recalled(&subjects, &self.archive_of(&subjects)));
                }
            }
        }
        panic!("asks for ever to recall something: {command:?}");
    }

    /// Two worlds that mint from the same number draw the same ids.
    pub fn mint_from(&mut self, number: u128) {
        self.minted = number;
    }

    /// What the ledger holds about these subjects, folded.
    fn archive_of(&self, subjects: &[String]) -> State {
        let mut overlay = State::default();
        for recorded in &self.ledger {
            if !matches!(recorded.event, Event::Archived(_)) && recorded.event.subjects().iter().any(|s| subjects.contains(s)) {
                overlay.apply(recorded);
            }
        }
        overlay
    }

    pub fn ok(&mut self, command: &Command) -> Vec<Event> {
        self.attempt(command).unwrap_or_else(|refusal| panic!("{command:?}\n{refusal:#?}"))
    }

    /// The command is refused and changes nothing; all its codes.
    pub fn refused(&mut self, command: &Command) -> Vec<ReasonCode> {
        let (seq, before) = (self.state.seq, self.ledger.len());
        let refusal = self.attempt(command).expect_err("should be refused");
        assert_eq!((self.state.seq, self.ledger.len()), (seq, before));
        refusal.reasons.iter().map(|r| r.code).collect()
    }

    pub fn refusal(&mut self, command: &Command) -> String {
        let refusal = self.attempt(command).expect_err("should be refused");
        refusal.reasons.iter().map(|r| format!("{}: {} → {}", r.code, r.message, r.remedy)).collect::<Vec<_>>().join("\n")
    }

    pub fn apply(&mut self, manifests: Vec<Manifest>) -> Vec<Event> {
        self.ok(&Command::Apply { set: n("shop"), manifests, prune: false })
    }

    pub fn build_spec(build: &str, more: &Value) -> BuildSpec {
        let label = label(build);
        let artifact = Artifact { uri: format!("file:///{build}"), digests: FewSet::from_iter([digest(build)]) };
        let mut spec = json!({"service": label.service, "version": label.version, "artifacts": {"app": artifact}, "commit": "c0ffee"});
        spec.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        serde_json::from_value(spec).unwrap()
    }

    pub fn register(&mut self, build: &str) -> Digest {
        self.register_with(build, &json!({}))
    }

    pub fn register_with(&mut self, build: &str, more: &Value) -> Digest {
        let build = Self::build_spec(build, more);
        self.ok(&Command::RegisterBuild { build: build.clone() });
        build.digest()
    }

    pub fn deploy_command(builds: &[&str], environment: &str) -> Command {
        Command::Deploy { environment: n(environment), builds: builds.iter().map(|b| label(b)).collect(), motive: Motive::Promote, note: None }
    }

    pub fn deploy(&mut self, build: &str, environment: &str) -> DeploymentId {
        let events = self.ok(&Self::deploy_command(&[build], environment));
        events.iter().find_map(|e| if let Event::DeploymentRequested(e) = e { Some(e.id) } else { None }).expect("requested")
    }

    /// Registers the build and brings it through staging to production.
    pub fn ship(&mut self, build: &str) {
        self.register(build);
        self.deploy(build, "staging");
        self.deploy(build, PRODUCTION);
        assert_eq!(self.running(PRODUCTION, label(build).service.as_str()), build);
    }

    pub fn rollback_command(service: &str) -> Command {
        Command::Rollback { environment: n(PRODUCTION), service: n(service), to: None, withdraw_first: false, emergency: false, note: None }
    }

    pub fn plan_command(name: &str, spec: Value) -> Command {
        Command::PlanRelease { name: n(name), spec: serde_json::from_value(spec).unwrap() }
    }

    pub fn plan(&mut self, name: &str, spec: Value) {
        self.ok(&Self::plan_command(name, spec));
    }

    pub fn start_command(name: &str) -> Command {
        Command::StartRelease { name: n(name), environment: None, stage: None }
    }

    pub fn withdraw(&mut self, name: &str) -> Vec<Event> {
        self.ok(&Command::WithdrawRelease { name: n(name), environment: None, confirm: true, note: None })
    }

    pub fn decide_as(&mut self, who: u128, about: About, role: Role, verdict: Verdict) {
        self.attempt_as(person(who), &Command::Decide { about, role, verdict, by: person_id(who), note: None, valid_for: None }).unwrap();
    }

    // what stands

    pub fn release(&self, name: &str) -> &Release {
        &self.state.releases[&n(name)]
    }

    pub fn course(&self, name: &str) -> Course {
        self.release(name).environments[&n(PRODUCTION)].course.clone()
    }

    pub fn kind(&self, name: &str) -> CourseKind {
        self.course(name).kind()
    }

    pub fn stage(&self, name: &str) -> u32 {
        match self.course(name) {
            Course::Exposing { stage, .. } | Course::Paused { stage, .. } => stage,
            other => panic!("{other:?}"),
        }
    }

    pub fn last_deployment(&self) -> &Deployment {
        let id = self.state.by_number.get_max().expect("a deployment").1;
        &self.state.deployments[&id]
    }

    pub fn rollouts(&self, deployment: DeploymentId) -> Vec<Arc<Rollout>> {
        self.state.deployments[&deployment].rollouts.iter().map(|id| Arc::clone(&self.state.rollouts[id])).collect()
    }

    pub fn step(&self, deployment: DeploymentId) -> StepKind {
        greenroom_domain::deployment::deployment::worst(self.rollouts(deployment).iter().map(|r| r.step.kind()))
    }

    pub fn reasons(&self, deployment: DeploymentId) -> Vec<ReasonCode> {
        self.rollouts(deployment).iter().flat_map(|r| r.step.reasons().iter().map(|x| x.code).collect::<Vec<_>>()).collect()
    }

    pub fn last_steps(&self) -> Vec<String> {
        self.rollouts(self.last_deployment().id).iter().map(|r| format!("{} {:?}", r.key, r.step)).collect()
    }

    /// `web@1.0.0`: what is observed to serve.
    pub fn running(&self, environment: &str, service: &str) -> String {
        let set = self.state.observed_set(&n(environment));
        set.get(&n(service)).and_then(|d| self.state.builds.get(d)).map_or_else(|| "nothing".to_owned(), |b| b.spec.label().to_string())
    }

    pub fn snapshot(&self, environment: &str) -> Snapshot {
        let model = exposure::compile(&self.state, &n(environment), &|s| self.texts.get(&s.0).cloned());
        let (snapshot, warnings) = Snapshot::compile(&model);
        assert!(warnings.is_empty(), "{warnings:?}");
        snapshot
    }

    /// The variant that `user` is served in production.
    pub fn served(&self, feature: &str, user: &str) -> String {
        let snapshot = self.snapshot(PRODUCTION);
        let caller = Pairs { targeting_key: Some(user), attributes: &[] };
        snapshot.evaluate(feature, &caller).expect("the feature exists").variant().to_owned()
    }

    /// Of a thousand users, those who are served something other than `off`.
    pub fn audience(&self, feature: &str) -> Vec<usize> {
        let snapshot = self.snapshot(PRODUCTION);
        (0..1000)
            .filter(|i| {
                let user = format!("user-{i}");
                let caller = Pairs { targeting_key: Some(&user), attributes: &[] };
                snapshot.evaluate(feature, &caller).expect("the feature exists").variant() != "off"
            })
            .collect()
    }

    pub fn happened(&self, kind: &str) -> usize {
        self.ledger.iter().filter(|r| r.event.kind() == kind).count()
    }

    // time and the fleet

    /// Judges what is due, and checks that judging again, even from nothing, finds nothing to say.
    pub fn tick(&mut self) -> Vec<Event> {
        let clock = Actor::System(Part::Clock);
        let events = self.decide(clock, &Command::Tick { cursor: self.cursor }).unwrap();
        self.cursor = Cursor { at: self.now.max(self.state.at), seq: self.state.seq };
        if self.audited {
            let again = self.decide(clock, &Command::Tick { cursor: Cursor::default() }).unwrap();
            assert!(again.is_empty(), "judging again gave {again:#?}\nafter {events:#?}");
        }
        events
    }

    /// Judging and the fleet take turns until nothing more happens.
    pub fn settle(&mut self) {
        for _ in 0..100 {
            let before = self.state.seq;
            if self.fleet {
                self.look();
            }
            self.tick();
            if self.fleet {
                self.work();
            }
            if self.evaluators {
                self.acknowledge();
            }
            if self.state.seq == before {
                return;
            }
        }
        panic!("the world does not come to rest");
    }

    /// Lets `span` pass, stopping at every deadline; the fleet is seen throughout.
    pub fn pass(&mut self, span: Span) {
        let end = self.now + span;
        while self.now < end {
            let next = self.state.agenda.next_deadline(self.cursor).filter(|at| *at > self.now).unwrap_or(end);
            self.now = next.min(end);
            self.settle();
        }
    }

    /// The fleet is looked at: what can be reached is seen now.
    pub fn look(&mut self) {
        let keys: Vec<PlacementKey> = self.state.placements.keys().filter(|k| !self.silent.contains(&k.target)).cloned().collect();
        self.saw(keys);
    }

    /// From unseen to seen is no event, but may be what something waited for: whoever looks judges once more.
    pub fn saw(&mut self, keys: Vec<PlacementKey>) {
        let now = self.now.max(self.state.at);
        let anew = keys.iter().any(|k| Seen::anew(self.seen.get(k).copied(), self.now, now));
        self.seen.extend(keys.into_iter().map(|k| (k, self.now)));
        if anew {
            self.cursor = Cursor::default();
        }
    }

    pub fn report(&mut self, report: Report) -> Vec<Event> {
        self.decide(Actor::System(Part::Rollouts), &Command::Report(report)).unwrap()
    }

    pub fn observation(build: &Digest, rollout: Option<&Rollout>) -> Observation {
        Observation {
            serving: [(build.clone(), 1)].into(),
            config: rollout.map(|r| r.config.clone()),
            op: rollout.map(Rollout::op),
            health: Health::Healthy,
            basis: Basis::Observed,
        }
    }

    /// One turn of the fleet: every rollout under way goes one step on, as its build's manner is.
    pub fn work(&mut self) {
        let active: Vec<RolloutId> = self.state.active.iter().copied().collect();
        for id in active {
            let Some(r) = self.state.rollouts.get(&id).cloned() else { continue };
            if !self.silent.contains(&r.key.target) {
                self.go_on(&r);
            }
        }
    }

    pub fn manner(&self, r: &Rollout) -> Manner {
        let label = self.state.builds[&r.build].spec.label().to_string();
        self.manners.get(&label).copied().unwrap_or(Manner::Good)
    }

    pub fn go_on(&mut self, r: &Rollout) {
        let manner = self.manner(r);
        if r.cancelling {
            self.report(Report::Stopped { op: r.op() });
            return;
        }
        match (r.step.kind(), manner) {
            (StepKind::Applying, _) => {
                self.report(Report::Applied { op: r.op() });
            }
            (StepKind::Observing, Manner::NeverReady) => {
                let seen =
                    self.runs.get(&r.key).cloned().unwrap_or_else(|| Observation { serving: Few::default(), config: None, op: None, health: Health::Down, basis: Basis::Observed });
                self.report(Report::TakenBack { op: r.op(), why: "never became ready".to_owned(), blamed: true, seen });
            }
            (StepKind::Observing, Manner::Silent) => {}
            (StepKind::Observing | StepKind::Unknown, _) => {
                let seen = Self::observation(&r.build, Some(r));
                self.runs.insert(r.key.clone(), seen.clone());
                self.report(Report::Settled { op: r.op(), seen });
            }
            (StepKind::Verifying, _) => self.check(r, manner),
            _ => {}
        }
    }

    pub fn check(&mut self, r: &Rollout, manner: Manner) {
        let outcome = match manner {
            Manner::CheckFails => Outcome::Fail,
            Manner::Inconclusive => Outcome::Inconclusive,
            _ => Outcome::Pass,
        };
        let purpose = self.state.environments[&r.key.environment].spec.purpose;
        let names: Vec<Name> = self.state.services[&r.key.service].spec.checks.iter().filter(|c| c.purposes.contains(&purpose)).map(|c| c.name.clone()).collect();
        for name in names {
            self.record(&r.key, &name, outcome, Some(r.id));
        }
    }

    pub fn record(&mut self, place: &PlacementKey, check: &Name, outcome: Outcome, rollout: Option<RolloutId>) -> Vec<Event> {
        let record = RecordCheck {
            id: None,
            environment: place.environment.clone(),
            service: place.service.clone(),
            check: check.clone(),
            outcome,
            summary: outcome.to_string(),
            set: self.state.observed_set(&place.environment),
            rollout,
            evidence: Vec::new(),
            requirements: Vec::new(),
        };
        self.decide(Actor::System(Part::Rollouts), &Command::RecordCheck(record)).unwrap()
    }

    /// Evaluators say that they have what was published.
    pub fn acknowledge(&mut self) {
        for open in self.withdrawals() {
            self.hear(&open, 3, true);
        }
    }

    /// What whoever evaluates has not taken up yet.
    pub fn withdrawals(&self) -> Vec<Open> {
        let features = self.state.features.values().flat_map(|f| f.withdrawals());
        self.state.releases.values().flat_map(|r| r.withdrawals()).chain(features).collect()
    }

    /// Of three evaluators, so many have acknowledged.
    pub fn hear(&mut self, open: &Open, acknowledged: u64, effective: bool) -> Vec<Event> {
        let Open { what, environment, seq, .. } = open.clone();
        let laggards = if acknowledged < 3 { vec!["slow".to_owned()] } else { Vec::new() };
        let command = Command::ReportWithdrawal { what, environment, seq, in_contact: 3, acknowledged, laggards, effective };
        self.decide(Actor::System(Part::Publisher), &command).unwrap()
    }

    /// Someone else changes what runs on a target.
    pub fn drift(&mut self, place: &PlacementKey, build: &Digest) {
        let seen = Self::observation(build, None);
        self.runs.insert(place.clone(), seen.clone());
        self.saw(vec![place.clone()]);
        self.report(Report::Observed { key: place.clone(), seen });
        self.settle();
    }
}

pub fn place(environment: &str, target: &str, service: &str) -> PlacementKey {
    PlacementKey { environment: n(environment), target: n(target), service: n(service) }
}

pub fn version(text: &str) -> Version {
    Version::new(text).unwrap()
}

/// One feature, one need, two stages.
pub fn summer() -> Value {
    json!({"features": [{"key": "checkout", "variant": "on"}], "needs": ["web>=1.1.0"],
           "stages": [{"name": "some", "share": "10%"}, {"name": "all", "share": "100%"}]})
}
