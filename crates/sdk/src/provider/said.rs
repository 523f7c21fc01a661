//! What an answer says beyond its value, as metadata of the flag: the same that OFREP carries.
//!
//! A map of owned texts is dear to make. So there is a form for each set of names that an answer may have something to say under,
//! made once a revision: it is copied, which hashes nothing, and filled in.

use greenroom_exposure::{Answer, Snapshot};
use open_feature::{FlagMetadata, FlagMetadataValue};

/// What only some answers say.
const NAMES: [&str; 3] = ["release", "rule", "blocked_by"];

/// Forms for the answers of one revision, by which of [`NAMES`] are in them, a bit for each.
#[derive(Debug)]
pub(crate) struct Said([FlagMetadata; 8]);

impl Said {
    pub(crate) fn new(snapshot: &Snapshot) -> Self {
        Self(std::array::from_fn(|names| {
            let (revision, mut form) = (snapshot.revision(), FlagMetadata::default());
            form.add_value("revision", i64::try_from(revision).unwrap_or(i64::MAX));
            form.add_value("version", revision.to_string());
            form.add_value("flagSetId", snapshot.environment());
            NAMES.iter().enumerate().filter(|(bit, _)| names >> bit & 1 == 1).for_each(|(_, name)| form.add_value(*name, false));
            form
        }))
    }

    pub(crate) fn of(&self, answer: &Answer<'_>) -> FlagMetadata {
        let why = answer.why();
        let said = [why.release, why.rule, why.blocked_by];
        let names = said.iter().enumerate().map(|(bit, said)| usize::from(said.is_some()) << bit).sum::<usize>();
        let mut metadata = self.0.get(names).cloned().unwrap_or_default();
        for (name, value) in &mut metadata.values {
            let place = NAMES.iter().zip(said).find(|(other, _)| *other == name);
            if let Some((_, Some(said))) = place {
                *value = FlagMetadataValue::String(said.to_owned());
            }
        }
        metadata
    }
}
