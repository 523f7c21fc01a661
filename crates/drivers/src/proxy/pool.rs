//! Backends: which one a stable address leads to now, what is under way there, and idle connections to it.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// What is sent to a backend: kept whole, so that it can be sent again, or passed on as it comes.
pub(super) type Payload = Either<Full<Bytes>, Incoming>;
pub(super) type Sender = SendRequest<Payload>;

/// Idle connections younger than this are used again; common servers close theirs after five seconds or more.
const IDLE: Duration = Duration::from_secs(2);
const IDLE_PER_BACKEND: usize = 64;
const CONNECT: Duration = Duration::from_secs(1);

/// Where stable addresses lead, and every backend that is led to or still has something under way.
#[derive(Default)]
pub(super) struct Table {
    routes: RwLock<Arc<BTreeMap<SocketAddr, SocketAddr>>>,
    backends: Mutex<HashMap<SocketAddr, Arc<Backend>>>,
}

pub(super) struct Backend {
    address: SocketAddr,
    in_flight: AtomicUsize,
    retired: AtomicBool,
    idle: Mutex<Vec<(Sender, Instant)>>,
}

/// Something under way at a backend.
pub(super) struct Lease {
    backend: Arc<Backend>,
}

impl Table {
    pub(super) fn routes(&self) -> Arc<BTreeMap<SocketAddr, SocketAddr>> {
        Arc::clone(&self.routes.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Leads stable addresses elsewhere. Connections to what no route leads to are closed as soon as they are idle.
    pub(super) fn lead(&self, routes: BTreeMap<SocketAddr, SocketAddr>) {
        let routes = Arc::new(routes);
        *self.routes.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&routes);
        for backend in self.backends.lock().unwrap_or_else(PoisonError::into_inner).values() {
            let retired = !routes.values().any(|to| *to == backend.address);
            backend.retired.store(retired, Ordering::SeqCst);
            if retired {
                backend.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
            }
        }
    }

    /// The backend that `stable` leads to now. It counts as busy there before it is certain that the route still
    /// stands, so whoever changes the route sees it.
    pub(super) fn lease(&self, stable: SocketAddr) -> Option<Lease> {
        loop {
            let to = *self.routes().get(&stable)?;
            let backend = {
                let mut backends = self.backends.lock().unwrap_or_else(PoisonError::into_inner);
                Arc::clone(backends.entry(to).or_insert_with(|| Arc::new(Backend::new(to))))
            };
            let lease = Lease::new(backend);
            if self.routes().get(&stable) == Some(&to) {
                return Some(lease);
            }
        }
    }

    /// Requests under way where no route leads any more; forgets such backends once they have none.
    pub(super) fn retired(&self) -> BTreeMap<SocketAddr, usize> {
        let routes = self.routes();
        let mut busy = BTreeMap::new();
        self.backends.lock().unwrap_or_else(PoisonError::into_inner).retain(|address, backend| {
            if routes.values().any(|to| to == address) {
                return true;
            }
            backend.retired.store(true, Ordering::SeqCst);
            let count = backend.in_flight.load(Ordering::SeqCst);
            if count > 0 {
                busy.insert(*address, count);
            }
            count > 0
        });
        busy
    }

    pub(super) fn busy(&self) -> bool {
        self.backends.lock().unwrap_or_else(PoisonError::into_inner).values().any(|b| b.in_flight.load(Ordering::SeqCst) > 0)
    }
}

impl Backend {
    fn new(address: SocketAddr) -> Self {
        Self { address, in_flight: AtomicUsize::new(0), retired: AtomicBool::new(false), idle: Mutex::default() }
    }
}

impl Lease {
    fn new(backend: Arc<Backend>) -> Self {
        backend.in_flight.fetch_add(1, Ordering::SeqCst);
        Self { backend }
    }

    /// An idle connection that is still open, as far as can be known without using it.
    pub(super) async fn idle(&self) -> Option<Sender> {
        loop {
            let (mut sender, since) = self.backend.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
            if since.elapsed() < IDLE && !sender.is_closed() {
                let ready = tokio::time::timeout(Duration::from_millis(20), sender.ready()).await;
                if matches!(ready, Ok(Ok(()))) {
                    return Some(sender);
                }
            }
        }
    }

    pub(super) async fn connect(&self) -> Result<Sender, String> {
        let stream = tokio::time::timeout(CONNECT, TcpStream::connect(self.backend.address)).await;
        let stream = stream.map_err(|_| "no connection within a second".to_owned())?.map_err(|e| e.to_string())?;
        let _ = stream.set_nodelay(true);
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
        tokio::spawn(connection.with_upgrades());
        Ok(sender)
    }

    /// Keeps a connection whose answer has been read to its end.
    pub(super) fn keep(&self, sender: Sender) {
        if sender.is_closed() || self.backend.retired.load(Ordering::SeqCst) {
            return;
        }
        let mut idle = self.backend.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(_, since)| since.elapsed() < IDLE);
        if idle.len() < IDLE_PER_BACKEND {
            idle.push((sender, Instant::now()));
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.backend.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_under_way_is_seen_until_it_ends() {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let table = Table::default();
        assert!(table.lease(address(1)).is_none());
        table.lead([(address(1), address(10))].into());
        let lease = table.lease(address(1)).unwrap();
        assert!(table.retired().is_empty() && table.busy());
        table.lead([(address(1), address(11))].into());
        assert_eq!(table.retired(), [(address(10), 1)].into());
        drop(lease);
        assert!(table.retired().is_empty() && !table.busy());
    }
}
