//! What SDKs of one level are handed of one environment: rendered once per revision, when the first of them asks, and
//! shared by all; with the events that lead from one revision to the next.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use greenroom_exposure::wire::unleash::{ClientFeatures, Level, Segment, Toggle, features};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex;

use crate::feeds::Published;

/// Steps are held for this many revisions, and while together they are no larger than the whole.
const HELD: usize = 256;

/// Of one environment, by level.
#[derive(Default)]
pub(crate) struct Stages([Stage; Level::ALL.len()]);

#[derive(Default)]
pub(super) struct Stage {
    latest: ArcSwapOption<Rendered>,
    /// Held while rendering, so that it is done once.
    steps: Mutex<VecDeque<Step>>,
}

struct Step {
    from: u64,
    to: u64,
    /// JSON of events, without the brackets around them.
    events: Bytes,
}

pub(super) struct Rendered {
    published: Arc<Published>,
    features: ClientFeatures,
    /// Of `/api/client/features`.
    pub body: Bytes,
    /// Revision and digest of the body; without quotes.
    pub tag: String,
    hydration: OnceLock<Way>,
    /// From the revision before this one, which is where nearly all who listen come from.
    step: Option<(u64, Way)>,
}

/// Where an SDK is: the revision and, at a relay that forces something off, what that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub revision: u64,
    pub edition: u64,
}

impl Place {
    pub(super) fn read(text: &str) -> Option<Self> {
        let (revision, edition) = text.split_once('-').unwrap_or((text, "0"));
        Some(Self { revision: revision.parse().ok()?, edition: u64::from_str_radix(edition, 16).ok()? })
    }

    pub(super) fn of(published: &Published) -> Self {
        Self { revision: published.revision(), edition: published.edition() }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.edition {
            0 => write!(f, "{}", self.revision),
            edition => write!(f, "{}-{edition:x}", self.revision),
        }
    }
}

/// What brings an SDK to a place. Made once; all share its bytes.
#[derive(Clone)]
pub(super) struct Way {
    pub to: Place,
    /// As it goes over a stream.
    pub event: Bytes,
    /// `{"events":[…]}`, which is a part of that.
    pub body: Bytes,
}

impl Way {
    /// `whole`: it replaces all that the SDK has.
    fn new(to: Place, events: &[u8], whole: bool) -> Self {
        let mut event = format!("id: {to}\nevent: {}\ndata: ", if whole { "unleash-connected" } else { "unleash-updated" }).into_bytes();
        let begin = event.len();
        // JSON as we write it has no line breaks, so the data is one line
        for part in [b"{\"events\":[", events, b"]}"] {
            event.extend_from_slice(part);
        }
        let end = event.len();
        event.extend_from_slice(b"\n\n");
        let event = Bytes::from(event);
        Self { to, body: event.slice(begin..end), event }
    }
}

impl Stages {
    pub(super) fn of(&self, level: Level) -> Option<&Stage> {
        self.0.get(Level::ALL.iter().position(|one| *one == level)?)
    }
}

impl Stage {
    /// What `published` is handed out as. The rendering is done off the threads that answer requests.
    pub(super) async fn rendered(&self, published: &Arc<Published>, level: Level) -> Option<Arc<Rendered>> {
        if let Some(latest) = self.latest.load_full().filter(|latest| latest.stands_for(published)) {
            return Some(latest);
        }
        let mut steps = self.steps.lock().await;
        let before = self.latest.load_full();
        if let Some(latest) = before.as_ref().filter(|latest| latest.stands_for(published)) {
            return Some(Arc::clone(latest));
        }
        let (published, known) = (Arc::clone(published), before.clone());
        let (rendered, step) = tokio::task::spawn_blocking(move || {
            let mut rendered = Rendered::new(published, level);
            let step = known.and_then(|known| rendered.since(&known));
            rendered.step = step.as_ref().map(|step| (step.from, Way::new(rendered.place(), &step.events, false)));
            (rendered, step)
        })
        .await
        .ok()?;
        match step {
            Some(step) => steps.push_back(step),
            None => steps.clear(),
        }
        while steps.len() > HELD || steps.iter().map(|step| step.events.len()).sum::<usize>() > rendered.body.len() {
            steps.pop_front();
        }
        let rendered = Arc::new(rendered);
        self.latest.store(Some(Arc::clone(&rendered)));
        Some(rendered)
    }

