//! A ledger as a company of a thousand services has it after a few months, written through the ledger itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use greenroom_domain::deployment::build::BuildSpec;
use greenroom_domain::deployment::placement::{Basis, Health, Observation};
use greenroom_domain::deployment::rollout::{Step, StepKind};
use greenroom_domain::event::*;
use greenroom_domain::few::Few;
use greenroom_domain::id::{DeploymentId, Digest, Name, OperationId, PersonId, PlacementKey, RolloutId, TokenId};
use greenroom_domain::refusal::{Reason, ReasonCode};
use greenroom_domain::role::Role;
use greenroom_domain::sealed::Sealed;
use greenroom_domain::time::{At, Span};
use greenroom_ledger::{Batch, DataDir, Ledger as _, NewEvent, SqliteLedger};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::Outcome;

pub const SERVICES: usize = 1_000;
const ENVIRONMENTS: [&str; 6] = ["development", "integration", "test", "staging", "production", "preview"];
/// Targets in production; one elsewhere.
const WIDE: usize = 5;
const FEATURES: usize = 2_000;
const BUILDS: usize = 50_000;
const BATCH: usize = 5_000;

pub struct World {
    pub data: PathBuf,
    pub token: String,
    pub sdk: String,
    pub placements: usize,
    pub builds: usize,
    /// Events written at the mix of the ledger's benchmark, and what each takes on disk.
    pub mixed: u64,
    pub bytes_per_event: u64,
}

struct Pen {
    ledger: SqliteLedger,
    at: At,
    actor: String,
    batch: Batch,
}

impl Pen {
    fn write(&mut self, event: impl Into<Event>) -> Outcome {
        let event = event.into();
        self.at = self.at + Span::millis(200);
        self.batch.events.push(NewEvent {
            at: self.at.0,
            kind: event.kind().into(),
            version: event.version(),
            actor: self.actor.clone(),
            command: (self.at.0 as u128).to_be_bytes(),
            subjects: event.subjects(),
            body: event.encode()?,
        });
        if self.batch.events.len() >= BATCH { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Outcome {
        let batch = std::mem::take(&mut self.batch);
        self.ledger.append(&batch)?;
        Ok(())
    }
}

fn sha(text: &str) -> Digest {
    let hex: String = Sha256::digest(text).iter().map(|b| format!("{b:02x}")).collect();
    Digest::new(format!("sha256:{hex}")).unwrap()
}

fn name(text: impl AsRef<str>) -> Name {
    Name::new(text.as_ref()).unwrap()
}

fn id(n: u64) -> uuid::Uuid {
    uuid::Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + u128::from(n))
}

fn key(n: usize) -> PlacementKey {
    let (service, place) = (n / (ENVIRONMENTS.len() - 1 + WIDE), n % (ENVIRONMENTS.len() - 1 + WIDE));
    let (environment, target) = if place < WIDE { ("production", place) } else { ([0, 1, 2, 3, 5].map(|e| ENVIRONMENTS[e])[place - WIDE], 0) };
    PlacementKey { environment: name(environment), target: name(format!("t{target}")), service: name(format!("s{service}")) }
}

/// One event as the mix has it.
fn build(n: usize) -> Outcome<BuildRegistered> {
    let (service, sequence) = (n % SERVICES, n / SERVICES);
    let artifact = |part: &str| json!({"uri": format!("registry.example/team/s{service}/{part}"), "digests": [sha(&format!("{service}/{part}/{sequence}"))]});
    let spec: BuildSpec = serde_json::from_value(json!({
        "service": format!("s{service}"), "version": format!("1.{sequence}.0"), "commit": format!("{:040x}", n * 7919),
        "artifacts": {"server": artifact("server")}, "reads": {format!("f{}", n % FEATURES): "boolean"},
    }))?;
    let digest = spec.digest();
    Ok(BuildRegistered { build: spec, digest, sequence: sequence as u64 + 1 })
}

impl World {
    /// Writes `events` events to a new directory.
    pub fn make(data: &Path, events: u64) -> Outcome<Self> {
        let dir = DataDir::open(data)?;
        let (token, sdk) = ("gr_pat_bench".to_owned(), "gr_sdk_bench".to_owned());
        let person = PersonId::new(id(1));
        let start = At(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_micros() as i64) - Span::millis(300 * events as i64);
        let mut pen = Pen { ledger: dir.ledger()?, at: start, actor: format!("{person}"), batch: Batch::default() };
        pen.write(PersonJoined { id: person, name: Sealed(sha("bench")), roles: vec![Role::Admin, Role::Engineer, Role::Deployer, Role::ReleaseManager] })?;
        let expires = start + Span::secs(10 * 365 * 86_400);
        let tokens = [(TokenKind::Pat, &token, Some(person), None), (TokenKind::Sdk, &sdk, None, Some(name("development")))];
        for (n, (kind, secret, person, environment)) in tokens.into_iter().enumerate() {
            pen.write(TokenCreated {
                token: Token { id: TokenId::new(id(2 + n as u64)), kind, hash: sha(secret), person, environment, title: "bench".into(), at: start, expires },
            })?;
        }
        let set = name("bench");
        for environment in ENVIRONMENTS {
            let wide = if environment == "production" { WIDE } else { 1 };
            let targets: Vec<_> = (0..wide).map(|t| json!({"name": format!("t{t}"), "driver": "command", "address": format!("{environment}-{t}")})).collect();
            pen.write(EnvironmentDefined {
                name: name(environment),
                set: set.clone(),
                title: None,
                spec: serde_json::from_value(json!({"purpose": environment, "targets": targets}))?,
            })?;
        }
        for i in 0..SERVICES {
            let spec = serde_json::from_value(json!({"components": ["server"], "recipes": {"command": {"apply": ["true"]}}}))?;
            pen.write(ServiceDefined { name: name(format!("s{i}")), set: set.clone(), title: None, spec })?;
        }
        for i in 0..FEATURES {
            let spec = serde_json::from_value(json!({"type": "boolean", "variants": {"on": true, "off": false}, "off": "off"}))?;
            pen.write(FeatureDefined { key: format!("f{i}").parse()?, set: set.clone(), title: None, spec })?;
        }
        pen.flush()?;
        let placements = SERVICES * (ENVIRONMENTS.len() - 1 + WIDE);
        let (before_events, before) = (pen.ledger.head().seq, size(&mut pen.ledger, data)?);
        let (mut builds, mut mixed, mut bytes_per_event, mut n) = (0, 0, 0, 0_u64);
        while pen.ledger.head().seq + (pen.batch.events.len() as u64) < events {
            n += 1;
            let registers = builds < BUILDS && n % 20 >= 17;
            match n % 20 {
                _ if registers => {
                    pen.write(build(builds)?)?;
                    builds += 1;
                }
                14..=16 => {
                    let feature = format!("f{}", n as usize * 13 % FEATURES);
                    let baseline = serde_json::from_value(json!({"entries": [], "default": if n.is_multiple_of(2) { "on" } else { "off" }}))?;
                    pen.write(BaselineSet { feature: feature.parse()?, environment: name("development"), baseline })?;
                }
                11..=13 => deployment(&mut pen, n)?,
                _ => observed(&mut pen, n)?,
            }
            if builds == BUILDS && mixed == 0 {
                pen.flush()?;
                mixed = pen.ledger.head().seq - before_events;
                bytes_per_event = (size(&mut pen.ledger, data)? - before) / mixed;
            }
        }
        pen.flush()?;
        if mixed == 0 {
            mixed = pen.ledger.head().seq - before_events;
            bytes_per_event = (size(&mut pen.ledger, data)? - before) / mixed.max(1);
        }
        Ok(Self { data: data.to_owned(), token, sdk, placements, builds, mixed, bytes_per_event })
    }

