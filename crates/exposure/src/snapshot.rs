//! One environment's exposure, compiled: an immutable value that any number of threads ask at once.
//!
//! [`Snapshot::compile`] is [`Snapshot::with`] on nothing, so a change and a full compile cannot differ.

mod ask;
mod bytes;
mod heads;
mod json;
mod parts;
mod store;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

pub use self::bytes::{BINARY_FORMAT, Unreadable};
pub(crate) use self::parts::Origin;
use self::parts::{Parts, Sources};
pub use self::store::Handle;
use self::store::Store;
use crate::compile::{self, Bench, Scope, Surroundings, Warning};
use crate::model::{AttributeType, Change, Clause, Feature, Model, ValueType};
use crate::program::{Cohorts, Entry, Names, Prerequisite, Program};
use crate::source::{self, Malformed};

/// A clone shares everything and costs a few counters.
#[derive(Clone)]
pub struct Snapshot {
    environment: Arc<str>,
    revision: u64,
    attributes: Arc<BTreeMap<String, AttributeType>>,
    /// Of the attributes that rules read.
    names: Arc<Names>,
    /// The list of them, which is asked for in every answer that one is asked for.
    subjects: Arc<[Arc<str>]>,
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
            subjects: Arc::default(),
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
        let sources = Sources::of(&model.cohorts, &model.features);
        Self::empty(&model.environment, model.revision).with_model(&sources.parts(model.revision, Some(&model.attributes), &[], &[]))
    }

    /// The snapshot after a change, with warnings about what was compiled for it. Everything else is shared with this
    /// one, which goes on answering as before.
    #[must_use]
    pub fn with(&self, change: &Change) -> (Self, Vec<Warning>) {
        let sources = Sources::of(&change.put_cohorts, &change.put);
        self.with_model(&sources.parts(change.revision, change.attributes.as_ref(), &change.drop_cohorts, &change.drop))
    }

    fn with_model(&self, change: &Parts<'_>) -> (Self, Vec<Warning>) {
        // what we wrote ourselves reads
        self.with_parts(change, Origin::Model).unwrap_or_else(|Malformed| (self.clone(), Vec::new()))
    }

    fn with_parts(&self, change: &Parts<'_>, origin: Origin) -> Result<(Self, Vec<Warning>), Malformed> {
        let attributes = match change.attributes {
            Some(attributes) if *attributes != *self.attributes => Arc::new(attributes.clone()),
            _ => Arc::clone(&self.attributes),
        };
        let redeclared = !Arc::ptr_eq(&attributes, &self.attributes);
        let mut bench = Bench::new(Arc::clone(&self.names), origin);
        let scope = Scope { attributes: &attributes, cohorts: None };
        let (cohorts, mut warnings, unsettled) = self.cohorts_with(change, &mut bench, scope, redeclared)?;
        let (disorder, dependents) = self.order_with(change);

        // What this change compiles: what it makes valid or invalid, and what it puts.
        let mut again: Vec<(&str, u32, &str)> = Vec::with_capacity(change.put.len());
        if redeclared || !unsettled.is_empty() || !Arc::ptr_eq(&disorder, &self.disorder) {
            let gone: BTreeSet<&str> = change.drop.iter().map(String::as_str).collect();
            let turned = |entry: &&Entry| {
                let program = &entry.program;
                let stays = !gone.contains(program.key()) && !change.puts(program.key());
                stays && (redeclared || disorder.get(program.key()) != self.disorder.get(program.key()) || names_any(program, &unsettled))
            };
            again.extend(self.store.iter().filter(turned).map(|entry| (entry.program.key(), entry.slot, entry.program.source())));
        }
        let mut edit = self.store.edit(change.put.len());
        for entry in change.drop.iter().filter(|key| !change.puts(key)).filter_map(|key| self.store.by_key(key)) {
            edit.drop(entry);
        }
        let is_sorted = again.is_empty();
        again.extend(change.put.iter().map(|(key, source)| (*key, self.store.by_key(key).map_or_else(|| edit.slot(), |known| known.slot), *source)));
        if !is_sorted {
            again.sort_unstable();
        }

        let scope = Scope { cohorts: Some(&cohorts), ..scope };
        let at = |key: &str| again.binary_search_by(|(other, ..)| (*other).cmp(key)).ok();
        let slot_of = |key: &str| at(key).and_then(|at| again.get(at)).map(|(_, slot, _)| *slot).or_else(|| Some(self.store.by_key(key)?.slot));
        let mut doubtful = Vec::new();
        for (key, slot, source) in &again {
            let around = Surroundings { scope, disorder: disorder.get(*key).copied(), slot_of: &slot_of };
            let entry = match compile::feature(&mut bench, key, *slot, source, around) {
                // what we wrote reads, unless its places are beyond 32 bits
                Err(Malformed) if origin == Origin::Model => compile::feature(&mut bench, key, *slot, &source::nothing(), around)?,
                read => read?,
            };
            if !entry.program.gate.faults().is_empty() || !entry.program.prerequisites.is_empty() {
                doubtful.push(*key);
            }
            edit.put(entry);
        }
        heads::settle(&mut edit, &dependents, again.iter().map(|(key, ..)| *key).chain(change.drop.iter().map(String::as_str)));
        let snapshot = Self {
            environment: Arc::clone(&self.environment),
            revision: change.revision,
            cohorts,
            disorder,
            dependents,
            store: edit.finish(),
            metadata: metadata(&self.environment, change.revision),
            subjects: Arc::clone(&bench.names.list),
            names: bench.names,
            attributes,
        };
        doubtful.into_iter().filter_map(|key| snapshot.store.by_key(key)).for_each(|entry| snapshot.warn(&entry.program, &mut warnings));
        Ok((snapshot, warnings))
    }

    /// The cohorts after `change`, and those which became valid, invalid, known or unknown.
    fn cohorts_with<'c>(&self, change: &Parts<'c>, bench: &mut Bench, scope: Scope<'_>, redeclared: bool) -> Result<Unsettled<'c>, Malformed> {
        let (mut warnings, mut unsettled) = (Vec::new(), BTreeSet::new());
        if change.put_cohorts.is_empty() && change.drop_cohorts.is_empty() && !redeclared {
            return Ok((Arc::clone(&self.cohorts), warnings, unsettled));
        }
        let mut cohorts = Cohorts::clone(&self.cohorts);
        let mut compile = |name: &Arc<str>, source: &str| {
            let cohort = compile::cohort(bench, name, source, scope)?;
            if let Some(message) = cohort.fault.clone() {
                let cohort = Some(name.to_string());
                warnings.push(Warning { feature: None, cohort, rule: None, message });
            }
            Ok(Arc::new(cohort))
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
                *place = compile(&place.name, &place.source)?;
            }
        }
        for (name, source) in &change.put_cohorts {
            let name: Arc<str> = (*name).into();
            let cohort = Some(compile(&name, source)?);
            let id = *cohorts.ids.entry(name).or_insert(cohorts.list.len() as u32);
            match cohorts.list.get_mut(id as usize) {
                Some(place) => *place = cohort,
                None => cohorts.list.push(cohort),
            }
        }
        for name in change.drop_cohorts.iter().map(String::as_str).chain(change.put_cohorts.iter().map(|(name, _)| *name)) {
            let valid = |cohorts: &Cohorts| cohorts.named(name).map(|(_, cohort)| cohort.fault.is_none());
            if valid(&self.cohorts) != valid(&cohorts) {
                unsettled.insert(name);
            }
        }
        Ok((Arc::new(cohorts), warnings, unsettled))
    }

    /// What is wrong with prerequisites, and who needs whom: the same as before unless some feature needs others than it
    /// did.
    fn order_with(&self, change: &Parts<'_>) -> (Arc<BTreeMap<Box<str>, &'static str>>, Arc<Dependents>) {
        let before = |key: &str| self.store.by_key(key).map_or(source::NO_PREREQUISITES, |entry| source::prerequisites(entry.program.source()));
        let put = change.put.iter().any(|(key, source)| before(key) != source::prerequisites(source));
        let dropped = change.drop.iter().any(|key| !change.puts(key) && before(key) != source::NO_PREREQUISITES);
        if !put && !dropped {
            return (Arc::clone(&self.disorder), Arc::clone(&self.dependents));
        }
        let programs = self.store.iter().map(|entry| &*entry.program).filter(|program| !program.prerequisites.is_empty());
        let mut edges: compile::Edges<'_> = programs.map(|program| (program.key(), program.prerequisites.iter().map(|needed| &*needed.feature).collect())).collect();
        for key in change.drop {
            edges.remove(key.as_str());
        }
        edges.extend(change.put.iter().map(|(key, source)| (*key, source::needs(source).map(|needed| needed.feature).collect())));
        edges.retain(|_, needed| !needed.is_empty());
        let disorder = compile::disorder(&edges);
        let disorder = if disorder == *self.disorder { Arc::clone(&self.disorder) } else { Arc::new(disorder) };
        (disorder, Arc::new(heads::dependents(&edges)))
    }

    fn warn(&self, program: &Program, warnings: &mut Vec<Warning>) {
        let feature = || Some(program.key().to_owned());
        let at_fault = program.gate.faults().iter().map(|fault| Warning { feature: feature(), cohort: None, rule: fault.rule.clone(), message: fault.message.clone() });
        warnings.extend(at_fault);
        for mut needed in program.needs() {
            let message = match self.store.by_key(needed.feature) {
                None => Some(format!("its prerequisite `{}` does not exist, so it is off", needed.feature)),
                Some(other) => {
                    let unknown = needed.variants.find(|name| !other.program.names().any(|other| other == *name));
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

    /// The canonical form that this snapshot stands for.
    #[must_use]
    pub fn model(&self) -> Model {
        let cohorts = self.cohorts.iter().map(|cohort| (cohort.name.to_string(), Arc::new(cohort.model())));
        let features = self.features().map(|(key, feature)| (key.to_owned(), Arc::new(feature)));
        Model { attributes: BTreeMap::clone(&self.attributes), cohorts: cohorts.collect(), features: features.collect(), ..Model::new(&*self.environment, self.revision) }
    }

    /// The change that makes this snapshot of `before`, an earlier one of the same environment; see
    /// [`Model::change_from`]. What both share is not looked into.
    #[must_use]
    pub fn change_from(&self, before: &Self) -> Change {
        let mut change = Change { revision: self.revision, ..Change::default() };
        change.attributes = (*self.attributes != *before.attributes).then(|| BTreeMap::clone(&self.attributes));
        for entry in self.store.iter() {
            let program = &entry.program;
            let same = |known: &Entry| Arc::ptr_eq(&known.program, program) || known.program.source() == program.source();
            if !before.store.by_key(program.key()).is_some_and(same) {
                change.put.insert(program.key().to_owned(), Arc::new(program.feature()));
            }
        }
        change.drop = before.keys().filter(|key| !self.contains(key)).map(str::to_owned).collect();
        change.drop.sort_unstable();
        for cohort in self.cohorts.iter() {
            if before.cohorts.named(&cohort.name).is_none_or(|(_, known)| known.source != cohort.source) {
                change.put_cohorts.insert(cohort.name.to_string(), Arc::new(cohort.model()));
            }
        }
        change.drop_cohorts = before.cohorts.iter().filter(|cohort| self.cohorts.named(&cohort.name).is_none()).map(|cohort| cohort.name.to_string()).collect();
        change
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

    pub(crate) fn attributes(&self) -> &BTreeMap<String, AttributeType> {
        &self.attributes
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

    /// The attributes that rules and cohorts ask for: no answer depends on another but the targeting key. There may be some that
    /// were asked for once.
    pub fn asked(&self) -> impl Iterator<Item = &str> {
        self.names().iter().map(|name| &**name)
    }

    /// The names of attributes that rules read.
    #[inline]
    pub(crate) fn names(&self) -> &[Arc<str>] {
        &self.subjects
    }

    #[must_use]
    pub fn contains(&self, key: &str) -> bool {
        self.store.by_key(key).is_some()
    }

    /// The canonical form of one feature, made from what is kept of it.
    #[must_use]
    pub fn feature(&self, key: &str) -> Option<Feature> {
        self.program(key).map(Program::feature)
    }

    /// The type that every variant of a feature has.
    #[must_use]
    pub fn value_type(&self, key: &str) -> Option<ValueType> {
        self.program(key).map(|program| program.r#type)
    }

    /// The names of a feature's variants, in order.
    #[must_use]
    pub fn variants(&self, key: &str) -> Option<impl ExactSizeIterator<Item = &str>> {
        self.program(key).map(Program::names)
    }

    /// All keys, in an order that changes leave alone.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.store.iter().map(|entry| entry.program.key())
    }

    /// All features, in the order of [`Self::keys`].
    pub fn features(&self) -> impl Iterator<Item = (&str, Feature)> {
        self.store.iter().map(|entry| (entry.program.key(), entry.program.feature()))
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

/// Cohorts, what is wrong with them, and which of them became valid, invalid, known or unknown.
type Unsettled<'c> = (Arc<Cohorts>, Vec<Warning>, BTreeSet<&'c str>);

type Dependents = BTreeMap<Box<str>, Vec<Box<str>>>;

fn metadata(environment: &str, revision: u64) -> Arc<str> {
    let environment = serde_json::Value::from(environment);
    format!("\"revision\":{revision},\"version\":\"{revision}\",\"flagSetId\":{environment}").into()
}

/// Whether a rule names one of these cohorts.
fn names_any(program: &Program, cohorts: &BTreeSet<&str>) -> bool {
    // asked of every feature: most changes unsettle no cohort, and then none is read
    if cohorts.is_empty() {
        return false;
    }
    let feature = program.feature();
    let mut clauses = feature.claims.iter().chain(&feature.baseline).flat_map(|rule| &rule.when);
    clauses.any(|clause| matches!(clause, Clause::Cohort(name) if cohorts.contains(name.as_str())))
}
