//! One keep-alive connection that sends prepared requests, and costs as little as it can.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Requests per second, and how long each took, in order: `clients` connections that each send what `request` gives for
/// the client and its turn, and wait for 200 or 304.
pub async fn load(address: SocketAddr, clients: usize, time: Duration, request: impl Fn(usize, usize) -> Vec<u8> + Clone + Send + 'static) -> (f64, Vec<Duration>) {
    let began = Instant::now();
    let tasks: Vec<_> = (0..clients)
        .map(|client| {
            let request = request.clone();
            tokio::spawn(async move {
                let (mut wire, mut took) = (Wire::open(address).await, Vec::new());
                while began.elapsed() < time {
                    let request = request(client, took.len() + 1);
                    let at = Instant::now();
                    let (status, ..) = wire.raw(&request).await.unwrap();
                    assert!(matches!(status, 200 | 304), "{status}");
                    took.push(at.elapsed());
                }
                took
            })
        })
        .collect();
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.unwrap());
    }
    all.sort_unstable();
    (all.len() as f64 / began.elapsed().as_secs_f64(), all)
}

pub struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Wire {
    pub async fn try_open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(1 << 14) })
    }

    pub async fn open(address: SocketAddr) -> Self {
        Self::try_open(address).await.unwrap()
    }

    /// Status and body.
    pub async fn try_send(&mut self, method: &str, path: &str, token: &str, key: Option<&str>, body: &str) -> io::Result<(u16, String)> {
        let key = key.map(|k| format!("idempotency-key: {k}\r\n")).unwrap_or_default();
        let request =
            format!("{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n{key}content-length: {}\r\n\r\n{body}", body.len());
        let (status, at, length) = self.raw(request.as_bytes()).await?;
        Ok((status, String::from_utf8_lossy(&self.buffer[at..at + length]).into_owned()))
    }

    /// Sends a whole request; gives status, and where the body stands in the buffer.
    pub async fn raw(&mut self, request: &[u8]) -> io::Result<(u16, usize, usize)> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let Some(end) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
            let head = &self.buffer[..end];
            let length = head.split(|b| *b == b'\n').find_map(|l| {
                let (name, value) = l.split_at_checked(15)?;
                name.eq_ignore_ascii_case(b"content-length:").then(|| std::str::from_utf8(value).ok()?.trim().parse::<usize>().ok()).flatten()
            });
            let length = length.unwrap_or(0);
            if self.buffer.len() >= end + 4 + length {
                let status = std::str::from_utf8(&head[9..12]).ok().and_then(|s| s.parse().ok()).unwrap_or(0);
                return Ok((status, end + 4, length));
            }
        }
    }

    pub async fn send(&mut self, method: &str, path: &str, token: &str, key: Option<&str>, body: &str) -> (u16, String) {
        self.try_send(method, path, token, key, body).await.unwrap()
    }

    pub fn into_stream(self) -> TcpStream {
        self.stream
    }
}
