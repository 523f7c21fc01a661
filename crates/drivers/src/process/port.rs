//! Free private addresses. Taken from below the range that the kernel gives to outgoing connections, so that none of
//! those sits on the port between choosing it and the process's own bind. And never one that a record or a route still
//! names: it would be taken for the process that had it, and that one's customers would be led to it.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use super::record::Pages;
use crate::disk::{At as _, DiskError};
use crate::proxy::Routes;

/// Ports handed out lately; one is not handed out twice before its process has had time to bind.
static RECENT: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

const LOWEST: u16 = 20_000;

/// A free address of 127.0.0.1 for a process of the target in `address`. Where to begin looking depends on the moment, so
/// that two control planes on one machine do not choose alike.
pub(crate) fn free(address: &Path, pages: &Pages) -> Result<SocketAddr, DiskError> {
    let mut named = routed(address)?;
    named.extend(pages.records.values().map(|r| r.listen.port()));
    let moment = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().subsec_nanos();
    free_from(u64::from(moment) ^ (u64::from(std::process::id()) << 16), &named).at("find a free port for", address)
}

/// Ports that stable addresses lead to: of this target, and of those whose directories stand beside it.
fn routed(address: &Path) -> Result<BTreeSet<u16>, DiskError> {
    let mut ports = BTreeSet::new();
    let beside = address.parent().and_then(|all| fs::read_dir(all).ok()).into_iter().flatten().flatten().map(|entry| entry.path());
    for target in beside.filter(|dir| dir != address && dir.is_dir()).chain([address.to_owned()]) {
        match Routes::read(&target) {
            Ok(routes) => ports.extend(routes.routes.values().map(SocketAddr::port)),
            Err(e) if target == address => return Err(e),
            // what stands there may be anybody's
            Err(_) => {}
        }
    }
    Ok(ports)
}

fn free_from(seed: u64, named: &BTreeSet<u16>) -> io::Result<SocketAddr> {
    let mut recent = RECENT.lock().unwrap_or_else(PoisonError::into_inner);
    if recent.len() > 500 {
        recent.clear();
    }
    let count = u64::from(ephemeral_floor().saturating_sub(LOWEST)).max(1);
    for i in 0..count {
        let Ok(offset) = u16::try_from((seed % count + i) % count) else { continue };
        let port = LOWEST + offset;
        if !recent.contains(&port) && !named.contains(&port) && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
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
    fn never_the_same_twice_never_one_in_use_and_never_one_that_is_still_named() {
        let none = BTreeSet::new();
        let first = free_from(7, &none).unwrap();
        let second = free_from(7, &none).unwrap();
        assert_ne!(first, second);
        let held = TcpListener::bind((Ipv4Addr::LOCALHOST, second.port())).unwrap();
        RECENT.lock().unwrap().clear();
        let third = free_from(u64::from(second.port() - LOWEST), &none).unwrap();
        assert_ne!(third, held.local_addr().unwrap());
        RECENT.lock().unwrap().clear();
        assert_ne!(free_from(u64::from(third.port() - LOWEST), &[third.port()].into()).unwrap(), third);
    }

    #[test]
    fn where_stable_addresses_of_any_target_lead_is_named() {
        let dir = std::env::temp_dir().join(format!("greenroom-port-{}", std::process::id()));
        for (target, port) in [("test", 20_001), ("production", 20_002)] {
            fs::create_dir_all(dir.join(target)).unwrap();
            let (stable, listen) = ((Ipv4Addr::LOCALHOST, 1).into(), (Ipv4Addr::LOCALHOST, port).into());
            crate::proxy::edit_routes(&dir.join(target), |routes| routes.insert(stable, listen)).unwrap();
        }
        fs::create_dir_all(dir.join("another's")).unwrap();
        fs::write(dir.join("another's/routes.json"), "from: here").unwrap();
        assert_eq!(routed(&dir.join("test")).unwrap(), [20_001, 20_002].into());
        assert!(routed(&dir.join("another's")).is_err(), "of its own target it must be known");
        fs::remove_dir_all(&dir).unwrap();
    }
}
