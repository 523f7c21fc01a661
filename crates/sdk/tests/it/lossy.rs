//! A way to a data plane on which answers may be lost: what was asked has arrived, and whoever asked does not hear of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

#[derive(Clone)]
pub struct Lossy {
    pub address: SocketAddr,
    /// Answers without content that are still to be lost.
    pub lose: Arc<AtomicU64>,
}

impl Lossy {
    /// `to`: host and port.
    pub async fn start(to: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let lossy = Self { address: listener.local_addr().unwrap(), lose: Arc::default() };
        let lose = Arc::clone(&lossy.lose);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let far = TcpStream::connect(&to).await.unwrap();
                tokio::spawn(carry(near, far, Arc::clone(&lose)));
            }
        });
        lossy
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// Until either end hangs up, or an answer is lost.
async fn carry(mut near: TcpStream, mut far: TcpStream, lose: Arc<AtomicU64>) {
    let (mut asked, mut answered) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        let (read, to) = tokio::select! {
            read = near.read(&mut asked) => (read.map(|read| &asked[..read]), &mut far),
            read = far.read(&mut answered) => (read.map(|read| &answered[..read]), &mut near),
        };
        let Ok(bytes @ [_, ..]) = read else { return };
        let lost = bytes.starts_with(b"HTTP/1.1 204") && lose.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
        if lost || to.write_all(bytes).await.is_err() {
            return;
        }
    }
}
