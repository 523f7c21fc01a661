//! The forms a file of Unleash's may have, brought into one: toggles with their strategies, and segments.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::{MAX_BYTES, Unreadable};
use crate::wire::unleash::{Dependency, Segment, Strategy, Toggle, Variant, nullable};

pub(super) struct Definitions {
    pub toggles: BTreeMap<String, Toggle>,
    pub segments: BTreeMap<i64, Segment>,
}

/// Any of the forms: each has its own fields.
#[derive(Deserialize)]
struct File {
    /// Of the client specification's files.
    state: Option<State>,
    #[serde(flatten)]
    own: State,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct State {
    features: Option<Vec<Toggle>>,
    #[serde(default, deserialize_with = "nullable")]
    segments: Vec<Segment>,
    /// Of `/api/client/delta`.
    events: Option<Vec<Event>>,
    /// Of an export, where strategies stand apart from features.
    #[serde(default, deserialize_with = "nullable")]
    feature_strategies: Vec<Placed>,
    #[serde(default, deserialize_with = "nullable")]
    feature_environments: Vec<InEnvironment>,
    #[serde(default, deserialize_with = "nullable")]
    dependencies: Vec<Dependent>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "camelCase")]
enum Event {
    Hydration {
        #[serde(default, deserialize_with = "nullable")]
        features: Vec<Toggle>,
        #[serde(default, deserialize_with = "nullable")]
        segments: Vec<Segment>,
    },
    FeatureUpdated {
        feature: Toggle,
    },
    FeatureRemoved {
        feature_name: String,
    },
    SegmentUpdated {
        segment: Segment,
    },
    SegmentRemoved {
        segment_id: i64,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Placed {
    feature_name: String,
    #[serde(alias = "name")]
    strategy_name: String,
    #[serde(default, deserialize_with = "nullable")]
    sort_order: i64,
    #[serde(flatten)]
    strategy: Nameless,
}

/// A strategy without its name, which an export calls otherwise.
#[derive(Deserialize)]
struct Nameless {
    #[serde(flatten)]
    fields: serde_json::Map<String, serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InEnvironment {
    feature_name: String,
    environment: String,
    #[serde(default)]
    enabled: bool,
    #[serde(default, deserialize_with = "nullable")]
    variants: Vec<Variant>,
}

#[derive(Deserialize)]
struct Dependent {
    feature: String,
    dependencies: Vec<Dependency>,
}

pub(super) fn read(text: &str) -> Result<Definitions, Unreadable> {
    if text.len() > MAX_BYTES {
        return Err(Unreadable::TooLong(text.len()));
    }
    let file: File = serde_json::from_str(text).map_err(Unreadable::NotUnderstood)?;
    let state = file.state.unwrap_or(file.own);
    if state.features.is_none() && state.events.is_none() {
        return Err(Unreadable::NotUnderstood(serde::de::Error::custom("there are neither `features` nor `events`")));
    }
    state.definitions()
}

impl State {
    fn definitions(self) -> Result<Definitions, Unreadable> {
        let mut toggles: BTreeMap<String, Toggle> = self.features.unwrap_or_default().into_iter().map(|toggle| (toggle.name.clone(), toggle)).collect();
        let mut segments: BTreeMap<i64, Segment> = self.segments.into_iter().map(|segment| (segment.id, segment)).collect();
        for event in self.events.unwrap_or_default() {
            match event {
                Event::Hydration { features, segments: all } => {
                    toggles = features.into_iter().map(|toggle| (toggle.name.clone(), toggle)).collect();
                    segments = all.into_iter().map(|segment| (segment.id, segment)).collect();
                }
                Event::FeatureUpdated { feature } => drop(toggles.insert(feature.name.clone(), feature)),
                Event::FeatureRemoved { feature_name } => drop(toggles.remove(&feature_name)),
                Event::SegmentUpdated { segment } => drop(segments.insert(segment.id, segment)),
                Event::SegmentRemoved { segment_id } => drop(segments.remove(&segment_id)),
            }
        }
        let environments: BTreeSet<&str> = self.feature_environments.iter().map(|placed| placed.environment.as_str()).collect();
        if environments.len() > 1 {
            return Err(Unreadable::Ambiguous(environments.into_iter().map(str::to_owned).collect()));
        }
        let mut placed = self.feature_strategies;
        placed.sort_by_key(|placed| placed.sort_order);
        for placed in placed {
            if let Some(toggle) = toggles.get_mut(&placed.feature_name) {
                toggle.strategies.push(placed.strategy.named(placed.strategy_name)?);
            }
        }
        for here in self.feature_environments {
            if let Some(toggle) = toggles.get_mut(&here.feature_name) {
                toggle.enabled = here.enabled;
                if !here.variants.is_empty() {
                    toggle.variants = here.variants;
                }
            }
        }
        for dependent in self.dependencies {
            if let Some(toggle) = toggles.get_mut(&dependent.feature) {
                toggle.dependencies = dependent.dependencies;
            }
        }
        Ok(Definitions { toggles, segments })
    }
}

impl Nameless {
    fn named(mut self, name: String) -> Result<Strategy, Unreadable> {
        self.fields.insert("name".to_owned(), name.into());
        serde_json::from_value(self.fields.into()).map_err(Unreadable::NotUnderstood)
    }
}
