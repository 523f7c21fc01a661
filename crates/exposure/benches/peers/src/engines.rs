//! Every engine loaded with the same features, and asked the same.

use std::collections::HashMap;

use greenroom_exposure::Snapshot;
use launchdarkly_server_sdk_evaluation::{Context as LdContext, ContextBuilder, Flag, FlagValue, Segment, Store, evaluate};
use serde_json::Value;
use unleash_types::client_features::{ClientFeatures, Context as UnleashContext};
use unleash_yggdrasil::{EngineState, UpdateMessage};

use crate::definitions::{self, Asks, TEXTS};
use crate::floor::Floor;

pub struct Flags {
    pub flags: HashMap<String, Flag>,
    segments: HashMap<String, Segment>,
}

impl Flags {
    pub fn read(json: &[u8]) -> Self {
        let mut whole: HashMap<String, &serde_json::value::RawValue> = serde_json::from_slice(json).unwrap();
        let mut part = |name| whole.remove(name).unwrap().get();
        Self { flags: serde_json::from_str(part("flags")).unwrap(), segments: serde_json::from_str(part("segments")).unwrap() }
    }

    pub fn ask(&self, flag: &Flag, caller: &LdContext) -> bool {
        matches!(evaluate(self, flag, caller, None).value, Some(FlagValue::Bool(true)))
    }
}

/// As the vendor's own store: what is asked for is cloned out.
impl Store for Flags {
    fn flag(&self, key: &str) -> Option<Flag> {
        self.flags.get(key).cloned()
    }

    fn segment(&self, key: &str) -> Option<Segment> {
        self.segments.get(key).cloned()
    }
}

pub struct Engines {
    pub greenroom: Snapshot,
    pub floor: Floor,
    pub unleash: EngineState,
    pub launchdarkly: Flags,
}

pub fn unleash(json: &[u8]) -> EngineState {
    let engine = EngineState::default();
    let features: ClientFeatures = serde_json::from_slice(json).unwrap();
    let warnings = engine.take_state(UpdateMessage::FullResponse(features));
    assert!(warnings.is_none(), "{warnings:?}");
    engine
}

pub fn greenroom(json: &[u8]) -> Snapshot {
    let (snapshot, warnings) = Snapshot::read(json).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    snapshot
}

pub fn bytes(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).unwrap()
}

impl Engines {
    pub fn load(features: &[(String, Asks)]) -> Self {
        Self {
            greenroom: greenroom(&bytes(&definitions::greenroom(features))),
            floor: Floor::new(features),
            unleash: unleash(&bytes(&definitions::unleash(features))),
            launchdarkly: Flags::read(&bytes(&definitions::launchdarkly(features))),
        }
    }
}

pub fn unleash_callers(users: &[String]) -> Vec<UnleashContext> {
    let properties: HashMap<String, String> = TEXTS.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    let caller = |user: &String| UnleashContext { user_id: Some(user.clone()), properties: Some(properties.clone()), ..UnleashContext::default() };
    users.iter().map(caller).collect()
}

pub fn launchdarkly_callers(users: &[String]) -> Vec<LdContext> {
    let caller = |user: &String| {
        let mut builder = ContextBuilder::new(user.as_str());
        TEXTS.iter().for_each(|(name, text)| {
            builder.set_string(name, *text);
        });
        builder.build().unwrap()
    };
    users.iter().map(caller).collect()
}
