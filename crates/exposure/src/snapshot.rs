//! One environment's exposure, compiled: an immutable value that any number of threads ask at once.
//!
//! [`Snapshot::compile`] is [`Snapshot::with`] on nothing, so a change and a full compile cannot differ.

mod ask;
mod heads;
mod index;
mod store;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

pub use self::store::Handle;
use self::store::Store;
use crate::compile::{self, Names, Scope, Surroundings, Warning};
use crate::model::{self, AttributeType, Change, Clause, Feature, Model};
use crate::program::{Cohorts, Entry, Prerequisite, Program};

/// A clone shares everything and costs a few counters.
#[derive(Clone)]
pub struct Snapshot {
    environment: Arc<str>,
    revision: u64,
    attributes: Arc<BTreeMap<String, AttributeType>>,
    /// Of the attributes that rules read.
    names: Arc<BTreeSet<Arc<str>>>,
    cohorts: Arc<Cohorts>,
    /// Features whose prerequisites are at fault as a graph.
    disorder: Arc<BTreeMap<Box<str>, &'static str>>,
    /// Features by those which they need.
    dependents: Arc<Dependents>,
    store: Store,
    /// The metadata that all answers of this revision share, as it stands on the wire.
    metadata: Arc<str>,
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("environment", &self.environment).field("revision", &self.revision).field("features", &self.len()).finish_non_exhaustive()
    }
}

impl Snapshot {
    /// An environment in which nothing is exposed yet.
    #[must_use]
    pub fn empty(environment: &str, revision: u64) -> Self {
        Self {
            environment: environment.into(),
            revision,
            attributes: Arc::default(),
            names: Arc::default(),
            cohorts: Arc::default(),
            disorder: Arc::default(),
            dependents: Arc::default(),
            store: Store::new(),
            metadata: metadata(environment, revision),
        }
    }

    /// Compiles a whole environment. What is wrong is warned of and switched off; nothing makes it fail.
    #[must_use]
    pub fn compile(model: &Model) -> (Self, Vec<Warning>) {
        Self::empty(&model.environment, model.revision).with_parts(&Parts {
            revision: model.revision,
            attributes: Some(&model.attributes),
            put_cohorts: &model.cohorts,
            drop_cohorts: &[],
            put: &model.features,
            drop: &[],
        })
    }

    /// The snapshot after a change, with warnings about what was compiled for it. Everything else is shared with this
    /// one, which goes on answering as before.
    #[must_use]
    pub fn with(&self, change: &Change) -> (Self, Vec<Warning>) {
        self.with_parts(&Parts {
            revision: change.revision,
            attributes: change.attributes.as_ref(),
            put_cohorts: &change.put_cohorts,
            drop_cohorts: &change.drop_cohorts,
            put: &change.put,
            drop: &change.drop,
        })
    }

    fn with_parts(&self, change: &Parts<'_>) -> (Self, Vec<Warning>) {
        let attributes = match change.attributes {
            Some(attributes) if *attributes != *self.attributes => Arc::new(attributes.clone()),
            _ => Arc::clone(&self.attributes),
        };
        let redeclared = !Arc::ptr_eq(&attributes, &self.attributes);
        let names = Names::new(Arc::clone(&self.names));
        let scope = Scope { attributes: &attributes, cohorts: None, names: &names };
        let (cohorts, mut warnings, unsettled) = self.cohorts_with(change, scope, redeclared);
        let (disorder, dependents) = self.order_with(change);

        // What this change compiles: what it puts, and what it makes valid or invalid elsewhere.
        let mut again: BTreeMap<&str, (u32, &Arc<Feature>)> = BTreeMap::new();
        if redeclared || !unsettled.is_empty() || !Arc::ptr_eq(&disorder, &self.disorder) {
            let turned = |entry: &&Entry| {
                let program = &entry.program;
                redeclared || disorder.get(&program.key) != self.disorder.get(&program.key) || cohorts_of(&program.source).any(|name| unsettled.contains(name))
            };
            again.extend(self.store.iter().filter(turned).map(|entry| (&*entry.program.key, (entry.slot, &entry.program.source))));
        }
        let mut edit = self.store.edit(change.put.len());
        for entry in change.drop.iter().filter(|key| !change.put.contains_key(*key)).filter_map(|key| self.store.by_key(key)) {
            again.remove(&*entry.program.key);
            edit.drop(entry);
        }
        for (key, feature) in change.put {
            let slot = self.store.by_key(key).map_or_else(|| edit.slot(), |known| known.slot);
            again.insert(key, (slot, feature));
        }

        let scope = Scope { cohorts: Some(&cohorts), ..scope };
        let slot_of = |key: &str| again.get(key).map(|(slot, _)| *slot).or_else(|| Some(self.store.by_key(key)?.slot));
        let mut doubtful = Vec::new();
        for (key, (slot, feature)) in &again {
            let around = Surroundings { scope, disorder: disorder.get(*key).copied(), slot_of: &slot_of };
            let entry = compile::feature(key, *slot, feature, around);
            if !entry.program.gate.faults().is_empty() || !entry.program.prerequisites.is_empty() {
                doubtful.push(*key);
            }
            edit.put(entry);
        }
        heads::settle(&mut edit, &dependents, again.keys().copied().chain(change.drop.iter().map(String::as_str)));
        let snapshot = Self {
            environment: Arc::clone(&self.environment),
            revision: change.revision,
            cohorts,
            disorder,
            dependents,
            store: edit.finish(),
            metadata: metadata(&self.environment, change.revision),
            names: names.into_inner(),
            attributes,
        };
        doubtful.into_iter().filter_map(|key| snapshot.store.by_key(key)).for_each(|entry| snapshot.warn(&entry.program, &mut warnings));
        (snapshot, warnings)
    }

