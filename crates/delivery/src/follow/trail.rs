//! What followers of one environment are sent: the latest snapshot, signed, and the deltas that led to it. Rendered and
//! signed once per revision, when the first of them asks, and shared by all.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use greenroom_exposure::wire::follow::{Canonical, DELTA_EVENT, Delta, FORCED_EVENT, SNAPSHOT_EVENT};
use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex;

use super::Sign;
use crate::feeds::Published;

/// Deltas are held for this many revisions, and while together they are no larger than the snapshot.
const HELD: usize = 256;

/// The latest snapshot as it is sent.
pub(crate) struct Signed {
    published: Arc<Published>,
    content: Content,
    /// `{"snapshot": …, "signature": …}`.
    pub(super) envelope: Bytes,
    /// The same as an event.
    event: Bytes,
    /// Of this revision and these very bytes; without quotes.
    pub(super) tag: String,
}

/// What deltas are made of: our own snapshots, and of those that a relay passes on the text that was signed.
enum Content {
    Own,
    Passed(Arc<Canonical>),
}

struct Step {
    from: u64,
    to: u64,
    event: Bytes,
}

#[derive(Default)]
struct Steps {
    latest: Option<Arc<Signed>>,
    steps: VecDeque<Step>,
}

/// Where a follower is to go on, and how.
pub(super) struct Way {
    pub revision: u64,
    pub events: Bytes,
}

#[derive(Default)]
pub(crate) struct Trail(Mutex<Steps>);

impl Trail {
    /// What `published` is sent as. The rendering is done off the threads that answer requests.
    pub(super) async fn signed(&self, published: Arc<Published>, signer: Option<&Arc<dyn Sign>>) -> Option<Arc<Signed>> {
        self.0.lock().await.signed(published, signer).await
    }

    /// What brings a follower from `known` to what is published: the deltas in between if all are held, else the whole.
    /// `None` if it is there already, or ahead.
    pub(super) async fn way(&self, known: u64, published: Arc<Published>, signer: Option<&Arc<dyn Sign>>) -> Option<Way> {
        let mut steps = self.0.lock().await;
        let signed = steps.signed(published, signer).await?;
        let revision = signed.published.revision();
        (known < revision).then(|| Way { revision, events: steps.since(known).unwrap_or_else(|| signed.event.clone()) })
    }
}

impl Steps {
    async fn signed(&mut self, published: Arc<Published>, signer: Option<&Arc<dyn Sign>>) -> Option<Arc<Signed>> {
        let latest = self.latest.clone();
        if let Some(latest) = latest.as_ref().filter(|latest| Arc::ptr_eq(&latest.published, &published) || latest.published.revision() > published.revision()) {
            return Some(Arc::clone(latest));
        }
        let signer = signer.cloned();
        let (signed, step) = tokio::task::spawn_blocking(move || render(published, latest.as_deref(), signer.as_deref())).await.ok()??;
        match step {
            Some(step) => self.steps.push_back(step),
            None => self.steps.clear(),
        }
        let size = |steps: &VecDeque<Step>| steps.iter().map(|step| step.event.len()).sum::<usize>();
        while self.steps.len() > HELD || size(&self.steps) > signed.event.len() {
            self.steps.pop_front();
        }
        let signed = Arc::new(signed);
        self.latest = Some(Arc::clone(&signed));
        Some(signed)
    }

    /// The deltas from `known` on, if they are held from there.
    fn since(&self, known: u64) -> Option<Bytes> {
        let first = self.steps.iter().position(|step| step.from == known)?;
        let mut missed = self.steps.iter().skip(first);
        let one = missed.next()?;
        if self.steps.back().is_some_and(|last| last.to == one.to) {
            return Some(one.event.clone());
        }
        Some(
            missed
                .fold(one.event.to_vec(), |mut all, step| {
                    all.extend_from_slice(&step.event);
                    all
                })
                .into(),
        )
    }
}

/// Signs `published`, unless another has, and what leads to it from `before`. `None` if nobody signs.
fn render(published: Arc<Published>, before: Option<&Signed>, signer: Option<&dyn Sign>) -> Option<(Signed, Option<Step>)> {
    let revision = published.revision();
    let (content, body, signature) = match published.origin() {
        Some(origin) => (Content::Passed(Arc::clone(&origin.canonical)), Bytes::from(origin.canonical.write()), origin.signature.to_string()),
        None => {
            let body = published.json();
            let signature = signer?.sign(&body);
            (Content::Own, body, signature)
        }
    };
    let mut envelope = Vec::with_capacity(body.len() + signature.len() + 32);
    envelope.extend_from_slice(b"{\"snapshot\":");
    envelope.extend_from_slice(&body);
    envelope.extend_from_slice(b",\"signature\":\"");
    envelope.extend_from_slice(signature.as_bytes());
    envelope.extend_from_slice(b"\"}");
    let step = before.filter(|before| before.published.revision() < revision).and_then(|before| {
        let from = before.published.revision();
        let delta = match (&content, &before.content) {
            (Content::Own, Content::Own) => serde_json::to_vec(&Delta::new(from, published.snapshot().change_from(before.published.snapshot()), signature)),
            (Content::Passed(text), Content::Passed(before)) => serde_json::to_vec(&text.delta_from(before, signature)),
            _ => return None,
        };
        Some(Step { from, to: revision, event: event(revision, DELTA_EVENT, &delta.ok()?) })
    });
    let digest: [u8; 32] = Sha256::digest(&envelope).into();
    let mut tag = format!("{revision}-");
    digest.iter().take(8).for_each(|byte| tag.push_str(&format!("{byte:02x}")));
    let event = event(revision, SNAPSHOT_EVENT, &envelope);
    Some((Signed { published, content, envelope: envelope.into(), event, tag }, step))
}

/// The event that says what is forced off. It has no id: it is of no revision.
pub(super) fn forced(published: &Published) -> Bytes {
    let list = serde_json::to_string(&**published.forced()).unwrap_or_default();
    format!("event: {FORCED_EVENT}\ndata: {list}\n\n").into()
}

/// JSON as we write it has no line breaks, so the data is one line.
fn event(id: u64, name: &str, data: &[u8]) -> Bytes {
    let mut event = format!("id: {id}\nevent: {name}\ndata: ").into_bytes();
    event.extend_from_slice(data);
    event.extend_from_slice(b"\n\n");
    event.into()
}
