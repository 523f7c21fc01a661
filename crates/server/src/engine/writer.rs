//! The one writer: authorise, decide, append, apply, publish, answer. On its own thread, in batches, one flush each.
//!
//! No driver and no network is called here.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use greenroom_api::Problem;
use greenroom_api::problem::Code;
use greenroom_domain::actor::{Actor, Part};
use greenroom_domain::agenda::Cursor;
use greenroom_domain::command::Command;
use greenroom_domain::decide::{Context, Decided, Mint, Stop, decide};
use greenroom_domain::event::Event;
use greenroom_domain::exposure::Affected;
use greenroom_domain::id::PersonId;
use greenroom_domain::link::Seen;
use greenroom_domain::refusal::Refusal;
use greenroom_domain::sealed::Seal;
use greenroom_domain::state::{Recorded, State};
use greenroom_domain::time::{At, Span};
use greenroom_ledger::{AppendError, Batch, Ledger, NewEvent, Sealed, SideWrite, SqliteLedger, UsageRow};
use tokio::sync::{mpsc, oneshot, watch};

use super::keep::{self, Stale};
use super::{Answer, Caller, Engine, Submission, now, publish, replay, usage};
use crate::directory::hash_of;
use crate::view::people::in_words;
use crate::{failpoint, secret};

/// Commands in one flush at most.
const BATCH: usize = 512;
/// The writer looks at the clock at least this often.
const NAP: Duration = Duration::from_millis(250);
/// A jump of the wall clock against the monotonic one that is worth a hold.
const JUMP: Span = Span::secs(60);
/// Bytes of a seq, which stand before the body of a kept answer.
const SEQ: u32 = 8;
/// Answers to idempotency keys are kept this long.
const KEYS_KEPT: Span = Span::secs(7 * 24 * 3600);

/// The writer's own things; the rest is the engine's.
pub struct Writer {
    pub engine: Arc<Engine>,
    pub ledger: SqliteLedger,
    pub commands: mpsc::Receiver<Submission>,
    pub head: watch::Sender<u64>,
    pub changes: mpsc::UnboundedSender<publish::Changed>,
    pub stale: mpsc::UnboundedSender<Stale>,
    /// Moved when tokens change, for those who remember them.
    pub tokens: Arc<AtomicU64>,
    pub cursor: Cursor,
    /// State as of the last durable event, and the wish to go on.
    state: State,
    /// Wall clock when it was last compared with the monotonic one.
    clock: (Instant, At),
    /// Time as last told to the domain.
    told: (Instant, At),
    /// After a failed flush time is not acted on before this moment: the disk is given a rest.
    rest: Option<Instant>,
    pruned: At,
}

/// A command decided but not yet durable.
struct Pending {
    answer: oneshot::Sender<Result<Answer, Problem>>,
    outcome: Result<Outcome, Problem>,
}

enum Outcome {
    Ready(Answer),
    Render { render: super::Render, state: Box<State>, events: Vec<Recorded> },
}

/// One flush in the making.
#[derive(Default)]
struct Flush {
    batch: Batch,
    events: Vec<Recorded>,
    joined: Vec<Seal>,
    erased: Vec<greenroom_domain::sealed::Sealed>,
    pending: Vec<Pending>,
    answers: HashMap<(String, String), (greenroom_ledger::Hash, Answer)>,
    /// What the writer remembers once this is durable.
    clock: Option<(Instant, At)>,
    pruned: Option<At>,
    /// Counts of evaluations in the batch.
    usage: Vec<UsageRow>,
}

impl Writer {
    #[must_use]
    pub fn new(
        engine: Arc<Engine>,
        ledger: SqliteLedger,
        commands: mpsc::Receiver<Submission>,
        head: watch::Sender<u64>,
        changes: mpsc::UnboundedSender<publish::Changed>,
        stale: mpsc::UnboundedSender<Stale>,
        tokens: Arc<AtomicU64>,
    ) -> Self {
        let state = State::clone(&engine.state.load());
        Self {
            engine,
            ledger,
            commands,
            head,
            changes,
            stale,
            tokens,
            cursor: Cursor::default(),
            state,
            clock: (Instant::now(), now()),
            told: (Instant::now(), now()),
            rest: None,
            pruned: At(0),
        }
    }

