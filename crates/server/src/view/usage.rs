//! How much features are evaluated, by whom, and which builds that run still read them.

use std::collections::{BTreeMap, BTreeSet};

use greenroom_api::views;
use greenroom_domain::id::{BuildLabel, FeatureKey, Name};
use greenroom_domain::state::State;
use greenroom_domain::time::At;
use greenroom_ledger::UsageRow;

const DAY: i64 = 86_400_000_000;

/// What was counted, by feature and then by environment, variant and build: evaluations and the last day.
type Counted<'r> = BTreeMap<&'r str, BTreeMap<(&'r str, &'r str, &'r str), (u64, i32)>>;

/// Rows and the builds that run, looked up by feature.
pub struct Book<'r> {
    counted: Counted<'r>,
    readers: BTreeMap<FeatureKey, BTreeSet<(BuildLabel, Name)>>,
}

impl<'r> Book<'r> {
    pub fn new(state: &State, rows: &'r [UsageRow]) -> Self {
        let mut counted = Counted::new();
        for row in rows {
            let sum = counted.entry(&row.feature).or_default().entry((&row.environment, &row.variant, &row.build)).or_default();
            *sum = (sum.0.saturating_add(row.count), sum.1.max(row.day));
        }
        let mut readers: BTreeMap<FeatureKey, BTreeSet<(BuildLabel, Name)>> = BTreeMap::new();
        for placement in state.placements.values() {
            for build in placement.observed.iter().flat_map(|seen| seen.serving.keys()).filter_map(|digest| state.builds.get(digest)) {
                for key in build.spec.reads.keys() {
                    readers.entry(key.clone()).or_default().insert((build.spec.label(), placement.key.environment.clone()));
                }
            }
        }
        Self { counted, readers }
    }

    pub fn of(&self, key: &FeatureKey) -> views::FeatureUsage {
        let counted = self.counted.get(key.as_str());
        let by = counted.into_iter().flatten().map(|((environment, variant, build), (evaluations, last))| views::UsedBy {
            environment: (*environment).to_owned(),
            variant: (*variant).to_owned(),
            build: Some((*build).to_owned()).filter(|build| !build.is_empty()),
            evaluations: *evaluations,
            last: date(*last),
        });
        let last = counted.into_iter().flatten().map(|(_, (_, last))| *last).max();
        views::FeatureUsage {
            feature: key.clone(),
            evaluations: counted.into_iter().flatten().fold(0, |sum, (_, (count, _))| sum.saturating_add(*count)),
            last: last.map(date),
            by: by.collect(),
            read_by: self.readers.get(key).into_iter().flatten().map(|(build, environment)| views::LiveReader { build: build.clone(), environment: environment.clone() }).collect(),
            stale: last.is_none(),
        }
    }
}

/// `2026-11-27`.
fn date(day: i32) -> String {
    At(i64::from(day) * DAY).to_string().chars().take(10).collect()
}
