//! Deciding: a command on a state gives events, or a refusal with every reason. Pure.

mod adopt;
mod baseline;
mod define;
mod deploy;
mod import;
mod people;
mod plan;
mod release;
mod report;
mod rollback;

use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::actor::Actor;
use crate::command::Command;
use crate::deployment::build::Build;
use crate::deployment::deployment::Deployment;
use crate::event::{BuildRecalled, Event};
use crate::id::{BuildLabel, DeploymentId, Digest, Name};
use crate::link::Seen;
use crate::recall::Recalled;
use crate::refusal::Refusal;
use crate::release::release::Release;
use crate::sealed::{Seal, Sealed};
use crate::state::{Recorded, State};
use crate::time::At;

pub(crate) use deploy::{Plan, request};
pub(crate) use rollback::{all_clean, withdraw_for};

/// What the wrapper mints for a command, the same on every retry of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mint {
    /// Ids and salts derive from it; it is the command's id in the ledger.
    pub seed: [u8; 16],
    /// Nonces of sealed text derive from it; it is never stored.
    pub secret: [u8; 16],
}

/// Opens sealed text; `None` once it is erased.
pub type Texts<'a> = &'a dyn Fn(&Sealed) -> Option<String>;

/// Everything a decision may look at beside the state.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    pub now: At,
    pub actor: Actor,
    pub mint: Mint,
    pub seen: &'a Seen,
    /// Only to see whether a list that is given again is the one that stands.
    pub texts: Texts<'a>,
}

/// A decision: events with their place, the state after them, and the texts they seal.
#[derive(Debug)]
pub struct Decided {
    pub events: Vec<Recorded>,
    pub state: State,
    pub seals: Vec<Seal>,
}

/// Why there is no decision.
#[derive(Debug, PartialEq)]
pub enum Stop {
    Refused(Refusal),
    /// The state must first be told what is archived about these subjects ([`State::with_recalled`]), then asked again.
    /// A subject told about once is not asked for again, so that what does not exist ends as a refusal.
    Recall(Vec<String>),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Decides `command`. Time never goes back: an event's time is the later of now and the state's.
///
/// # Errors
/// A refusal with every reason, or a wish to recall what was archived.
pub fn decide(state: &State, context: &Context<'_>, command: &Command) -> Result<Decided, Stop> {
    let mut work = Work::new(state, context);
    match command {
        Command::Apply { set, manifests, prune } => define::apply(&mut work, set, manifests, *prune, define::Anew::default())?,
        Command::Import { set, environment, manifests, serves } => import::import(&mut work, set, environment, manifests, serves)?,
        Command::RegisterBuild { build } => deploy::register(&mut work, build)?,
        Command::ClearBuild { build, note } => deploy::clear(&mut work, build, note.as_deref())?,
        Command::Deploy { environment, builds, motive, note } => deploy::deploy(&mut work, environment, builds, *motive, note.as_deref())?,
        Command::Rollback { environment, service, to, withdraw_first, emergency, note } => {
            rollback::rollback(&mut work, environment, service, to.as_ref(), *withdraw_first, *emergency, note.as_deref())?;
        }
        Command::CancelDeployment { id } => deploy::cancel(&mut work, *id)?,
        Command::AbandonRollout { id } => deploy::abandon(&mut work, *id)?,
        Command::Adopt { key, version, digest } => adopt::adopt(&mut work, key, version, digest.as_ref())?,
        Command::Report(report) => report::report(&mut work, report)?,
        Command::RecordCheck(check) => report::check(&mut work, check)?,
        Command::PlanRelease { name, spec } => plan::plan(&mut work, name, spec)?,
        Command::StartRelease { name, environment, stage } => release::start(&mut work, name, environment.as_ref(), *stage)?,
        Command::PauseRelease { name, environment, note } => release::pause(&mut work, name, environment.as_ref(), note)?,
        Command::ResumeRelease { name, environment } => release::resume(&mut work, name, environment.as_ref())?,
        Command::WithdrawRelease { name, environment, confirm, note } => release::withdraw(&mut work, name, environment.as_ref(), *confirm, note.as_deref())?,
        Command::CloseRelease { name, environment } => release::close(&mut work, name, environment.as_ref())?,
        Command::CancelRelease { name } => release::cancel(&mut work, name)?,
        Command::ReportWithdrawal { what, environment, seq, in_contact, acknowledged, laggards, effective } => {
            release::report_withdrawal(&mut work, what, environment, *seq, (*in_contact, *acknowledged), laggards, *effective);
        }
        Command::KillFeature { feature, environment, reason } => release::kill(&mut work, feature, environment, reason)?,
        Command::RestoreFeature { feature, environment } => release::restore(&mut work, feature, environment)?,
        Command::SetBaseline { feature, environment, rules, variant } => baseline::set(&mut work, feature, environment, rules.as_deref(), variant.as_ref())?,
        Command::Decide { about, role, verdict, by, note, valid_for } => release::record_decision(&mut work, about, *role, *verdict, *by, note.as_deref(), *valid_for)?,
        Command::SetHold { scope, plane, stops, reason, expires } => release::set_hold(&mut work, scope, *plane, *stops, reason, *expires)?,
        Command::LiftHold { id } => release::lift_hold(&mut work, *id)?,
        Command::AddPerson { name, roles } => people::add(&mut work, name, roles)?,
        Command::SetRoles { id, roles } => people::set_roles(&mut work, *id, roles)?,
        Command::SetPassword { id } => people::set_password(&mut work, *id)?,
        Command::RemovePerson { id } => people::remove(&mut work, *id)?,
        Command::CreateToken { kind, hash, person, environment, title, expires } => {
            people::create_token(&mut work, *kind, hash, *person, environment.as_ref(), title, *expires)?;
        }
        Command::RevokeToken { id } => people::revoke_token(&mut work, *id)?,
        Command::SetSeparation { on } => people::set_separation(&mut work, *on),
        Command::Erase { sealed } => people::erase(&mut work, sealed)?,
        Command::Tick { cursor } => crate::judge::tick(&mut work, *cursor),
    }
    work.state.recalled = Recalled::default();
    Ok(Decided { events: work.events, state: work.state, seals: work.seals })
}

/// A point of a decision in the making.
pub(crate) struct Mark {
    state: State,
    events: usize,
    seals: usize,
}

/// A decision in the making: each event is applied as it is pushed, so that later parts see earlier ones.
pub(crate) struct Work<'a> {
    pub state: State,
    pub now: At,
    pub actor: Actor,
    pub seen: &'a Seen,
    pub texts: Texts<'a>,
    mint: Mint,
    minted: u64,
    events: Vec<Recorded>,
    seals: Vec<Seal>,
}

