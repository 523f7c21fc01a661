//! A driver without a target: everything in memory, nothing left to chance. For tests of whoever calls drivers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use greenroom_domain::deployment::placement::{Basis, Health, Observation};
use greenroom_domain::few::Few;
use greenroom_domain::id::{Digest, OperationId, PlacementKey};
use tokio::sync::Notify;

use crate::{BoxFuture, Desired, Diff, Driver, DriverError, Instance, NoContact, Seen, Where, now};

/// How the next `apply` of a new operation shall go. Without one it succeeds at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// `apply` fails; the target is as it was.
    Fail(String),
    /// Nobody can say what `apply` did.
    Lose(String),
    /// The new instance dies; the target takes it back.
    TakeBack(String),
    /// `apply` starts and waits for [`FakeDriver::release`], then succeeds.
    Hang,
    /// Seen as progressing so many times before it is settled.
    SlowReady(u32),
}

/// An `apply` that reached the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    pub key: PlacementKey,
    pub op: OperationId,
    pub fence: u64,
    pub digest: Digest,
}

/// See the module.
#[derive(Clone, Default)]
pub struct FakeDriver {
    inner: Arc<Mutex<Inner>>,
    released: Arc<Notify>,
}

#[derive(Default)]
struct Inner {
    places: BTreeMap<PlacementKey, Place>,
    applied: Vec<Applied>,
}

#[derive(Default)]
struct Place {
    next: VecDeque<Next>,
    silent: bool,
    trouble: Option<String>,
    cut_off: bool,
    fence: u64,
    wanted: Option<OperationId>,
    underway: Option<OperationId>,
    running: Option<Running>,
    taken_back: Option<OperationId>,
    failure: Option<String>,
    releases: u32,
}

#[derive(Clone)]
struct Running {
    op: Option<OperationId>,
    digest: Digest,
    config: Option<Digest>,
    unready: u32,
    restarts: u32,
    alive: bool,
}

impl FakeDriver {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Scripts the next `apply` of a new operation on `key`; several queue up.
    pub fn script(&self, key: &PlacementKey, next: Next) {
        self.lock().place(key).next.push_back(next);
    }

    /// Every call on `key` fails with no contact from now on.
    pub fn break_contact(&self, key: &PlacementKey) {
        self.lock().place(key).silent = true;
    }

    pub fn restore_contact(&self, key: &PlacementKey) {
        self.lock().place(key).silent = false;
    }

    /// Lets one hanging `apply` on `key` go on, also one that has yet to come.
    pub fn release(&self, key: &PlacementKey) {
        self.lock().place(key).releases += 1;
        self.released.notify_waiters();
    }

    /// Someone else puts `digest` there, without a mark of ours.
    pub fn tamper(&self, key: &PlacementKey, digest: Digest) {
        let running = Running { op: None, digest, config: None, unready: 0, restarts: 0, alive: true };
        self.lock().place(key).running = Some(running);
    }

    /// From now on every `apply` on `key` that is not refused fails for this reason, which may pass; `None` ends it.
    pub fn trouble(&self, key: &PlacementKey, why: Option<&str>) {
        self.lock().place(key).trouble = why.map(str::to_owned);
    }

    /// The target holds this number, from an owner that we know nothing of.
    pub fn fence(&self, key: &PlacementKey, number: u64) {
        self.lock().place(key).fence = number;
    }

    /// Nobody reaches what runs there, until it is applied again.
    pub fn cut_off(&self, key: &PlacementKey) {
        self.lock().place(key).cut_off = true;
    }

    /// What runs there dies.
    pub fn kill(&self, key: &PlacementKey) {
        if let Some(running) = &mut self.lock().place(key).running {
            running.alive = false;
        }
    }