    /// What brings an SDK from where it is to what is published: the steps between if all are held, else the whole. `None`
    /// if it is there already.
    pub(super) async fn way(&self, known: Option<Place>, published: &Arc<Published>, level: Level) -> Option<Way> {
        let rendered = self.rendered(published, level).await?;
        let here = rendered.place();
        // no steps lead to here from where something else was forced off
        let known = known.filter(|known| known.edition == here.edition).map(|known| known.revision);
        if known == Some(here.revision) {
            return None;
        }
        let Some(known) = known else { return Some(rendered.hydration()) };
        if let Some((_, way)) = rendered.step.as_ref().filter(|(from, _)| *from == known) {
            return Some(way.clone());
        }
        let steps = self.steps.lock().await;
        let first = steps.iter().position(|step| step.from == known).filter(|_| steps.back().is_some_and(|last| last.to == here.revision));
        let Some(first) = first else { return Some(rendered.hydration()) };
        let missed: Vec<&[u8]> = steps.iter().skip(first).map(|step| &*step.events).filter(|events| !events.is_empty()).collect();
        Some(Way::new(here, &missed.join(&b","[..]), false))
    }
}

impl Rendered {
    fn new(published: Arc<Published>, level: Level) -> Self {
        let features = features(published.snapshot(), level);
        let body = serde_json::to_vec(&features).unwrap_or_default();
        let mut tag = format!("{}-", published.revision());
        Sha256::digest(&body).iter().take(8).for_each(|byte| tag.push_str(&format!("{byte:02x}")));
        Self { published, features, body: body.into(), tag, hydration: OnceLock::new(), step: None }
    }

    /// A later revision has come in between only if someone was faster, and then it is the one to be handed out.
    fn stands_for(&self, published: &Arc<Published>) -> bool {
        Arc::ptr_eq(&self.published, published) || self.revision() > published.revision()
    }

    pub(super) fn revision(&self) -> u64 {
        self.published.revision()
    }

    fn place(&self) -> Place {
        Place::of(&self.published)
    }

    pub(super) fn toggle(&self, name: &str) -> Option<&Toggle> {
        let at = self.features.features.binary_search_by(|toggle| toggle.name.as_str().cmp(name)).ok()?;
        self.features.features.get(at)
    }

    /// The revision of a tag that stands for this very content, or of an older one.
    pub(super) fn acknowledged(&self, tag: &str) -> Option<u64> {
        let (revision, digest) = tag.split_once('-')?;
        let same = self.tag.split_once('-').is_some_and(|(_, ours)| ours == digest);
        if same { Some(self.revision()) } else { revision.parse().ok().filter(|revision| *revision < self.revision()) }
    }

    fn hydration(&self) -> Way {
        let render = || {
            let event = json!({"type": "hydration", "eventId": self.revision(), "features": self.features.features, "segments": self.features.segments});
            Way::new(self.place(), event.to_string().as_bytes(), true)
        };
        self.hydration.get_or_init(render).clone()
    }

    /// The events that lead here from `before`; `None` if nothing does, because both have the same revision.
    fn since(&self, before: &Self) -> Option<Step> {
        let (from, to) = (before.revision(), self.revision());
        if from >= to {
            return None;
        }
        let (mut events, mut gone) = (Vec::new(), Vec::new());
        let segments = |of: &Self| -> BTreeMap<i64, Segment> { of.features.segments.iter().map(|segment| (segment.id, segment.clone())).collect() };
        let (old, new) = (segments(before), segments(self));
        for (id, segment) in &new {
            if old.get(id) != Some(segment) {
                events.push(event(to, "segment-updated", "segment", segment));
            }
        }
        // features name segments, so these come first and go last
        gone.extend(old.keys().filter(|id| !new.contains_key(id)).map(|id| event(to, "segment-removed", "segmentId", id)));
        for toggle in &self.features.features {
            if before.toggle(&toggle.name) != Some(toggle) {
                events.push(event(to, "feature-updated", "feature", toggle));
            }
        }
        for toggle in before.features.features.iter().filter(|toggle| self.toggle(&toggle.name).is_none()) {
            let mut removed = event(to, "feature-removed", "featureName", &toggle.name);
            if let Some(fields) = removed.as_object_mut() {
                fields.insert("project".to_owned(), "default".into());
            }
            events.push(removed);
        }
        events.append(&mut gone);
        let events = events.iter().map(Value::to_string).collect::<Vec<_>>().join(",");
        Some(Step { from, to, events: events.into() })
    }
}

fn event(id: u64, r#type: &str, field: &str, value: &impl Serialize) -> Value {
    json!({"type": r#type, "eventId": id, field: value})
}
