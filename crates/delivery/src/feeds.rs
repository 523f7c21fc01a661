//! The current snapshot of each environment, swapped whole, and the word that a newer one is there.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use greenroom_exposure::Snapshot;
use tokio::sync::watch;

/// One environment.
pub(crate) struct Feed {
    snapshot: ArcSwap<Snapshot>,
    revision: watch::Sender<u64>,
}

impl Feed {
    pub(crate) fn load(&self) -> arc_swap::Guard<Arc<Snapshot>> {
        self.snapshot.load()
    }

    pub(crate) fn follow(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }
}

/// All environments. Looking one up takes no lock.
#[derive(Default)]
pub struct Feeds {
    all: ArcSwap<HashMap<Box<str>, Arc<Feed>>>,
}

impl Feeds {
    pub(crate) fn feed(&self, environment: &str) -> Option<Arc<Feed>> {
        self.all.load().get(environment).cloned()
    }

    /// What `environment` is answered from now.
    #[must_use]
    pub fn current(&self, environment: &str) -> Option<Arc<Snapshot>> {
        Some(self.all.load().get(environment)?.snapshot.load_full())
    }

    /// Makes `snapshot` the one that is answered from, and tells everyone who follows. Never backwards: an older
    /// revision than the current one is dropped.
    pub fn publish(&self, environment: &str, snapshot: Arc<Snapshot>) {
        let revision = snapshot.revision();
        if let Some(feed) = self.feed(environment) {
            if feed.load().revision() > revision {
                return;
            }
            feed.snapshot.store(snapshot);
            feed.revision.send_if_modified(|known| std::mem::replace(known, revision) != revision);
            return;
        }
        let feed = Arc::new(Feed { snapshot: ArcSwap::new(snapshot), revision: watch::Sender::new(revision) });
        self.all.rcu(|all| {
            let mut all = HashMap::clone(all);
            all.insert(environment.into(), Arc::clone(&feed));
            all
        });
    }
}
