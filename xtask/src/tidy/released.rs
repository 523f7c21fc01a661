//! Client libraries are tested as released: from their registry, at one version, with nothing put in between.

use serde_json::Value;

use super::{File, Finding, Repo};

pub fn as_released(repo: &Repo) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in repo.files.iter().filter(|file| file.path.starts_with("clients/")) {
        let odd = match file.path.rsplit('/').next() {
            Some("package.json") => npm(file),
            Some("requirements.txt") => pip(file),
            Some("Cargo.toml") => cargo(file),
            _ => Vec::new(),
        };
        let remedy = "name one released version and nothing else: what is changed here shows nothing of what others run";
        found.extend(odd.into_iter().map(|(line, what)| Finding::new(&file.path, line, format!("`{what}` is not a library as released"), remedy)));
    }
    found
}

fn npm(file: &File) -> Vec<(usize, String)> {
    let Ok(Value::Object(package)) = serde_json::from_str(&file.text) else { return vec![(0, "package.json".to_owned())] };
    let exact = |version: &Value| version.as_str().is_some_and(|version| version.starts_with(|c: char| c.is_ascii_digit()) && !version.contains([' ', 'x', '|', ':']));
    let mut odd = Vec::new();
    for (key, value) in &package {
        match (key.as_str(), value.as_object()) {
            ("dependencies" | "devDependencies" | "optionalDependencies", Some(libraries)) => {
                odd.extend(libraries.iter().filter(|(_, version)| !exact(version)).map(|(name, _)| (0, name.clone())));
            }
            // what may change a library once it is installed
            ("overrides" | "resolutions" | "scripts" | "bundleDependencies" | "workspaces", _) => odd.push((0, key.clone())),
            _ => {}
        }
    }
    odd
}

fn pip(file: &File) -> Vec<(usize, String)> {
    let lines = file.lines().map(|(number, line)| (number, line.split('#').next().unwrap_or_default().trim()));
    let exact = |line: &str| line.split_once("==").is_some_and(|(name, version)| !name.contains(['@', '/', ' ']) && !version.contains(['*', ',', '/', ' ']));
    lines.filter(|(_, line)| !line.is_empty() && !exact(line)).map(|(number, line)| (number, line.to_owned())).collect()
}

fn cargo(file: &File) -> Vec<(usize, String)> {
    let odd = |line: &str| line.starts_with("[patch") || line.starts_with("[replace") || line.contains("git = ") || line.contains("path = ");
    file.lines().filter(|(_, line)| odd(line)).map(|(number, line)| (number, line.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{places, repo};
    use super::*;

    #[test]
    fn libraries_come_as_released() {
        let repo = repo(&[
            ("clients/a/node/package.json", r#"{"private": true, "dependencies": {"x": "1.2.3", "@y/z": "1.0.0-rc.1"}}"#),
            ("clients/a/web/package.json", r#"{"scripts": {"postinstall": "patch-package"}, "dependencies": {"x": "file:../x", "y": "^1.2.3"}}"#),
            ("clients/a/python/requirements.txt", "# all\nurllib3==2.8.0\nx>=1\n\n-e ./x\ny @ https://x.test/y.zip\nz==1.*\n"),
            ("clients/a/rust/Cargo.toml", "[dependencies]\nx = { version = \"=1.0.0\" }\ny = { path = \"../y\" }\n[patch.crates-io]\n"),
            ("web/package.json", r#"{"scripts": {"build": "x"}}"#),
        ]);
        let mut found = places(&as_released(&repo));
        found.sort();
        let of = |lines: &[usize], file: &str| lines.iter().map(|line| format!("clients/a/{file}:{line}")).collect::<Vec<_>>();
        assert_eq!(found, [of(&[3, 5, 6, 7], "python/requirements.txt"), of(&[3, 4], "rust/Cargo.toml"), of(&[0, 0, 0], "web/package.json")].concat());
    }
}
