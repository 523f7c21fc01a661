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

/// A part of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// As it stands.
    Plain(&'a str),
    /// The name between `{` and `}`.
    Placeholder(&'a str),
}

/// The parts of `text`, in order. `{{` and `}}` stand for the braces themselves, a single `}` for itself; what follows a
/// `{` without its `}` is an error, and the last part.
pub fn pieces(text: &str) -> impl Iterator<Item = Result<Piece<'_>, Open>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let plain = |at: usize, skip: usize| Some((Ok(Piece::Plain(rest.get(..at)?)), rest.get(at + skip..)?));
        let (piece, after) = if rest.is_empty() {
            None
        } else if rest.starts_with("{{") || rest.starts_with("}}") {
            plain(1, 1)
        } else if let Some(inner) = rest.strip_prefix('{') {
            Some(inner.split_once('}').map_or((Err(Open), ""), |(name, after)| (Ok(Piece::Placeholder(name)), after)))
        } else {
            // a single `}` is plain text; the next brace is looked for behind it
            let start = usize::from(rest.starts_with('}'));
            plain(rest.get(start..)?.find(['{', '}']).map_or(rest.len(), |at| at + start), 0)
        }?;
        rest = after;
        Some(piece)
    })
}

/// The names in `text`, in order.
///
/// # Errors
/// A `{` without its `}`.
pub fn names(text: &str) -> Result<Vec<&str>, Open> {
    pieces(text)
        .filter_map(|piece| match piece {
            Ok(Piece::Plain(_)) => None,
            Ok(Piece::Placeholder(name)) => Some(Ok(name)),
            Err(open) => Some(Err(open)),
        })
        .collect()
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