    /// Runs until every sender of commands is gone.
    pub fn run(mut self, runtime: &tokio::runtime::Handle) {
        loop {
            let first = match self.wait(runtime) {
                Ok(first) => first,
                Err(()) => break,
            };
            if let Some(problem) = self.engine.broken.get().cloned() {
                self.refuse(first, &problem);
                continue;
            }
            let mut flush = Flush { batch: Batch { expect_head: Some(self.state.seq), ..Batch::default() }, ..Flush::default() };
            let mut working = self.state.clone();
            let began = Instant::now();
            let now = self.time(now());
            self.watch_clock(&mut working, &mut flush, now);
            let mut next = first;
            let mut taken = 0;
            while let Some(submission) = next {
                self.take(&mut working, &mut flush, submission, now);
                taken += 1;
                next = if taken < BATCH { self.commands.try_recv().ok() } else { None };
            }
            let judged = self.judge(&mut working, &mut flush, now);
            self.prune(&mut flush, now);
            self.probe(&mut flush, now);
            flush.usage = self.engine.usage.due(now, false);
            self.commit(working, flush, judged, began);
        }
        self.engine.writing.store(false, Ordering::Release);
        let last = self.engine.usage.due(now(), true).into_iter().map(SideWrite::Usage).collect();
        if let Err(error) = self.ledger.append(&Batch { side: last, ..Batch::default() }) {
            tracing::warn!(%error, "the last counts of evaluations are lost");
        }
        if let Err(error) = self.ledger.settle() {
            tracing::warn!(%error, "the write-ahead log could not be folded in");
        }
    }

    /// The next command, or none when time has made something due.
    fn wait(&mut self, runtime: &tokio::runtime::Handle) -> Result<Option<Submission>, ()> {
        if let Ok(submission) = self.commands.try_recv() {
            return Ok(Some(submission));
        }
        if self.engine.stopping.load(Ordering::Acquire) {
            return Err(());
        }
        let now = now();
        let nap = match self.rest.filter(|until| *until > Instant::now()) {
            Some(until) => until.saturating_duration_since(Instant::now()),
            None if self.engine.anew.load(Ordering::Acquire) || self.state.agenda.has_work(self.cursor, now.max(self.state.at)) => return Ok(None),
            None => self.state.agenda.next_deadline(self.cursor).map_or(NAP, |at| at.since(now).as_std().min(NAP)),
        };
        match runtime.block_on(async { tokio::time::timeout(nap, self.commands.recv()).await }) {
            Ok(Some(submission)) => Ok(Some(submission)),
            Ok(None) => Err(()),
            Err(_) => Ok(None),
        }
    }

    /// Nothing is added to a broken chain.
    fn refuse(&mut self, first: Option<Submission>, problem: &Problem) {
        let queued = std::iter::from_fn(|| self.commands.try_recv().ok());
        for submission in first.into_iter().chain(queued) {
            let _ = submission.answer.send(Err(problem.clone()));
        }
        self.rest = Some(Instant::now() + NAP);
    }

    fn take(&mut self, working: &mut State, flush: &mut Flush, submission: Submission, now: At) {
        Engine::count(&self.engine.counters.commands, 1);
        let Submission { caller, command, needs, key, dry_run, beside, render, answer } = submission;
        let actor = caller.actor();
        let principal = actor.to_string();
        if let Some(key) = key.as_ref().filter(|_| !dry_run) {
            match self.known(flush, &principal, key) {
                Ok(None) => {}
                Ok(Some(known)) => return flush.pending.push(Pending { answer, outcome: Ok(Outcome::Ready(known)) }),
                Err(problem) => return flush.pending.push(Pending { answer, outcome: Err(problem) }),
            }
        }
        if let Err(problem) = self.authorise(working, &caller, &needs, now).and_then(|()| self.unique(working, flush, &command)) {
            return flush.pending.push(Pending { answer, outcome: Err(problem) });
        }
        let mint = Mint { seed: secret::random(), secret: secret::random() };
        let decided = match self.decide(working, actor, mint, &command, now) {
            Ok(decided) => decided,
            Err(problem) => {
                Engine::count(&self.engine.counters.refusals, 1);
                return flush.pending.push(Pending { answer, outcome: Err(problem) });
            }
        };
        let Decided { events, state, seals } = decided;
        if dry_run {
            let (status, body) = rendered(render, &state, &events);
            let answer_now = Answer { status, body, seq: working.seq };
            return flush.pending.push(Pending { answer, outcome: Ok(Outcome::Ready(answer_now)) });
        }
        if let Err(problem) = self.stage(flush, mint, &events, &seals, &beside) {
            return flush.pending.push(Pending { answer, outcome: Err(problem) });
        }
        *working = state;
        let outcome = match key {
            None => Outcome::Render { render, state: Box::new(working.clone()), events },
            Some(key) => {
                let (status, body) = rendered(render, working, &events);
                let answer = Answer { status, body, seq: working.seq };
                let response = stored(&answer, beside.secret.as_deref());
                let row = greenroom_ledger::Answer { principal: principal.clone(), key: key.key.clone(), request: key.request, status, response, at: now.0 };
                flush.batch.side.push(SideWrite::Answer(row));
                flush.answers.insert((principal, key.key), (key.request, answer.clone()));
                Outcome::Ready(answer)
            }
        };
        flush.pending.push(Pending { answer, outcome: Ok(outcome) });
    }

