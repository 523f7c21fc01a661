//! Unleash's definitions in our rules: a body of `/api/client/features`, its delta events, or an export.
//!
//! **Rules.** Strategies are tried in order and become rules of the baseline; the first that holds decides, as in the SDKs.
//! `userId` is our targeting key; every other name of a context is an attribute of that name. A segment becomes the
//! cohort `segment-ID`. Sticky shares become one rule per attribute that may be divided by; chance is the attribute
//! [`NONCE`]. The host name of `applicationHostname` is the attribute `applicationHostname`. Dates are compared with the
//! attribute `currentTime`, which callers give. An attribute that any constraint compares as a number is a number.
//!
//! **Values.** Our features have one type and a variant for off. A feature without variants is a boolean, `on` and `off`.
//! If every answer has a variant and all payloads are texts, whole numbers, numbers or objects, the payload is the value
//! and `off` is empty or zero. All else is an object that says what an SDK would: `{"enabled": true, "variant": NAME,
//! "payload": {"type": …, "value": …}}`, the last two where there are any. So nothing is lost on the way back.
//!
//! **Refused** with its reason is what our rules cannot say: unknown strategies and operators, malformed values, and
//! dependencies on what is not there, which no SDK would show either.

mod constraint;
mod file;
mod rules;
mod variants;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use self::file::Definitions;
use super::{Imported, Refused};
use crate::model::{Cohort, Feature, Model, Prerequisite};
use crate::snapshot::Snapshot;
use crate::wire::unleash::{DISABLED, NONCE, Segment, Toggle, named};

/// The longest file that is read.
const MAX_BYTES: usize = 32 << 20;

/// A file that holds no definitions of Unleash's.
#[derive(Debug)]
pub enum Unreadable {
    TooLong(usize),
    NotUnderstood(serde_json::Error),
    Ambiguous(Vec<String>),
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLong(bytes) => write!(f, "a file of {bytes} bytes is longer than {MAX_BYTES}"),
            Self::NotUnderstood(_) => f.write_str("not a JSON document of Unleash features, delta events or an export"),
            Self::Ambiguous(environments) => write!(f, "the export is of several environments, {}: export one", environments.join(", ")),
        }
    }
}

impl std::error::Error for Unreadable {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NotUnderstood(error) => Some(error),
            Self::TooLong(_) | Self::Ambiguous(_) => None,
        }
    }
}

/// Translates a file. What it refuses leaves the rest as it is.
///
/// # Errors
/// If the text is no such file.
pub fn unleash(text: &str) -> Result<Imported, Unreadable> {
    let Definitions { toggles, segments } = file::read(text)?;
    let numbers: BTreeSet<String> = constraint::numbers(&toggles, &segments);
    let mut imported = Imported::default();
    let cohorts: BTreeMap<i64, Result<Cohort, String>> = segments.values().map(|segment| (segment.id, cohort(segment, &numbers))).collect();
    for toggle in toggles.values() {
        match rules::feature(toggle, &cohorts, &numbers) {
            Ok(translated) => {
                imported.notes.extend(translated.notes.into_iter().map(|note| format!("`{}`: {note}", toggle.name)));
                imported.features.insert(toggle.name.clone(), translated.feature);
            }
            Err(because) => imported.refused.push(Refused { feature: toggle.name.clone(), because }),
        }
    }
    imported.cohorts = cohorts.into_iter().filter_map(|(id, cohort)| Some((rules::cohort_name(id), cohort.ok()?))).collect();
    depend(&toggles, &mut imported);
    verify(&mut imported);
    notes(&segments, &numbers, &mut imported);
    imported.refused.sort_by(|one, other| one.feature.cmp(&other.feature));
    Ok(imported)
}

fn cohort(segment: &Segment, numbers: &BTreeSet<String>) -> Result<Cohort, String> {
    let Some(constraints) = &segment.constraints else {
        return Err(format!("the file names segment {} without its constraints", segment.id));
    };
    let group = constraint::all(constraints, numbers).map_err(|because| format!("segment {}: {because}", segment.id))?;
    Ok(Cohort { version: 1, any_of: group.into_iter().collect(), internal: false })
}

