//! Free private addresses. Taken from below the range that the kernel gives to outgoing connections, so that none of
//! those sits on the port between choosing it and the process's own bind.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Mutex, PoisonError};

/// Ports handed out by this process lately; one is not handed out twice before its process has had time to bind.
#[derive(Debug, Default)]
pub(crate) struct Ports {
    recent: Mutex<HashSet<u16>>,
}

const LOWEST: u16 = 20_000;

impl Ports {
    /// A free address of 127.0.0.1. `seed` spreads the choices of different control planes on one machine.
    pub(crate) fn free(&self, seed: u64) -> io::Result<SocketAddr> {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() > 500 {
            recent.clear();
        }
        let top = ephemeral_floor();
        let count = u64::from(top.saturating_sub(LOWEST));
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
        let ports = Ports::default();
        let first = ports.free(7).unwrap();
        let second = ports.free(7).unwrap();
        assert_ne!(first, second);
        let held = TcpListener::bind(second).unwrap();
        assert_ne!(Ports::default().free(u64::from(second.port() - LOWEST)).unwrap(), held.local_addr().unwrap());
    }
}
