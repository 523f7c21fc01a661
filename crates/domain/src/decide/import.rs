//! Taking over another product's definitions: what is defined, and what it serves in one environment, at once.

use super::{Work, baseline, define};
use crate::command::Manifest;
use crate::id::Name;
use crate::import::Serves;
use crate::refusal::{Refusal, RefusalKind};

pub(super) fn import(work: &mut Work<'_>, set: &Name, environment: &Name, manifests: &[Manifest], serves: &[Serves]) -> Result<(), Refusal> {
    baseline::settable(work, environment)?;
    let anew = define::Anew(Some((environment, serves.iter().map(|s| &s.feature).collect())));
    define::apply(work, set, manifests, false, anew)?;
    let mut reasons = Vec::new();
    for Serves { feature, rules, default } in serves {
        if let Err(refusal) = baseline::set(work, feature, environment, Some(rules), Some(default)) {
            reasons.extend(refusal.reasons);
        }
    }
    Refusal::unless_empty(RefusalKind::Invalid, reasons)
}
