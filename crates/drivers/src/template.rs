//! Filling in the placeholders of recipes and checks: `{listen}`, `{COMPONENT}`, `{endpoint:SERVICE}` and so on. How they
//! are written is said in [`greenroom_domain::deployment::placeholder`]. What is not known here is an error, never empty text.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use greenroom_domain::deployment::placeholder::{ENDPOINT, Open, Piece, pieces};
use greenroom_domain::id::Name;

use crate::Recipe;

/// Why a text could not be expanded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("`{{{name}}}` in `{text}` is not a placeholder here; known are {known}; write `{{{{` for a brace")]
    Unknown { name: String, text: String, known: String },
    #[error("`{{endpoint:{service}}}` in `{text}` names a service without a stable address on this target; add it to the target's endpoints")]
    NoEndpoint { service: String, text: String },
    #[error("`{text}` has a `{{` without its `}}`; write `{{{{` for a brace")]
    Open { text: String },
    #[error("the program to run is empty")]
    NoProgram,
}

/// What placeholders stand for. Later words win over earlier ones, so components are set before the fixed words.
#[derive(Debug, Clone, Default)]
pub struct Words {
    words: BTreeMap<String, String>,
    endpoints: BTreeMap<Name, SocketAddr>,
}

impl Words {
    #[must_use]
    pub fn new(endpoints: BTreeMap<Name, SocketAddr>) -> Self {
        Self { words: BTreeMap::new(), endpoints }
    }

    /// `{word}` stands for `value`.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "what is shown is often made on the spot, like a path's display")]
    pub fn with(mut self, word: impl Into<String>, value: impl ToString) -> Self {
        self.words.insert(word.into(), value.to_string());
        self
    }

    /// `text` with everything filled in.
    pub fn expand(&self, text: &str) -> Result<String, TemplateError> {
        let mut out = String::with_capacity(text.len());
        for piece in pieces(text) {
            match piece.map_err(|Open| TemplateError::Open { text: short(text) })? {
                Piece::Plain(plain) => out.push_str(plain),
                Piece::Placeholder(name) => out.push_str(&self.value(name, text)?),
            }
        }
        Ok(out)
    }

    /// Every part of a command line, whose program must not be empty.
    pub fn expand_argv(&self, argv: &[String]) -> Result<Vec<String>, TemplateError> {
        let argv = argv.iter().map(|part| self.expand(part)).collect::<Result<Vec<_>, _>>()?;
        match argv.first() {
            Some(program) if !program.is_empty() => Ok(argv),
            _ => Err(TemplateError::NoProgram),
        }
    }

    fn value(&self, name: &str, text: &str) -> Result<String, TemplateError> {
        if let Some(service) = name.strip_prefix(ENDPOINT) {
            let found = self.endpoints.get(service).map(ToString::to_string);
            return found.ok_or_else(|| TemplateError::NoEndpoint { service: service.into(), text: short(text) });
        }
        self.words.get(name).cloned().ok_or_else(|| {
            let mut known: Vec<_> = self.words.keys().map(|w| format!("`{{{w}}}`")).collect();
            known.push("`{endpoint:SERVICE}`".into());
            TemplateError::Unknown { name: name.chars().take(60).collect(), text: short(text), known: known.join(", ") }
        })
    }
}

/// As much of a text as a message quotes.
fn short(text: &str) -> String {
    text.chars().take(120).collect()
}

/// Services whose stable address a recipe asks for.
pub(crate) fn endpoints_named(recipe: &Recipe) -> BTreeSet<String> {
    let texts: Vec<&String> = match recipe {
        Recipe::Process(r) => r.run.iter().chain(r.env.values()).collect(),
        Recipe::Command(r) => r.apply.iter().chain(r.observe.iter().flatten()).collect(),
    };
    let mut named = BTreeSet::new();
    for text in texts {
        for piece in pieces(text) {
            if let Ok(Piece::Placeholder(name)) = piece
                && let Some(service) = name.strip_prefix(ENDPOINT)
            {
                named.insert(service.to_owned());
            }
        }
    }
    named
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words() -> Words {
        let endpoints = BTreeMap::from([(Name::new("tax").unwrap(), "127.0.0.1:7811".parse().unwrap())]);
        Words::new(endpoints).with("listen", "127.0.0.1:9").with("web", "/a/web")
    }

    #[test]
    fn expands() {
        for (text, wanted) in [
            ("plain", "plain"),
            ("", ""),
            ("{listen}", "127.0.0.1:9"),
            ("--x={web}/y {listen}", "--x=/a/web/y 127.0.0.1:9"),
            ("http://{endpoint:tax}/", "http://127.0.0.1:7811/"),
            ("{{\"a\": {{\"b\": \"{web}\"}}}}", "{\"a\": {\"b\": \"/a/web\"}}"),
            ("a } b", "a } b"),
            ("ä{web}ü", "ä/a/webü"),
        ] {
            assert_eq!(words().expand(text).as_deref(), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn says_what_is_wrong_and_what_would_be_right() {
        let unknown = words().expand("run {nope}").unwrap_err().to_string();
        assert_eq!(unknown, "`{nope}` in `run {nope}` is not a placeholder here; known are `{listen}`, `{web}`, `{endpoint:SERVICE}`; write `{{` for a brace");
        assert!(matches!(words().expand("{endpoint:pay}"), Err(TemplateError::NoEndpoint { service, .. }) if service == "pay"));
        assert!(matches!(words().expand("a {web"), Err(TemplateError::Open { .. })));
        assert_eq!(words().expand_argv(&[]), Err(TemplateError::NoProgram));
        assert_eq!(words().expand_argv(&[String::new()]), Err(TemplateError::NoProgram));
    }
}
