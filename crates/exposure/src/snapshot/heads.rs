//! What every caller is answered alike, through prerequisites too, is known before anyone asks.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Dependents;
use super::store::Edit;
use crate::compile::{self, Edges};
use crate::program::{Entry, Gate, Head, Program, Step};

pub(super) fn dependents(edges: &Edges<'_>) -> Dependents {
    let mut dependents = Dependents::new();
    for (key, needed) in edges.iter().flat_map(|(key, needed)| needed.iter().map(move |needed| (*key, *needed))) {
        dependents.entry(needed.into()).or_default().push(key.into());
    }
    dependents
}

/// Works out the heads of those features which changed or depend on one that did, over any number of steps.
pub(super) fn settle<'a>(edit: &mut Edit, dependents: &'a Dependents, changed: impl Iterator<Item = &'a str>) {
    if dependents.is_empty() {
        return;
    }
    let mut unsettled = BTreeSet::new();
    let mut open: Vec<&str> = changed.collect();
    while let Some(key) = open.pop() {
        if unsettled.insert(key) {
            open.extend(dependents.get(key).into_iter().flatten().map(|key| &**key));
        }
    }
    // A feature that is killed or at fault asks no other, so that what is left has an order.
    let needs = |key: &str| Some(&edit.by_key(key)?.program).filter(|program| matches!(program.gate, Gate::Open) && !program.prerequisites.is_empty()).cloned();
    let programs: Vec<Arc<Program>> = unsettled.iter().filter_map(|key| needs(key)).collect();
    let edges: Edges<'_> = programs.iter().map(|program| (program.key(), program.prerequisites.iter().map(|needed| &*needed.feature).collect())).collect();
    for key in compile::sorted(&edges, &BTreeSet::new()) {
        if let Some(entry) = edit.by_key(key) {
            let (slot, before, head) = (entry.slot, entry.head(), head(entry, edit));
            if head != before {
                edit.head(slot, head);
            }
        }
    }
}

/// Of an open feature, once the heads of those that it needs are known.
fn head(entry: &Entry, edit: &Edit) -> Head {
    let program = &entry.program;
    for (place, needed) in (0..=u16::MAX).zip(&program.prerequisites) {
        let holds = match edit.by_key(&needed.feature).map(|other| (other, other.head())) {
            None | Some((_, Head::Unusable)) => false,
            Some((other, Head::Fixed(served))) => program.accepts(place, other.name(served.variant())),
            Some((_, Head::Needs | Head::One | Head::Split | Head::Steps)) => return Head::Needs,
        };
        if !holds {
            return Head::Fixed(program.lacking(place));
        }
    }
    match entry.steps.many().get(program.prerequisites.len()) {
        Some(Step::Serve(served)) => Head::Fixed(*served),
        None => Head::Fixed(program.default),
        // Those it needs do not depend on the caller, and hold.
        _ => Head::Needs,
    }
}