    /// The cohorts after `change`, and those which became valid, invalid, known or unknown.
    fn cohorts_with<'c>(&self, change: &Parts<'c>, scope: Scope<'_>, redeclared: bool) -> (Arc<Cohorts>, Vec<Warning>, BTreeSet<&'c str>) {
        let (mut warnings, mut unsettled) = (Vec::new(), BTreeSet::new());
        if change.put_cohorts.is_empty() && change.drop_cohorts.is_empty() && !redeclared {
            return (Arc::clone(&self.cohorts), warnings, unsettled);
        }
        let mut cohorts = Cohorts::clone(&self.cohorts);
        let mut compile = |name: &Arc<str>, source: &Arc<model::Cohort>| {
            let cohort = compile::cohort(name, source, scope);
            if let Some(message) = cohort.fault.clone() {
                let cohort = Some(name.to_string());
                warnings.push(Warning { feature: None, cohort, rule: None, message });
            }
            Arc::new(cohort)
        };
        for name in change.drop_cohorts {
            if let Some((id, _)) = self.cohorts.named(name)
                && let Some(place) = cohorts.list.get_mut(id as usize)
            {
                *place = None;
            }
        }
        if redeclared {
            for place in cohorts.list.iter_mut().flatten() {
                *place = compile(&place.name, &place.source);
            }
        }
        for (name, source) in change.put_cohorts {
            let name: Arc<str> = name.as_str().into();
            let cohort = Some(compile(&name, source));
            let id = *cohorts.ids.entry(name).or_insert(cohorts.list.len() as u32);
            match cohorts.list.get_mut(id as usize) {
                Some(place) => *place = cohort,
                None => cohorts.list.push(cohort),
            }
        }
        for name in change.drop_cohorts.iter().chain(change.put_cohorts.keys()) {
            let valid = |cohorts: &Cohorts| cohorts.named(name).map(|(_, cohort)| cohort.fault.is_none());
            if valid(&self.cohorts) != valid(&cohorts) {
                unsettled.insert(name.as_str());
            }
        }
        (Arc::new(cohorts), warnings, unsettled)
    }

    /// What is wrong with prerequisites, and who needs whom: the same as before unless some feature needs others than it
    /// did.
    fn order_with(&self, change: &Parts<'_>) -> (Arc<BTreeMap<Box<str>, &'static str>>, Arc<Dependents>) {
        let before = |key: &str| self.store.by_key(key).map_or(&[][..], |entry| entry.program.source.prerequisites.as_slice());
        let put = change.put.iter().any(|(key, feature)| before(key) != feature.prerequisites.as_slice());
        let dropped = change.drop.iter().any(|key| !change.put.contains_key(key) && !before(key).is_empty());
        if !put && !dropped {
            return (Arc::clone(&self.disorder), Arc::clone(&self.dependents));
        }
        let sources = self.store.iter().map(|entry| (&*entry.program.key, entry.program.source.prerequisites.as_slice()));
        let mut edges: compile::Edges<'_> = sources.filter(|(_, needed)| !needed.is_empty()).collect();
        for key in change.drop {
            edges.remove(key.as_str());
        }
        edges.extend(change.put.iter().map(|(key, feature)| (key.as_str(), feature.prerequisites.as_slice())));
        edges.retain(|_, needed| !needed.is_empty());
        let disorder = compile::disorder(&edges);
        let disorder = if disorder == *self.disorder { Arc::clone(&self.disorder) } else { Arc::new(disorder) };
        (disorder, Arc::new(heads::dependents(&edges)))
    }

    fn warn(&self, program: &Program, warnings: &mut Vec<Warning>) {
        let feature = || Some(program.key.to_string());
        let at_fault = program.gate.faults().iter().map(|fault| Warning { feature: feature(), cohort: None, rule: fault.rule.clone(), message: fault.message.clone() });
        warnings.extend(at_fault);
        for needed in &program.source.prerequisites {
            let message = match self.store.by_key(&needed.feature) {
                None => Some(format!("its prerequisite `{}` does not exist, so it is off", needed.feature)),
                Some(other) => {
                    let unknown = needed.variants.iter().find(|name| !other.program.source.variants.contains_key(*name));
                    unknown.map(|name| format!("its prerequisite `{}` has no variant `{name}`", needed.feature))
                }
            };
            let warning = message.map(|message| Warning { feature: feature(), cohort: None, rule: None, message });
            warnings.extend(warning);
        }
    }

    /// All that is wrong, as a compile of [`Self::model`] would report it.
    #[must_use]
    pub fn warnings(&self) -> Vec<Warning> {
        let mut warnings: Vec<Warning> = self
            .cohorts
            .iter()
            .filter_map(|cohort| Some((cohort, cohort.fault.clone()?)))
            .map(|(cohort, message)| Warning { feature: None, cohort: Some(cohort.name.to_string()), rule: None, message })
            .collect();
        self.store.iter().for_each(|entry| self.warn(&entry.program, &mut warnings));
        warnings
    }

    /// The canonical form that this snapshot stands for; features and cohorts are shared with it.
    #[must_use]
    pub fn model(&self) -> Model {
        let cohorts = self.cohorts.iter().map(|cohort| (cohort.name.to_string(), Arc::clone(&cohort.source)));
        let features = self.store.iter().map(|Entry { program, .. }| (program.key.to_string(), Arc::clone(&program.source)));
        Model { attributes: BTreeMap::clone(&self.attributes), cohorts: cohorts.collect(), features: features.collect(), ..Model::new(&*self.environment, self.revision) }
    }

    #[must_use]
    pub fn environment(&self) -> &str {
        &self.environment
    }

    #[must_use]
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// How many features there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.store.len()
    }

    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What all answers of this revision carry as metadata on the wire: `"revision":…,"version":"…","flagSetId":"…"`, without
    /// braces.
    #[must_use]
    pub fn metadata(&self) -> &str {
        &self.metadata
    }

    /// What the attribute of this name was declared to be.
    pub(crate) fn attribute(&self, name: &str) -> Option<AttributeType> {
        self.attributes.get(name).copied()
    }

    pub(crate) fn cohorts(&self) -> &Cohorts {
        &self.cohorts
    }

    pub(crate) fn program(&self, key: &str) -> Option<&Program> {
        self.store.by_key(key).map(|entry| &*entry.program)
    }

    /// The feature that another one needs.
    #[inline]
    pub(crate) fn needed(&self, by: &Prerequisite) -> Option<&Entry> {
        self.store.needed(by)
    }

    #[must_use]
    pub fn feature(&self, key: &str) -> Option<&Arc<Feature>> {
        self.store.by_key(key).map(|entry| &entry.program.source)
    }

    /// All features, in an order that changes leave alone.
    pub fn features(&self) -> impl Iterator<Item = (&str, &Arc<Feature>)> {
        self.store.iter().map(|Entry { program, .. }| (&*program.key, &program.source))
    }

    /// In order of slots.
    pub(crate) fn programs(&self) -> impl Iterator<Item = (usize, &Arc<Program>)> {
        self.store.iter().map(|entry| (entry.slot as usize, &entry.program))
    }

    /// Whether answers of both can be counted together: the same features in the same slots, with the same variants.
    pub(crate) fn counts_like(&self, other: &Self) -> bool {
        let mut pairs = self.programs().zip(other.programs());
        self.len() == other.len()
            && pairs.all(|((slot, one), (its, other))| slot == its && (Arc::ptr_eq(one, other) || (one.key() == other.key() && one.names().eq(other.names()))))
    }

    #[must_use]
    pub fn resolve(&self, key: &str) -> Option<Handle> {
        self.store.by_key(key).map(|entry| Handle { slot: entry.slot, hash: entry.hash })
    }
}

type Dependents = BTreeMap<Box<str>, Vec<Box<str>>>;

/// A [`Change`], borrowed.
struct Parts<'a> {
    revision: u64,
    attributes: Option<&'a BTreeMap<String, AttributeType>>,
    put_cohorts: &'a BTreeMap<String, Arc<model::Cohort>>,
    drop_cohorts: &'a [String],
    put: &'a BTreeMap<String, Arc<Feature>>,
    drop: &'a [String],
}

fn metadata(environment: &str, revision: u64) -> Arc<str> {
    let environment = serde_json::Value::from(environment);
    format!("\"revision\":{revision},\"version\":\"{revision}\",\"flagSetId\":{environment}").into()
}

/// The cohorts that a feature's rules name.
fn cohorts_of(feature: &Feature) -> impl Iterator<Item = &str> {
    feature.claims.iter().chain(&feature.baseline).flat_map(|rule| &rule.when).filter_map(|clause| match clause {
        Clause::Cohort(name) => Some(name.as_str()),
        Clause::Test(_) | Clause::Not(_) | Clause::Share(_) => None,
    })
}