/// Dependencies become prerequisites. An SDK shows nothing that depends on what is missing or depends itself.
fn depend(toggles: &BTreeMap<String, Toggle>, imported: &mut Imported) {
    let dependent = |name: &str| toggles.get(name).is_some_and(|toggle| !toggle.dependencies.is_empty());
    let mut refused = Vec::new();
    let mut prerequisites: BTreeMap<&str, Vec<Prerequisite>> = BTreeMap::new();
    for toggle in toggles.values().filter(|toggle| imported.features.contains_key(&toggle.name)) {
        for dependency in &toggle.dependencies {
            let parent = &dependency.feature;
            let because = match imported.features.get(parent) {
                _ if dependent(parent) => format!("it depends on `{parent}`, which depends on others itself: no SDK of Unleash shows it to anyone"),
                None => format!("it depends on `{parent}`, which is not in the file or was refused"),
                Some(parent) => {
                    let variants = if dependency.enabled == Some(false) {
                        vec![parent.off.clone()]
                    } else {
                        let wanted = |(name, value): &(&String, &Value)| {
                            let called = named(parent.r#type, name, value).map_or_else(|| DISABLED.to_owned(), |(name, _)| name);
                            **name != parent.off && (dependency.variants.is_empty() || dependency.variants.contains(&called))
                        };
                        parent.variants.iter().filter(wanted).map(|(name, _)| name.clone()).collect()
                    };
                    prerequisites.entry(&toggle.name).or_default().push(Prerequisite { feature: dependency.feature.clone(), variants });
                    continue;
                }
            };
            refused.push(Refused { feature: toggle.name.clone(), because });
            break;
        }
    }
    for (name, prerequisites) in prerequisites {
        if let Some(feature) = imported.features.get_mut(name) {
            feature.prerequisites = prerequisites;
        }
    }
    for refused in refused {
        imported.features.remove(&refused.feature);
        imported.refused.push(refused);
    }
}

/// What would not compile is refused, and then whoever needs it.
fn verify(imported: &mut Imported) {
    let mut model = Model::new("import", 1);
    model.cohorts = imported.cohorts.iter().map(|(name, cohort)| (name.clone(), Arc::new(cohort.clone()))).collect();
    model.features = imported.features.iter().map(|(key, feature)| (key.clone(), Arc::new(Feature::clone(feature)))).collect();
    for warning in Snapshot::compile(&model).1 {
        match (&warning.feature, &warning.cohort) {
            (Some(feature), _) if imported.features.remove(feature).is_some() => {
                imported.refused.push(Refused { feature: feature.clone(), because: warning.message });
            }
            (None, Some(cohort)) => {
                imported.cohorts.remove(cohort);
                imported.notes.push(warning.to_string());
            }
            _ => {}
        }
    }
    while let Some((key, parent)) = orphan(imported) {
        imported.features.remove(&key);
        imported.refused.push(Refused { feature: key, because: format!("it depends on `{parent}`, which was refused") });
    }
}

fn orphan(imported: &Imported) -> Option<(String, String)> {
    imported.features.iter().find_map(|(key, feature)| {
        let lost = feature.prerequisites.iter().find(|needed| !imported.features.contains_key(&needed.feature))?;
        Some((key.clone(), lost.feature.clone()))
    })
}

fn notes(segments: &BTreeMap<i64, Segment>, numbers: &BTreeSet<String>, imported: &mut Imported) {
    let notes = &mut imported.notes;
    for (id, name) in segments.iter().filter_map(|(id, segment)| Some((id, segment.name.as_ref()?))) {
        if imported.cohorts.contains_key(&rules::cohort_name(*id)) {
            notes.push(format!("segment `{name}` is cohort `{}`", rules::cohort_name(*id)));
        }
    }
    let used: BTreeSet<&str> =
        imported.features.values().flat_map(rules::attributes).chain(imported.cohorts.values().flat_map(|c| c.any_of.iter().flatten()).filter_map(rules::attribute)).collect();
    notes.extend(numbers.iter().filter(|name| used.contains(name.as_str())).map(|name| format!("`{name}` is compared as a number: callers give it as one")));
    for (name, what) in [
        (NONCE, "stands for chance: a caller gives a new text each time, or is in no random share"),
        ("currentTime", "is compared with dates: callers give it as an RFC 3339 instant"),
        ("applicationHostname", "is the host of the application: callers give it"),
    ] {
        if used.contains(name) {
            notes.push(format!("`{name}` {what}"));
        }
    }
}
