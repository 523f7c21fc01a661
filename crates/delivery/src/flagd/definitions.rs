//! The definitions of what is published, rendered once per revision, when the first asks for them.

use std::sync::Arc;

use bytes::Bytes;
use greenroom_exposure::Snapshot;
use greenroom_exposure::wire::flagd::definitions;
use prost::Message as _;
use tokio::sync::Mutex;
use tonic::Status;

use super::call;
use super::message::Definitions;
use super::value::Struct;
use crate::feeds::Published;

/// What clients of gRPC take in one message unless they are told otherwise.
const CUSTOMARY: usize = 4 << 20;

/// Messages in their envelopes, ready to be sent.
#[derive(Default)]
pub(super) struct Rendered(Mutex<Option<(Arc<Published>, Bytes)>>);

impl Rendered {
    /// Rendering takes its time with many features, so it is done off the threads that answer requests.
    pub(super) async fn of(&self, published: &Arc<Published>) -> Result<Bytes, Status> {
        let mut latest = self.0.lock().await;
        if let Some((_, message)) = latest.as_ref().filter(|(known, _)| Arc::ptr_eq(known, published)) {
            return Ok(message.clone());
        }
        let snapshot = Arc::clone(published.snapshot());
        let message = tokio::task::spawn_blocking(move || rendered(&snapshot)).await.map_err(|error| Status::internal(error.to_string()))?;
        // a reader that is late must not throw away what the others need
        if latest.as_ref().is_none_or(|(known, _)| known.revision() <= published.revision()) {
            *latest = Some((Arc::clone(published), message.clone()));
        }
        Ok(message)
    }
}

fn rendered(snapshot: &Snapshot) -> Bytes {
    // the context is empty, and there: what it held would become part of every caller's, and providers trip over its absence
    let message = Definitions { flag_configuration: definitions(snapshot), sync_context: Some(Struct::default()) }.encode_to_vec();
    if message.len() > CUSTOMARY {
        tracing::warn!(env.name = snapshot.environment(), bytes = message.len(), "flagd's definitions are larger than most clients take in one message");
    }
    call::enveloped(0, &message)
}