    /// The answer given before to this key, if any.
    fn known(&self, flush: &Flush, principal: &str, key: &super::Key) -> Result<Option<Answer>, Problem> {
        if let Some((request, answer)) = flush.answers.get(&(principal.to_owned(), key.key.clone())) {
            return if *request == key.request { Ok(Some(answer.clone())) } else { Err(key_reused()) };
        }
        match self.ledger.answer(principal, &key.key) {
            Ok(None) => Ok(None),
            Ok(Some(row)) => restored(&row, key).map(Some),
            Err(error) => Err(storage(&error)),
        }
    }

    fn authorise(&self, working: &State, caller: &Caller, needs: &[(greenroom_access::Action, greenroom_access::Resource)], now: At) -> Result<(), Problem> {
        if needs.is_empty() {
            return Ok(());
        }
        let Some(principal) = caller.principal(working, now) else {
            return Err(Problem::new(Code::Unauthenticated, "the token is expired or revoked").detail("sign in with: greenroom login"));
        };
        for (action, resource) in needs {
            let verdict = self.engine.access.decide(&principal, *action, resource);
            if !verdict.allowed {
                return Err(Problem::new(Code::Forbidden, format!("you may not {}", action.words())).detail(verdict.remedy.clone()));
            }
        }
        Ok(())
    }

    /// Names of people are sealed, so the domain cannot see that one is taken.
    fn unique(&self, working: &State, flush: &Flush, command: &Command) -> Result<(), Problem> {
        let Command::AddPerson { name, .. } = command else { return Ok(()) };
        if self.engine.directory.person(working, name).is_none() && !flush.joined.iter().any(|seal| seal.content == *name) {
            return Ok(());
        }
        Err(Problem::new(Code::AlreadyExists, format!("there is a person called `{name}` already")).detail("choose another name"))
    }

    fn decide(&self, working: &State, actor: Actor, mint: Mint, command: &Command, now: At) -> Result<Decided, Problem> {
        let seen = Seen(self.engine.seen.load_full());
        let texts = |sealed: &greenroom_domain::sealed::Sealed| self.engine.directory.text(sealed);
        let context = Context { now, actor, mint, seen: &seen, texts: &texts };
        let mut recalled: Option<State> = None;
        loop {
            let state = recalled.as_ref().unwrap_or(working);
            // the domain does not panic; if it did, one command would fail and not the writer
            let decided = std::panic::catch_unwind(AssertUnwindSafe(|| decide(state, &context, command)));
            let Ok(decided) = decided else { return Err(Problem::new(Code::Internal, "a command failed inside the server").detail("the log has the place; please report it")) };
            match decided {
                Ok(decided) => return Ok(decided),
                Err(Stop::Refused(mut refusal)) => {
                    refusal.reasons = in_words(&self.engine.directory, working, refusal.reasons);
                    return Err(refused(refusal));
                }
                Err(Stop::Recall(subjects)) => {
                    let next = replay::recall(&self.engine.reader, state, &subjects).map_err(|error| {
                        tracing::error!(%error, "archived events cannot be recalled");
                        Problem::new(Code::StorageUnavailable, "the ledger cannot be read").detail(error.to_string())
                    })?;
                    recalled = Some(next);
                }
            }
        }
    }

