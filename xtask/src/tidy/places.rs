//! Nothing of the machine it was written on stays in the project: no path of a checkout, no host of a package mirror.

use std::path::Path;

use super::{File, Finding, OURSELVES, Repo};
use crate::workspace::root;

/// Folders that are nobody's in particular: their names may stand in documentation.
const COMMON: &[&str] = &["/", "/app", "/build", "/builds", "/home", "/mnt", "/opt", "/root", "/src", "/srv", "/tmp", "/usr/src", "/var/tmp", "/workspace"];

/// First labels by which hosts of package indexes and mirrors are known.
const INDEX_LABELS: &[&str] = &["artifactory", "deb", "files", "index", "mirror", "mirrors", "nexus", "npm", "proxy", "pypi", "registry", "static"];

/// Ends of names that belong to nobody (RFC 2606 and 6761).
const NOBODY: &[&str] = &["example", "example.com", "example.org", "example.net", "invalid", "localhost", "test"];

pub fn this_machine(repo: &Repo) -> Vec<Finding> {
    let prefixes = prefixes(root(), std::env::var("HOME").ok().as_deref());
    let mut found = Vec::new();
    for file in repo.files.iter().filter(|file| !file.path.starts_with(OURSELVES)) {
        for (line, text) in file.lines() {
            let prefix = prefixes.iter().find(|prefix| names_path(text, prefix)).map(String::as_str);
            let home = ["/home/", "/Users/"]
                .into_iter()
                .find(|home| text.match_indices(home).any(|(at, _)| starts_path(text, at) && text[at + home.len()..].starts_with(|c: char| c.is_ascii_alphanumeric())));
            if let Some(path) = prefix.or(home) {
                found.push(Finding::new(&file.path, line, format!("a path below `{path}`"), "write it relative to the checkout, or take it from the environment"));
            }
        }
    }
    found
}

/// The checkout, what it lies in, and the home of whoever works here, unless these are anybody's.
fn prefixes(root: &Path, home: Option<&str>) -> Vec<String> {
    let candidates = [root.to_str(), root.parent().and_then(Path::to_str), home];
    candidates.into_iter().flatten().filter(|path| !COMMON.contains(path)).map(ToOwned::to_owned).collect()
}

fn names_path(text: &str, path: &str) -> bool {
    let ends = |at: usize| text[at..].chars().next().is_none_or(|c| !c.is_alphanumeric() && !"_-.".contains(c));
    text.match_indices(path).any(|(at, _)| starts_path(text, at) && ends(at + path.len()))
}

/// Whether an absolute path starts here, and not the tail of a relative one or of an address.
fn starts_path(text: &str, at: usize) -> bool {
    text[..at].chars().next_back().is_none_or(|c| !c.is_alphanumeric() && !"_-./~})>*".contains(c))
}

pub fn hosts(repo: &Repo) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in repo.files.iter().filter(|file| !file.path.starts_with(OURSELVES)) {
        found.extend(mirrors(file).into_iter().map(|(line, host)| {
            let remedy = match file.path.ends_with("package-lock.json") {
                true => "`npm config set omit-lockfile-registry-resolved true`, then lock again",
                false => "where packages come from is a matter of each machine's own settings",
            };
            Finding::new(&file.path, line, format!("the package host `{host}`"), remedy)
        }));
    }
    found
}

/// Hosts of package indexes in addresses, with their lines.
fn mirrors(file: &File) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (line, text) in file.lines() {
        for (at, _) in text.match_indices("://") {
            let address = &text[at + 3..];
            let host = address.split(|c: char| !c.is_ascii_alphanumeric() && !"-.".contains(c)).next().unwrap_or_default();
            let nobody = NOBODY.iter().any(|end| host.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')));
            let path = address[host.len()..].split(|c: char| c.is_whitespace() || "\"'`)>".contains(c)).next().unwrap_or_default();
            let index = host.contains('.') && host.split('.').next().is_some_and(|first| INDEX_LABELS.contains(&first));
            if !nobody && (index || path.contains("/artifactory/")) {
                found.push((line, host));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{places, repo};
    use super::*;

    #[test]
    fn only_what_is_somebodys_is_looked_for() {
        assert_eq!(prefixes(Path::new("/desk/main"), Some("/root")), ["/desk/main", "/desk"]);
        assert_eq!(prefixes(Path::new("/tmp/x"), Some("/home/ada")), ["/tmp/x", "/home/ada"]);
        assert_eq!(prefixes(Path::new("/app"), None), Vec::<String>::new());
    }

    #[test]
    fn a_path_is_found_where_it_starts() {
        assert!(names_path("cd /desk/main", "/desk"));
        assert!(names_path("\"/desk\"", "/desk"));
        for text in ["target/desk/x", "https://a.test/desk", "/desktop", "./desk", "/desk-2/x", "{root}/desk"] {
            assert!(!names_path(text, "/desk"), "{text}");
        }
    }

    #[test]
    fn homes_are_somebodys() {
        let repo = repo(&[("a.md", "see /home/ada/x\nsee /home/\nsee https://x.test/home/ada\n/Users/ada\n")]);
        assert_eq!(places(&this_machine(&repo)), ["a.md:1", "a.md:4"]);
    }

    #[test]
    fn package_hosts_are_found() {
        let repo = repo(&[(
            "a.toml",
            "a = \"https://index.packages.io/x\"\nb = \"https://registry.shop.example/x\"\nc = \"https://docs.packages.io\"\nd = \"http://house.net/artifactory/api/x\"\ne = \"sparse+https://mirror.house.net\"\nf = \"http://proxy:80\"\n",
        )]);
        assert_eq!(places(&hosts(&repo)), ["a.toml:1", "a.toml:4", "a.toml:5"]);
    }
}
