//! What an answer says beyond its value, as metadata of the flag: the same that OFREP carries.
//!
//! A map of owned texts is dear to make and less so to copy, so the one that a feature said last is kept for the next time.

use std::ptr;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use greenroom_exposure::{Answer, Snapshot};
use open_feature::{FlagMetadata, FlagMetadataValue};

/// Of the answers of one revision.
#[derive(Debug)]
pub(crate) struct Said {
    /// What all say, with room for the rest.
    shared: FlagMetadata,
    /// By the slots of features.
    last: Box<[ArcSwapOption<Kept>]>,
}

#[derive(Debug)]
struct Kept {
    why: Why,
    metadata: FlagMetadata,
}

/// Release, rule and what blocks it, by where these texts stand in the snapshot, which outlives this.
type Why = [(usize, usize); 3];

fn why(answer: &Answer<'_>) -> Why {
    [answer.release(), answer.rule(), answer.blocked_by()].map(|said| said.map_or((0, 0), |text| (ptr::from_ref(text).addr(), text.len())))
}

impl Said {
    pub(crate) fn new(snapshot: &Snapshot) -> Self {
        let revision = snapshot.revision();
        let mut shared = FlagMetadata::default();
        shared.values.reserve(6);
        shared.add_value("revision", i64::try_from(revision).unwrap_or(i64::MAX));
        shared.add_value("version", revision.to_string());
        shared.add_value("flagSetId", snapshot.environment());
        let slots = snapshot.features().filter_map(|(key, _)| snapshot.resolve(key)).map(|handle| handle.index() + 1).max().unwrap_or_default();
        Self { shared, last: (0..slots).map(|_| ArcSwapOption::empty()).collect() }
    }

    #[inline]
    pub(crate) fn of(&self, answer: &Answer<'_>) -> FlagMetadata {
        let (why, last) = (why(answer), self.last.get(answer.handle().index()));
        if let Some(kept) = last.map(ArcSwapOption::load).as_ref().and_then(|kept| kept.as_deref()).filter(|kept| kept.why == why) {
            return kept.metadata.clone();
        }
        let metadata = self.made(answer);
        if let Some(last) = last {
            last.store(Some(Arc::new(Kept { why, metadata: metadata.clone() })));
        }
        metadata
    }

    fn made(&self, answer: &Answer<'_>) -> FlagMetadata {
        let mut metadata = self.shared.clone();
        for (name, said) in [("release", answer.release()), ("rule", answer.rule()), ("blocked_by", answer.blocked_by())] {
            if let Some(said) = said {
                metadata.add_value(name, FlagMetadataValue::String(said.to_owned()));
            }
        }
        metadata
    }
}