    /// Encodes events and sealed texts into the batch.
    fn stage(&self, flush: &mut Flush, mint: Mint, events: &[Recorded], seals: &[Seal], beside: &super::Beside) -> Result<(), Problem> {
        let mut encoded = Vec::with_capacity(events.len());
        for recorded in events {
            let body = recorded.event.encode().map_err(|error| Problem::new(Code::Internal, "an event could not be written").detail(error.to_string()))?;
            encoded.push(NewEvent {
                at: recorded.at.0,
                kind: recorded.event.kind().into(),
                version: recorded.event.version(),
                actor: recorded.actor.to_string(),
                command: mint.seed,
                subjects: recorded.event.subjects(),
                body,
            });
        }
        flush.batch.events.append(&mut encoded);
        for seal in seals {
            let row = Sealed { hash: hash_of(&seal.sealed.0), nonce: seal.nonce.to_vec(), content: seal.content.clone().into_bytes() };
            flush.batch.side.push(SideWrite::Seal(row));
        }
        for recorded in events {
            match &recorded.event {
                Event::PersonJoined(e) => {
                    flush.joined.extend(seals.iter().filter(|s| s.sealed == e.name).cloned());
                    credential(flush, e.id, beside);
                }
                Event::PersonPasswordSet(e) => credential(flush, e.id, beside),
                Event::PersonLeft(e) => flush.batch.side.push(SideWrite::ForgetCredential { person: e.id.to_string() }),
                Event::Erased(e) => {
                    flush.erased.extend(e.sealed.iter().cloned());
                    flush.batch.side.extend(e.sealed.iter().map(|s| SideWrite::Erase { hash: hash_of(&s.0) }));
                    // what was answered may quote it: keys and outcomes stay, so that nothing is done twice
                    flush.batch.side.push(SideWrite::CutAnswers { keep: SEQ });
                }
                _ => {}
            }
        }
        flush.events.extend(events.iter().cloned());
        Ok(())
    }

    /// Judges what is due, in the same flush as the facts that made it so.
    fn judge(&mut self, working: &mut State, flush: &mut Flush, now: At) -> Cursor {
        if self.engine.anew.swap(false, Ordering::AcqRel) {
            self.cursor = Cursor::default();
        }
        if !working.agenda.has_work(self.cursor, now.max(working.at)) {
            return self.cursor;
        }
        let mint = Mint { seed: secret::random(), secret: secret::random() };
        let before = working.seq;
        match self.decide(working, Actor::System(Part::Clock), mint, &Command::Tick { cursor: self.cursor }, now) {
            Ok(decided) => {
                if self.stage(flush, mint, &decided.events, &decided.seals, &super::Beside::default()).is_ok() {
                    *working = decided.state;
                }
            }
            Err(problem) => tracing::error!(problem = %problem.title, "judging failed"),
        }
        // events of this very round are judged again in the next, which then finds nothing to do
        Cursor { at: now.max(working.at), seq: if working.seq == before { working.seq } else { before } }
    }

    /// Time for the domain: the wall clock's, but while a jump of it holds things up, monotonic time since it was last
    /// told, so that deadlines go on.
    fn time(&mut self, wall: At) -> At {
        let elapsed = i64::try_from(self.told.0.elapsed().as_micros()).unwrap_or(i64::MAX);
        let held = self.state.holds.values().any(|hold| hold.owner == Actor::System(Part::Clock));
        let now = if held { wall.max(At(self.told.1.0.saturating_add(elapsed))) } else { wall };
        self.told = (Instant::now(), now);
        now
    }

    /// A jump of wall against monotonic clock is a hold: only shrinking and running rollouts proceed.
    fn watch_clock(&mut self, working: &mut State, flush: &mut Flush, now: At) {
        use greenroom_domain::hold::{Plane, Scope, Stops};
        let (instant, at) = self.clock;
        let elapsed = i64::try_from(instant.elapsed().as_micros()).unwrap_or(i64::MAX);
        let wall = super::now();
        let drift = wall.0.saturating_sub(at.0).saturating_sub(elapsed);
        flush.clock = Some((Instant::now(), wall));
        if drift.abs() < JUMP.0 {
            return;
        }
        tracing::error!(drift_seconds = drift / 1_000_000, "the clock jumped: exposure and deployments are held until a person lifts the hold");
        let mint = Mint { seed: secret::random(), secret: secret::random() };
        let reason = format!("the clock jumped by {} s", drift / 1_000_000);
        let hold = Command::SetHold { scope: Scope::default(), plane: Plane::Both, stops: Stops::Both, reason, expires: None };
        if let Ok(decided) = self.decide(working, Actor::System(Part::Clock), mint, &hold, now)
            && self.stage(flush, mint, &decided.events, &decided.seals, &super::Beside::default()).is_ok()
        {
            *working = decided.state;
        }
    }

    fn prune(&self, flush: &mut Flush, now: At) {
        if now.since(self.pruned) >= Span::secs(60) && !flush.batch.events.is_empty() {
            flush.pruned = Some(now);
            flush.batch.side.push(SideWrite::PruneAnswers { before: (now - KEYS_KEPT).0 });
            flush.batch.side.push(SideWrite::PruneUsage { before_day: usage::day_of(now) - usage::KEPT });
        }
    }