impl<'a> Work<'a> {
    fn new(state: &State, context: &Context<'a>) -> Self {
        Self {
            now: context.now.max(state.at),
            actor: context.actor,
            seen: context.seen,
            texts: context.texts,
            mint: context.mint,
            minted: 0,
            events: Vec::new(),
            seals: Vec::new(),
            state: state.clone(),
        }
    }

    pub fn push(&mut self, event: impl Into<Event>) {
        let recorded = Recorded { seq: self.state.seq + 1, at: self.now, actor: self.actor, event: event.into().concerning(&self.state) };
        self.state.apply(&recorded);
        self.events.push(recorded);
    }

    /// Where to come back to with [`Self::back_to`].
    pub fn mark(&self) -> Mark {
        Mark { state: self.state.clone(), events: self.events.len(), seals: self.seals.len() }
    }

    /// Undoes whatever was pushed and sealed since `mark`.
    pub fn back_to(&mut self, mark: Mark) {
        self.state = mark.state;
        self.events.truncate(mark.events);
        self.seals.truncate(mark.seals);
    }

    /// The build that `label` names, out of the archive if need be. `None`: there is none.
    pub fn build(&mut self, label: &BuildLabel) -> Result<Option<Arc<Build>>, Stop> {
        if let Some(build) = self.state.build(label) {
            return Ok(Some(Arc::clone(build)));
        }
        self.recalled(format!("version/{}/{}", label.service, label.version))?;
        match self.state.recalled.versions.get(label).cloned() {
            Some(digest) => self.build_of(&digest),
            None => Ok(None),
        }
    }

    /// As [`Self::build`], by digest.
    pub fn build_of(&mut self, digest: &Digest) -> Result<Option<Arc<Build>>, Stop> {
        if !self.state.builds.contains_key(digest) {
            self.recalled(format!("build/{digest}"))?;
            let Some(archived) = self.state.recalled.builds.get(digest).cloned() else { return Ok(None) };
            self.push(BuildRecalled::clone(&archived));
        }
        Ok(self.state.builds.get(digest).cloned())
    }

    /// The deployment of this id, archived or not.
    pub fn deployment(&self, id: DeploymentId) -> Result<Arc<Deployment>, Stop> {
        if let Some(deployment) = self.state.deployments.get(&id) {
            return Ok(Arc::clone(deployment));
        }
        self.recalled(format!("deployment/{id}"))?;
        self.state.recalled.deployments.get(&id).cloned().ok_or_else(|| Refusal::not_found("deployment", id).into())
    }

    /// The release of this name, archived or not. `None`: there is none.
    pub fn release(&self, name: &Name) -> Result<Option<Arc<Release>>, Stop> {
        if let Some(release) = self.state.releases.get(name) {
            return Ok(Some(Arc::clone(release)));
        }
        self.recalled(format!("release/{name}"))?;
        Ok(self.state.recalled.releases.get(name).cloned())
    }

    /// Asks for what is archived about `subject`, once.
    fn recalled(&self, subject: String) -> Result<(), Stop> {
        if self.state.recalled.subjects.contains(&subject) { Ok(()) } else { Err(Stop::Recall(vec![subject])) }
    }

    pub fn count(&self) -> usize {
        self.events.len()
    }

    /// Whether Greenroom itself asks, rather than a person or a token.
    pub fn automatic(&self) -> bool {
        matches!(self.actor, Actor::System(_))
    }

    fn derive(&mut self, from: [u8; 16], tag: &[u8]) -> [u8; 32] {
        self.minted += 1;
        let mut hash = Sha256::new();
        hash.update(tag);
        hash.update(from);
        hash.update(self.minted.to_be_bytes());
        hash.finalize().into()
    }

    /// The next UUIDv7 of this command.
    pub fn id(&mut self) -> Uuid {
        let random = self.derive(self.mint.seed, b"greenroom/id/1");
        let mut tail = [0_u8; 10];
        tail.iter_mut().zip(random).for_each(|(to, from)| *to = from);
        let millis = u64::try_from(self.now.0 / 1_000).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(millis, &tail).into_uuid()
    }

    /// A salt that no one can foresee from names.
    pub fn salt(&mut self) -> String {
        use std::fmt::Write as _;
        let random = self.derive(self.mint.secret, b"greenroom/salt/1");
        random.iter().take(12).fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    /// Seals `content`: only its hash goes into an event.
    pub fn seal(&mut self, content: &str) -> Sealed {
        let random = self.derive(self.mint.secret, b"greenroom/nonce/1");
        let mut nonce = [0_u8; 16];
        nonce.iter_mut().zip(random).for_each(|(to, from)| *to = from);
        let seal = Seal::new(nonce, content);
        let sealed = seal.sealed.clone();
        self.seals.push(seal);
        sealed
    }
}
