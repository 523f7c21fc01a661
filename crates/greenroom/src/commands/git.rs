//! The commits of a build, as git tells them, and the work items their messages name.

use std::process::Command;

use greenroom_domain::deployment::build::Change;

use crate::error::Failure;

/// Looks like a work item, but is a standard.
const STANDARDS: [&str; 12] = ["UTF", "SHA", "ISO", "RFC", "MD", "AES", "RSA", "HTTP", "TLS", "CVE", "IPV", "BASE"];

/// Commits of `range`, newest first. Which components they touched is left open.
pub fn changes(range: &str) -> Result<Vec<Change>, Failure> {
    if range.starts_with('-') {
        return Err(Failure::usage(format!("`{range}` is not a range of commits")));
    }
    let run = Command::new("git").args(["log", "--no-color", "--format=%H%x1f%s%x1f%b%x1e", range, "--"]).output();
    let output = run.map_err(|e| Failure::usage(format!("cannot run git: {e}")))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::usage(format!("git does not know `{range}`: {}", said.lines().next().unwrap_or("it said nothing")))
            .hint("run it where the sources are, with all of their history"));
    }
    Ok(read(&String::from_utf8_lossy(&output.stdout)))
}

fn read(log: &str) -> Vec<Change> {
    let one = |record: &str| {
        let mut parts = record.trim_start_matches('\n').split('\u{1f}');
        let commit = parts.next().filter(|c| !c.is_empty())?.to_owned();
        let summary = parts.next().unwrap_or_default().to_owned();
        let work_items = work_items(&format!("{summary}\n{}", parts.next().unwrap_or_default()));
        Some(Change { commit, summary, components: Vec::new(), work_items })
    };
    log.split('\u{1e}').filter_map(one).collect()
}

/// `ABC-123` and `#12`, each once, in order.
fn work_items(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for word in text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '#' && c != '_') {
        let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        let project = |s: &str| s.len() >= 2 && s.starts_with(|c: char| c.is_ascii_uppercase()) && s.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
        let item = match word.strip_prefix('#') {
            Some(number) => digits(number),
            None => word.split_once('-').is_some_and(|(key, number)| project(key) && digits(number) && !STANDARDS.contains(&key)),
        };
        if item && !found.iter().any(|f| f == word) {
            found.push(word.to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_items_are_found_and_standards_are_not() {
        assert_eq!(work_items("SHOP-101: faster (#12, SHOP-101)\n\nfixes AB2-7; UTF-8, pre-2024, x-1, #a, SHA-256, re #12."), ["SHOP-101", "#12", "AB2-7"]);
    }

    #[test]
    fn the_log_is_read_whatever_messages_hold() {
        let log = "aa\u{1f}first | x\u{1f}body\nSHOP-1\n\u{1e}\nbb\u{1f}second\u{1f}\u{1e}\n";
        let changes = read(log);
        assert_eq!(
            changes.iter().map(|c| (c.commit.as_str(), c.summary.as_str(), c.work_items.join(","))).collect::<Vec<_>>(),
            [("aa", "first | x", "SHOP-1".to_owned()), ("bb", "second", String::new())]
        );
    }
}