    /// Whether a disk that did not take a batch takes one again is found out by writing to it: who waits for `/readyz`
    /// sends no commands.
    fn probe(&self, flush: &mut Flush, now: At) {
        if self.engine.refusing.load().is_some() {
            let (principal, request) = (Actor::System(Part::Clock).to_string(), greenroom_ledger::Hash::of(b""));
            let row = greenroom_ledger::Answer { principal, key: format!("probe {}", now.0), request, status: 204, response: self.state.seq.to_be_bytes().to_vec(), at: now.0 };
            flush.batch.side.push(SideWrite::Answer(row));
        }
    }

    fn commit(&mut self, working: State, flush: Flush, cursor: Cursor, began: Instant) {
        let Flush { mut batch, events, joined, erased, pending, clock, pruned, usage, .. } = flush;
        batch.side.extend(usage.iter().cloned().map(SideWrite::Usage));
        if batch.events.is_empty() && batch.side.is_empty() {
            self.cursor = cursor;
            self.clock = clock.unwrap_or(self.clock);
            return answer(pending);
        }
        failpoint::hit("before-commit");
        let started = Instant::now();
        let appended = self.ledger.append(&batch);
        let counters = &self.engine.counters;
        Engine::count(&counters.batches, 1);
        Engine::count(&counters.events, events.len() as u64);
        let flushed = started.elapsed();
        Engine::count(&counters.commit_micros, u64::try_from(flushed.as_micros()).unwrap_or(0));
        if let Err(error) = appended {
            if matches!(error, AppendError::Storage(_) | AppendError::Conflict { .. }) {
                self.engine.usage.back(usage);
            }
            return self.failed(&error, pending);
        }
        failpoint::hit("after-commit");
        self.cursor = cursor;
        self.clock = clock.unwrap_or(self.clock);
        self.pruned = pruned.unwrap_or(self.pruned);
        self.rest = None;
        self.engine.refusing.store(None);
        self.state = working;
        if !joined.is_empty() {
            self.engine.directory.joined(&joined);
        }
        if !erased.is_empty() {
            self.engine.directory.erased(&erased);
        }
        let published = Arc::new(self.state.clone());
        self.engine.state.store(Arc::clone(&published));
        for (environment, what) in publish::changed(&published, &events) {
            let _ = self.changes.send(publish::Changed { environment, what });
        }
        if keep::tickets_changed(&events) {
            self.tokens.fetch_add(1, Ordering::AcqRel);
            let _ = self.stale.send(Stale::Tickets);
        }
        self.head.send_replace(self.state.seq);
        for recorded in &events {
            stop_after(&recorded.event);
        }
        self.engine.counters.stalls.count(began.elapsed().saturating_sub(flushed));
        answer(pending);
    }

    /// Nothing was kept, or nobody knows: the state goes back to what is durable.
    fn failed(&mut self, error: &AppendError, pending: Vec<Pending>) {
        // once for each kind of trouble: a full disk must not be filled with words about it
        if self.rest.is_none() {
            tracing::error!(%error, "a batch was not appended; writes are refused until the disk takes them again");
        }
        self.rest = Some(Instant::now() + NAP);
        let problem = match error {
            AppendError::OutcomeUnknown { .. } | AppendError::Poisoned => self.reopen(),
            AppendError::Conflict { .. } => {
                self.reopen();
                Problem::new(Code::Conflict, "somebody else wrote to this ledger").detail("run one server on a data directory")
            }
            AppendError::Invalid(why) => Problem::new(Code::Internal, "the batch breaks a rule of the ledger").detail(why.clone()),
            AppendError::Storage(error) => storage(error),
        };
        let trouble = match error {
            AppendError::Invalid(_) => None,
            AppendError::Storage(_) => Some(problem.clone()),
            error => Some(Problem::new(Code::StorageUnavailable, error.to_string()).detail("it is tried again by itself; reads and exposure go on")),
        };
        if let Some(trouble) = trouble {
            self.engine.refusing.store(Some(Arc::new(trouble)));
        }
        for one in pending {
            // what changed nothing anyway keeps its own answer
            let outcome = match one.outcome {
                Err(own) => Err(own),
                Ok(_) => Err(problem.clone()),
            };
            let _ = one.answer.send(outcome.map(|_: Outcome| Answer { status: 200, body: Vec::new(), seq: 0 }));
        }
    }