    pub fn drop_checkpoints(&self) -> Outcome {
        for file in std::fs::read_dir(self.data.join("checkpoints"))?.flatten() {
            std::fs::remove_file(file.path())?;
        }
        Ok(())
    }
}

fn size(ledger: &mut SqliteLedger, data: &Path) -> Outcome<u64> {
    ledger.settle()?;
    Ok(std::fs::metadata(data.join("greenroom.db"))?.len())
}

/// A placement is seen to run something else than before, or to feel otherwise.
fn observed(pen: &mut Pen, n: u64) -> Outcome {
    let key = key(n as usize * 7 % (SERVICES * (ENVIRONMENTS.len() - 1 + WIDE)));
    let service: usize = key.service.as_str()[1..].parse()?;
    let digest = build(service)?.digest;
    let health = if n.is_multiple_of(3) { Health::Progressing } else { Health::Healthy };
    let op: OperationId = format!("{}/1", RolloutId::new(id(n))).parse()?;
    pen.write(PlacementObserved { key, seen: Observation { serving: Few::from([(digest, 3)]), config: Some(sha("config")), op: Some(op), health, basis: Basis::Observed } })
}

/// Of eight events one asks for a deployment, and the others move its rollout; it ends cancelled, so that nothing is driven.
fn deployment(pen: &mut Pen, n: u64) -> Outcome {
    let nth = n / 20 * 3 + n % 20 - 11;
    let (number, step) = (nth / 8 + 1, nth % 8);
    let key = key(number as usize * 11 % (SERVICES * 4));
    let service: usize = key.service.as_str()[1..].parse()?;
    let known = build(service)?;
    let (deployment, rollout) = (DeploymentId::new(id(1_000_000 + number)), RolloutId::new(id(9_000_000 + number)));
    if step == 0 {
        let items = serde_json::from_value(json!([{"service": key.service, "version": known.build.version, "build": known.digest}]))?;
        let planned = PlannedRollout {
            id: rollout,
            target: key.target.clone(),
            service: key.service.clone(),
            wave: 0,
            build: known.digest,
            config: sha("config"),
            reasons: Vec::new(),
            review: pen.at,
        };
        return pen.write(DeploymentRequested {
            id: deployment,
            number,
            environment: key.environment,
            items,
            motive: serde_json::from_value(json!("promote"))?,
            urgency: serde_json::from_value(json!("normal"))?,
            scope: sha("scope"),
            rollouts: vec![planned],
            configs: BTreeMap::new(),
            policies: vec![name("flow")],
            awaits: Vec::new(),
            undoes: None,
            note: None,
        });
    }
    let why = vec![Reason::new(ReasonCode::Soak, "soak", "soaks in staging")];
    let to = if step == 7 { Step::Cancelled { why } } else { Step::Waiting { reasons: why, review: pen.at + Span::secs(3_600) } };
    pen.write(RolloutMoved { rollout, deployment, key, build: known.digest, from: StepKind::Waiting, to, op: format!("{rollout}/1").parse()? })
}