    /// Every `apply` that reached a target, in order, repetitions included.
    #[must_use]
    pub fn applied(&self) -> Vec<Applied> {
        self.lock().applied.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins the operation; `true` if it hangs.
    fn begin(&self, desired: &Desired) -> Result<bool, DriverError> {
        let mut inner = self.lock();
        inner.place(&desired.key).answers()?;
        let place = inner.place(&desired.key);
        if desired.fence < place.fence {
            return Err(DriverError::Fenced { offered: desired.fence, held: place.fence });
        }
        place.fence = desired.fence;
        if let Some(why) = &place.trouble {
            return Err(NoContact::new(why).into());
        }
        place.cut_off = false;
        let first = place.wanted.replace(desired.op) != Some(desired.op);
        let serves = place.running.as_ref().is_some_and(|r| r.op == Some(desired.op));
        let over = place.taken_back == Some(desired.op);
        let next = if first && !serves && !over { place.next.pop_front() } else { None };
        let hangs = match next {
            None if over => false,
            None => {
                let hangs = place.underway == Some(desired.op);
                if !hangs {
                    place.run(desired, 0);
                }
                hangs
            }
            Some(Next::SlowReady(times)) => {
                place.run(desired, times);
                false
            }
            Some(Next::Hang) => {
                place.underway = Some(desired.op);
                true
            }
            Some(Next::TakeBack(why)) => {
                place.take_back(desired.op, why);
                false
            }
            Some(Next::Lose(why)) => return Err(DriverError::Lost(why)),
            Some(Next::Fail(why)) => {
                // Whoever repeats it is to have it done.
                place.wanted = None;
                return Err(DriverError::Failed(why));
            }
        };
        inner.applied.push(Applied { key: desired.key.clone(), op: desired.op, fence: desired.fence, digest: desired.digest.clone() });
        Ok(hangs)
    }

    /// Goes on with a hanging operation: `true` when it is over, one way or the other.
    fn go_on(&self, desired: &Desired) -> bool {
        let mut inner = self.lock();
        let place = inner.place(&desired.key);
        if place.underway != Some(desired.op) {
            return true;
        }
        if place.releases == 0 {
            return false;
        }
        place.releases -= 1;
        place.run(desired, 0);
        true
    }
}

impl Inner {
    fn place(&mut self, key: &PlacementKey) -> &mut Place {
        self.places.entry(key.clone()).or_default()
    }
}

impl Place {
    fn answers(&self) -> Result<(), NoContact> {
        if self.silent { Err(NoContact::new("the fake was told not to answer")) } else { Ok(()) }
    }

    fn run(&mut self, desired: &Desired, unready: u32) {
        let before = self.running.take().filter(|r| r.op == Some(desired.op));
        let restarts = before.as_ref().map_or(0, |r| r.restarts + u32::from(!r.alive));
        let unready = before.as_ref().map_or(unready, |r| r.unready);
        self.running = Some(Running { op: Some(desired.op), digest: desired.digest.clone(), config: Some(desired.config.clone()), unready, restarts, alive: true });
        (self.underway, self.taken_back, self.failure) = (None, None, None);
    }

    fn take_back(&mut self, op: OperationId, why: String) {
        (self.underway, self.taken_back, self.failure) = (None, Some(op), Some(why));
    }

    fn see(&mut self) -> Seen {
        let mut health = Health::Down;
        let mut serving = Few::default();
        if let Some(running) = self.running.as_mut().filter(|r| r.alive) {
            health = match (running.unready, self.underway) {
                _ if self.cut_off => Health::Unhealthy,
                (0, None) => Health::Healthy,
                _ => Health::Progressing,
            };
            running.unready = running.unready.saturating_sub(1);
            serving = Few::from([(running.digest.clone(), 1)]);
        }
        let running = self.running.as_ref();
        let alive = running.filter(|r| r.alive);
        let op = running.and_then(|r| r.op);
        Seen {
            at: now(),
            instances: alive
                .map(|r| Instance { pid: None, started: None, ready: health == Health::Healthy, restarts: r.restarts, digest: Some(r.digest.clone()), op })
                .into_iter()
                .collect(),
            observation: Observation { serving, config: alive.and_then(|r| r.config.clone()), op, health, basis: Basis::Observed },
            old_instances: Vec::new(),
            underway: self.underway,
            failure: self.failure.clone(),
            unreachable: self.cut_off.then(|| "the fake was told to be out of reach".to_owned()),
            taken_back: self.taken_back,
            blameless: false,
            settled: health == Health::Healthy && op.is_some(),
        }
    }
}

impl Driver for FakeDriver {
    fn plan<'a>(&'a self, desired: &'a Desired) -> BoxFuture<'a, Result<Diff, NoContact>> {
        Box::pin(async move {
            let mut inner = self.lock();
            let place = inner.place(&desired.key);
            place.answers()?;
            let mut diff = Diff::default();
            diff.line("digest", place.running.as_ref().filter(|r| r.alive).map(|r| &r.digest), Some(&desired.digest));
            Ok(diff)
        })
    }

    fn apply<'a>(&'a self, desired: &'a Desired) -> BoxFuture<'a, Result<(), DriverError>> {
        Box::pin(async move {
            if !self.begin(desired)? {
                return Ok(());
            }
            loop {
                let released = self.released.notified();
                tokio::pin!(released);
                // Registered before looking, so that no release falls between.
                released.as_mut().enable();
                if self.go_on(desired) {
                    return Ok(());
                }
                released.await;
            }
        })
    }

    fn observe<'a>(&'a self, at: &'a Where) -> BoxFuture<'a, Result<Seen, NoContact>> {
        Box::pin(async move {
            let mut inner = self.lock();
            let place = inner.place(&at.key);
            place.answers()?;
            Ok(place.see())
        })
    }

    fn cancel<'a>(&'a self, at: &'a Where, op: OperationId) -> BoxFuture<'a, Result<(), DriverError>> {
        Box::pin(async move {
            let mut inner = self.lock();
            let place = inner.place(&at.key);
            place.answers()?;
            if place.underway == Some(op) {
                place.take_back(op, "cancelled".into());
            }
            drop(inner);
            self.released.notify_waiters();
            Ok(())
        })
    }
}