    fn reopen(&mut self) -> Problem {
        match self.ledger.reopen() {
            Ok(head) if head.seq != self.state.seq => match replay::fold(&self.engine.reader, self.state.clone(), &|_| {}) {
                Ok(state) => {
                    // it was kept after all: everyone hears of it as after any commit
                    self.state = state;
                    self.engine.directory.load(&self.state);
                    self.tokens.fetch_add(1, Ordering::AcqRel);
                    let _ = self.stale.send(Stale::Tickets);
                    self.engine.state.store(Arc::new(self.state.clone()));
                    for environment in self.state.environments.keys() {
                        let _ = self.changes.send(publish::Changed { environment: environment.clone(), what: Affected::All });
                    }
                    self.head.send_replace(self.state.seq);
                }
                Err(error) => tracing::error!(%error, "the ledger cannot be read again"),
            },
            Ok(_) => {}
            Err(error) => tracing::error!(%error, "the ledger cannot be reopened"),
        }
        Problem::new(Code::OutcomeUnknown, "nobody knows whether this was kept").detail("repeat the request with the same Idempotency-Key")
    }
}

/// Points at which a test may end the process, by what was just made durable.
fn stop_after(event: &Event) {
    use greenroom_domain::deployment::rollout::StepKind;
    match event {
        Event::RolloutMoved(e) => match e.to.kind() {
            StepKind::Applying => failpoint::hit("rollout-applying"),
            StepKind::Observing => failpoint::hit("rollout-observing"),
            StepKind::Verifying => failpoint::hit("rollout-verifying"),
            _ => {}
        },
        Event::ReleaseStageStarted(_) => failpoint::hit("release-exposing"),
        Event::ReleaseWithdrawing(_) => failpoint::hit("release-withdrawing"),
        _ => {}
    }
}

/// The password that came with the command is that of `person`.
fn credential(flush: &mut Flush, person: PersonId, beside: &super::Beside) {
    if let Some(hash) = &beside.password {
        flush.batch.side.push(SideWrite::Credential { person: person.to_string(), hash: hash.clone() });
    }
}

fn answer(pending: Vec<Pending>) {
    for one in pending {
        let outcome = one.outcome.map(|outcome| match outcome {
            Outcome::Ready(answer) => answer,
            Outcome::Render { render, state, events } => {
                let (status, body) = rendered(render, &state, &events);
                Answer { status, body, seq: state.seq }
            }
        });
        let _ = one.answer.send(outcome);
    }
}

fn refused(refusal: Refusal) -> Problem {
    Problem::from(refusal)
}

fn storage(error: &greenroom_ledger::Error) -> Problem {
    Problem::new(Code::StorageUnavailable, error.to_string()).detail(format!("{}; reads and exposure go on", error.remedy()))
}

/// A view that panics is one failed answer, and not the end of the writer.
fn rendered(render: super::Render, state: &State, events: &[Recorded]) -> (u16, Vec<u8>) {
    std::panic::catch_unwind(AssertUnwindSafe(|| render(state, events))).unwrap_or_else(|_| {
        let problem = Problem::new(Code::Internal, "it was done, but its answer could not be written").detail("look at the log, and please report it");
        (problem.status, serde_json::to_vec(&problem).unwrap_or_default())
    })
}

/// An answer as it is kept: its seq before its body, and no secret in it.
fn stored(answer: &Answer, secret: Option<&str>) -> Vec<u8> {
    let mut bytes = answer.seq.to_be_bytes().to_vec();
    match secret {
        Some(secret) => bytes.extend_from_slice(String::from_utf8_lossy(&answer.body).replace(secret, "").as_bytes()),
        None => bytes.extend_from_slice(&answer.body),
    }
    bytes
}

/// The answer that was kept for `key`.
///
/// # Errors
/// `idempotency-key-reused` when it was another request's.
pub fn restored(row: &greenroom_ledger::Answer, key: &super::Key) -> Result<Answer, Problem> {
    if row.request != key.request {
        return Err(key_reused());
    }
    let (seq, body) = row.response.split_at_checked(SEQ as usize).unwrap_or((&[], &row.response));
    let seq = seq.try_into().map_or(0, u64::from_be_bytes);
    Ok(Answer { status: row.status, body: body.to_vec(), seq })
}

fn key_reused() -> Problem {
    Problem::new(Code::IdempotencyKeyReused, "this Idempotency-Key was used for another request")
        .detail("send a new key with a new request; repeat a key only with the very same one")
}
