//! The process table: who a process is beyond its number, whether it still lives, and whose environment carries a mark.
//! Linux's `/proc` only.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

/// A process, told apart from every other that had or will have its number.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Identity {
    pub pid: u32,
    /// Clock ticks after boot, field 22 of `/proc/PID/stat`.
    pub start: u64,
    pub boot: String,
}

/// A process found by what its environment says.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub identity: Identity,
    pub environment: BTreeMap<String, String>,
}

struct Stat {
    dead: bool,
    group: u32,
    start: u64,
}

pub(crate) fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// Time since boot, sleep included: goes on while the control plane is down and knows no daylight saving.
pub(crate) fn uptime() -> io::Result<Duration> {
    let text = fs::read_to_string("/proc/uptime")?;
    let seconds = text.split_whitespace().next().and_then(|s| s.parse().ok());
    seconds.map(Duration::from_secs_f64).ok_or_else(|| io::Error::other("/proc/uptime is not a number"))
}

/// `None` if there is no such process.
fn stat(pid: u32) -> io::Result<Option<Stat>> {
    let text = match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(text) => text,
        Err(e) if is_gone(&e) => return if fs::exists("/proc/self/stat")? { Ok(None) } else { Err(io::Error::other("/proc is not there")) },
        Err(e) => return Err(e),
    };
    // The second field is the program's name in brackets and may hold anything, brackets too.
    let mut fields = text.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
    let parse = |field: Option<&str>| field.and_then(|f| f.parse().ok());
    let state = fields.next();
    let group = parse(fields.nth(1));
    let start = parse(fields.nth(16));
    match (state, group, start) {
        (Some(state), Some(group), Some(start)) => Ok(Some(Stat { dead: matches!(state, "Z" | "X" | "x"), group: u32::try_from(group).unwrap_or(0), start })),
        _ => Err(io::Error::other(format!("/proc/{pid}/stat is not understood"))),
    }
}

fn is_gone(e: &io::Error) -> bool {
    e.kind() == io::ErrorKind::NotFound || e.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

/// Who `pid` is now; `None` if it is nobody or a zombie.
pub(crate) fn identify(pid: u32) -> io::Result<Option<Identity>> {
    Ok(match stat(pid)? {
        Some(s) if !s.dead => Some(Identity { pid, start: s.start, boot: boot_id()? }),
        _ => None,
    })
}

/// Who `pid` is or, as a zombie that nobody has waited for, was.
pub(crate) fn identify_any(pid: u32) -> io::Result<Option<Identity>> {
    stat(pid)?.map(|s| Ok(Identity { pid, start: s.start, boot: boot_id()? })).transpose()
}

/// A zombie is dead, and so is whoever ran before the last boot.
pub(crate) fn is_alive(who: &Identity) -> io::Result<bool> {
    Ok(identify(who.pid)?.as_ref() == Some(who))
}

/// Signals `who` and, where it leads one, its process group. Does nothing if it is dead; never hits a later owner of its
/// number.
pub(crate) fn signal(who: &Identity, signal: Signal) -> io::Result<()> {
    let Some(pid) = i32::try_from(who.pid).ok().and_then(Pid::from_raw) else { return Ok(()) };
    let handle = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(handle) => handle,
        Err(rustix::io::Errno::SRCH) => return Ok(()),
        Err(e) => return Err(e.into()),
    };
    if !is_alive(who)? {
        return Ok(());
    }
    // While the leader is there, even as a zombie, its group's number belongs to no one else.
    let leads = stat(who.pid)?.is_some_and(|s| s.group == who.pid);
    let sent = if leads { kill_process_group(pid, signal) } else { pidfd_send_signal(handle, signal) };
    match sent {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// Which processes of a group count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Members {
    /// The one that we started; what it started itself inherits its environment.
    Leader,
    All,
}

/// Living processes whose environment satisfies `wanted`. Those of other users cannot be read and are passed over.
pub(crate) fn search(members: Members, wanted: impl Fn(&BTreeMap<String, String>) -> bool) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else { continue };
        let Ok(bytes) = fs::read(format!("/proc/{pid}/environ")) else { continue };
        let environment = parse_environment(&bytes);
        if !wanted(&environment) {
            continue;
        }
        let Some(s) = stat(pid)? else { continue };
        if s.dead || (members == Members::Leader && s.group != pid) {
            continue;
        }
        found.push(Found { identity: Identity { pid, start: s.start, boot: boot_id()? }, environment });
    }
    Ok(found)
}

fn parse_environment(bytes: &[u8]) -> BTreeMap<String, String> {
    let pairs = bytes.split(|b| *b == 0).filter_map(|pair| String::from_utf8_lossy(pair).split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned())));
    pairs.collect()
}

/// Who listens on `address`, as far as this user may know: `pid 4711 (nginx)`.
pub(crate) fn listener_of(address: SocketAddr) -> Option<String> {
    let inode = listening_inode(address)?;
    let socket = format!("socket:[{inode}]");
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else { continue };
        let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { continue };
        let holds = files.flatten().any(|f| fs::read_link(f.path()).is_ok_and(|to| to.to_str() == Some(&socket)));
        if holds {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            return Some(format!("pid {pid} ({})", name.trim()));
        }
    }
    None
}

fn listening_inode(address: SocketAddr) -> Option<u64> {
    const LISTEN: &str = "0A";
    let mut tables = String::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        tables.push_str(&fs::read_to_string(table).unwrap_or_default());
    }
    let port = format!("{:04X}", address.port());
    let exact = match address.ip() {
        IpAddr::V4(ip) => format!("{:08X}", u32::from_ne_bytes(ip.octets())),
        IpAddr::V6(ip) => ip.octets().chunks(4).map(|c| c.try_into().map_or(0, u32::from_ne_bytes)).map(|w| format!("{w:08X}")).collect(),
    };
    tables.lines().find_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
        let (ip, p) = local.split_once(':')?;
        let matches = *state == LISTEN && p == port && (ip == exact || ip.bytes().all(|b| b == b'0'));
        if matches { inode.parse().ok() } else { None }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn we_live_and_an_impostor_with_our_number_does_not() {
        let me = identify(std::process::id()).unwrap().unwrap();
        assert!(is_alive(&me).unwrap());
        for impostor in [Identity { start: me.start + 1, ..me.clone() }, Identity { boot: "another boot".into(), ..me }] {
            assert!(!is_alive(&impostor).unwrap());
            signal(&impostor, Signal::KILL).unwrap();
        }
    }

    #[test]
    fn a_zombie_is_dead() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while identify(child.id()).unwrap().is_some() {
            assert!(std::time::Instant::now() < deadline);
            std::thread::yield_now();
        }
        assert!(stat(child.id()).unwrap().is_some_and(|s| s.dead), "not yet waited for");
        child.wait().unwrap();
        assert!(stat(child.id()).unwrap().is_none());
    }

    #[test]
    fn names_who_listens() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let who = listener_of(listener.local_addr().unwrap()).unwrap();
        assert!(who.starts_with(&format!("pid {} (", std::process::id())), "{who}");
    }
}
