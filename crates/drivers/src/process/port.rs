//! Free private addresses. Taken from below the range that the kernel gives to outgoing connections, so that none of
//! those sits on the port between choosing it and the process's own bind.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// Ports handed out lately; one is not handed out twice before its process has had time to bind.
static RECENT: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

const LOWEST: u16 = 20_000;

/// A free address of 127.0.0.1. Where to begin looking depends on the moment, so that two control planes on one machine
/// do not choose alike.
pub(crate) fn free() -> io::Result<SocketAddr> {
    let moment = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().subsec_nanos();
    free_from(u64::from(moment) ^ (u64::from(std::process::id()) << 16))
}

fn free_from(seed: u64) -> io::Result<SocketAddr> {
    let mut recent = RECENT.lock().unwrap_or_else(PoisonError::into_inner);
    if recent.len() > 500 {
        recent.clear();
    }
    let count = u64::from(ephemeral_floor().saturating_sub(LOWEST)).max(1);
    for i in 0..count {
        let Ok(offset) = u16::try_from((seed % count + i) % count) else { continue };
        let port = LOWEST + offset;
        if !recent.contains(&port) && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            recent.insert(port);
            return Ok((Ipv4Addr::LOCALHOST, port).into());
        }
    }
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

fn ephemeral_floor() -> u16 {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let floor = text.split_whitespace().next().and_then(|p| p.parse().ok());
    floor.unwrap_or(32_768)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_the_same_twice_and_never_one_in_use() {
        let first = free_from(7).unwrap();
        let second = free_from(7).unwrap();
        assert_ne!(first, second);
        let held = TcpListener::bind((Ipv4Addr::LOCALHOST, second.port())).unwrap();
        RECENT.lock().unwrap().clear();
        assert_ne!(free_from(u64::from(second.port() - LOWEST)).unwrap(), held.local_addr().unwrap());
    }
}
