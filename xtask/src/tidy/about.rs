//! A rule about a file that is not there any more would find nothing for ever: what rules name, is there.

use super::{Finding, Repo, domain, graph, keepers, ledger, lints, purity, routes, wire};

pub fn something(repo: &Repo) -> Vec<Finding> {
    let packages: Vec<&str> = graph::ours(&repo.metadata).filter_map(|package| package["name"].as_str()).collect();
    let krates = graph::MAY_IMPORT.iter().map(|(krate, _)| (*krate).to_owned()).filter(|krate| !packages.contains(&krate.as_str()));
    let named = [keepers::about(), domain::about(), purity::about(), ledger::about(), routes::about(), lints::about(), wire::about()];
    let modules = named.into_iter().flatten().filter(|module| !repo.files.iter().any(|file| is_module(&file.path, module)));
    krates
        .chain(modules)
        .map(|gone| Finding::new("xtask/src/tidy", 0, format!("a rule is about `{gone}`, which is not there"), "let it name what is there now, or drop it"))
        .collect()
}

/// Whether a file belongs to a module or lies in a folder: `a/b` is `a/b.rs` and all below `a/b/`, `a/b/` is the latter alone.
pub fn is_module(path: &str, module: &str) -> bool {
    path.strip_prefix(module).is_some_and(|rest| module.ends_with('/') || rest.starts_with('/') || ["", ".rs"].contains(&rest))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::repo;
    use super::*;

    #[test]
    fn what_is_gone_is_told() {
        let told = |repo: &Repo| something(repo).iter().any(|finding| finding.what.contains("`crates/domain/src/link`"));
        assert!(told(&repo(&[("crates/domain/src/links.rs", "")])));
        assert!(!told(&repo(&[("crates/domain/src/link/need.rs", "")])));
    }

    #[test]
    fn a_module_is_its_file_and_its_folder() {
        for (path, module) in [("a/b.rs", "a/b"), ("a/b/c.rs", "a/b"), ("a/b/c.rs", "a/b/"), ("a/b.txt", "a/b.txt")] {
            assert!(is_module(path, module), "{path} {module}");
        }
        for (path, module) in [("a/bc.rs", "a/b"), ("a/b.rs", "a/b/"), ("a/b.rs", "a/c")] {
            assert!(!is_module(path, module), "{path} {module}");
        }
    }
}
