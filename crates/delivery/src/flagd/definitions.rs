//! The definitions of what is published, rendered once per revision, when the first asks for them.

use std::sync::Arc;

use bytes::Bytes;
use greenroom_exposure::wire::flagd::definitions;
use tokio::sync::Mutex;
use tonic::Status;

use crate::feeds::Published;

/// What clients of gRPC take in one message unless they are told otherwise.
const CUSTOMARY: usize = 4 << 20;

#[derive(Default)]
pub(super) struct Rendered(Mutex<Option<(Arc<Published>, Bytes)>>);

impl Rendered {
    /// Rendering takes its time with many features, so it is done off the threads that answer requests.
    pub(super) async fn of(&self, published: &Arc<Published>) -> Result<Bytes, Status> {
        let mut latest = self.0.lock().await;
        if let Some((_, text)) = latest.as_ref().filter(|(known, _)| Arc::ptr_eq(known, published)) {
            return Ok(text.clone());
        }
        let snapshot = Arc::clone(published.snapshot());
        let text = tokio::task::spawn_blocking(move || Bytes::from(definitions(&snapshot))).await.map_err(|error| Status::internal(error.to_string()))?;
        if text.len() > CUSTOMARY {
            let environment = published.snapshot().environment();
            tracing::warn!(env.name = environment, bytes = text.len(), "flagd's definitions are larger than most clients take in one message");
        }
        // a reader that is late must not throw away what the others need
        if latest.as_ref().is_none_or(|(known, _)| known.revision() <= published.revision()) {
            *latest = Some((Arc::clone(published), text.clone()));
        }
        Ok(text)
    }
}
