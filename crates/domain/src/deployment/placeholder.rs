//! Placeholders of recipes and checks: which words they may name, and where in a text they stand.
//!
//! Drivers fill them in; what no driver could ever fill in is said when the manifest is applied.

/// Opens the name of a service whose stable address is meant.
pub const ENDPOINT: &str = "endpoint:";
/// Beside the service's components, in `run` and `env` of a process recipe.
pub const PROCESS: &[&str] = &["listen", "environment", "version", "control"];
/// In `apply` and `observe` of a command recipe.
pub const COMMAND: &[&str] = &["environment", "target", "service", "address", "version", "digest", "control", "op"];
/// In the path of an HTTP check.
pub const HTTP_CHECK: &[&str] = &["environment", "version", "control", "op"];
/// In the program of a check.
pub const COMMAND_CHECK: &[&str] = &["environment", "version", "control", "op", "work"];

/// The names in `text`, in order. `{{` and `}}` stand for the braces themselves.
///
/// # Errors
/// A `{` without its `}`.
pub fn names(text: &str) -> Result<Vec<&str>, Open> {
    let mut names = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let (_, from) = rest.split_at(at);
        if let Some(after) = from.strip_prefix("{{").or_else(|| from.strip_prefix("}}")).or_else(|| from.strip_prefix('}')) {
            rest = after;
        } else {
            let (name, after) = from.strip_prefix('{').and_then(|inner| inner.split_once('}')).ok_or(Open)?;
            names.push(name);
            rest = after;
        }
    }
    Ok(names)
}

/// A placeholder begins and does not end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Open;

#[cfg(test)]
mod tests {
    use super::{Open, names};

    #[test]
    fn finds_names_and_nothing_else() {
        for (text, found) in [
            ("plain", Ok(vec![])),
            ("--x={web}/y {listen}", Ok(vec!["web", "listen"])),
            ("http://{endpoint:tax}/", Ok(vec!["endpoint:tax"])),
            ("{{\"a\": {{\"b\": \"{web}\"}}}}", Ok(vec!["web"])),
            ("a } b", Ok(vec![])),
            ("ä{web}ü", Ok(vec!["web"])),
            ("a {web", Err(Open)),
        ] {
            assert_eq!(names(text), found, "{text}");
        }
    }
}
