//! Manifests as text: YAML documents, read strictly, every error shown where it stands.
//!
//! Knows no state: whether a name exists is the domain's to say, and [`locate`] finds the place of what it says.

mod excerpt;
mod tree;

use std::collections::BTreeMap;
use std::sync::Arc;

use greenroom_domain::command::Manifest;
use greenroom_domain::deployment::environment::EnvironmentSpec;
use greenroom_domain::deployment::policy::PolicySpec;
use greenroom_domain::deployment::service::ServiceSpec;
use greenroom_domain::id::{AttributeName, FeatureKey, Name};
use greenroom_domain::refusal::{Reason, ReasonCode};
use greenroom_domain::release::attribute::AttributeSpec;
use greenroom_domain::release::cohort::CohortSpec;
use greenroom_domain::release::feature::FeatureSpec;
use greenroom_domain::release::plan::ReleaseSpec;
use schemars::SchemaGenerator;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use serde_saphyr::{Error as YamlError, MessageFormatter as _, UserMessageFormatter};

use crate::problem::{Code, Problem};
use crate::requests::File;
use excerpt::meant;
use tree::{Mark, Node};

/// The one version of the manifest language there is.
pub const API_VERSION: &str = "greenroom/v1";

const KINDS: [&str; 6] = ["Environment", "Service", "Policy", "Feature", "Cohort", "Attribute"];

/// One manifest and the text it came from.
#[derive(Debug, Clone)]
pub struct Parsed {
    pub file: String,
    /// Which document of the file, from 1.
    pub document: usize,
    /// Line of the file on which `text` begins, from 1.
    pub line: usize,
    /// The document alone.
    pub text: Arc<str>,
    pub manifest: Manifest,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document<S, N> {
    #[serde(rename = "apiVersion")]
    _api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
    metadata: Metadata<N>,
    spec: S,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Metadata<N> {
    name: N,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

/// One document of a file, not yet read.
struct Source<'a> {
    file: &'a str,
    document: usize,
    line: usize,
    text: &'a str,
}

/// What is wrong with one document.
struct Fault {
    place: String,
    reason: Reason,
    excerpt: String,
}

/// Reads every document of `files`. The problem shows every bad document, not only the first.
pub fn parse(files: &[File]) -> Result<Vec<Parsed>, Box<Problem>> {
    let mut parsed = Vec::new();
    let mut faults = Vec::new();
    for file in files {
        for source in documents(&file.file, &file.text) {
            match read(&source) {
                Ok(Some(manifest)) => parsed.push(Parsed { file: file.file.clone(), document: source.document, line: source.line, text: source.text.into(), manifest }),
                Ok(None) => {}
                Err(fault) => faults.push(*fault),
            }
        }
    }
    if faults.is_empty() { Ok(parsed) } else { Err(problem(faults)) }
}

/// Reads a release plan: one document of `kind: Release`.
pub fn parse_release(file: &str, text: &str) -> Result<(Name, ReleaseSpec), Box<Problem>> {
    let mut found = None;
    for source in documents(file, text) {
        let release = read_release(&source).map_err(|fault| problem(vec![*fault]))?;
        let Some((name, spec)) = release else { continue };
        if found.replace((name, spec)).is_some() {
            let at = Mark { line: 1, column: 1, width: 3 };
            return Err(problem(vec![source.fault(at, ReasonCode::Invalid, file, "a second release in one file", "plan each release from a file of its own", None)]));
        }
    }
    found.ok_or_else(|| Box::new(Problem::new(Code::Invalid, format!("`{file}` holds no release")).detail(file.to_owned())))
}

/// Where something stands, for people: line and column from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub file: String,
    pub line: usize,
    pub column: usize,
    pub excerpt: String,
}

/// Place of what the domain said about a manifest.
#[must_use]
pub fn locate(parsed: &[Parsed], reason: &Reason) -> Option<Place> {
    let found = parsed.iter().rfind(|p| p.manifest.subject() == reason.subject)?;
    placed(&Source { file: &found.file, document: found.document, line: found.line, text: &found.text }, reason)
}

/// Reads YAML that is part of a request and no manifest, as the rules of a baseline or a build; what cannot be read is shown
/// at its place, as in a manifest.
///
/// # Errors
/// `invalid`, with every place.
pub fn parse_part<T: DeserializeOwned>(file: &str, text: &str) -> Result<T, Box<Problem>> {
    let source = Source { file, document: 1, line: 1, text };
    let root =
        source.tree().and_then(|root| root.ok_or_else(|| Box::new(source.fault(Mark { line: 1, column: 1, width: 1 }, ReasonCode::Invalid, file, "the file is empty", "", None))));
    root.and_then(|root| source.value(&root, file)).map_err(|fault| problem(vec![*fault]))
}

/// Place of what the domain said about `part` of a request, which `text` is.
#[must_use]
pub fn locate_part(file: &str, text: &str, part: &str, reason: &Reason) -> Option<Place> {
    let path = reason.path.as_deref()?.strip_prefix(part)?.to_owned();
    placed(&Source { file, document: 1, line: 1, text }, &Reason { path: Some(path), ..reason.clone() })
}

/// Place of what the domain said about a release plan.
#[must_use]
pub fn locate_release(file: &str, text: &str, reason: &Reason) -> Option<Place> {
    let sources = documents(file, text);
    // `parse_release` has made sure that there is one
    let source = sources.iter().find(|source| matches!(source.open(), Ok(Some((_, kind))) if kind == "Release"))?;
    reason.subject.starts_with("release/").then(|| placed(source, reason))?
}

fn placed(source: &Source<'_>, reason: &Reason) -> Option<Place> {
    let root = tree::read(source.text).ok()??;
    let mark = root.find(reason.path.as_deref().unwrap_or("metadata.name"));
    let excerpt = excerpt::render(source.file, source.text, source.line, mark, &reason.message, &reason.remedy);
    Some(Place { file: source.file.to_owned(), line: mark.line + source.line - 1, column: mark.column, excerpt })
}

/// JSON Schema of the documents, for editors.
#[must_use]
pub fn schema() -> Value {
    let mut generator = SchemaGenerator::default();
    let document = |kind: &str, name: schemars::Schema, spec: schemars::Schema| {
        json!({
            "title": kind,
            "type": "object",
            "additionalProperties": false,
            "required": ["apiVersion", "kind", "metadata", "spec"],
            "properties": {
                "apiVersion": { "const": API_VERSION },
                "kind": { "const": kind },
                "metadata": {
                    "type": "object",
                    "additionalProperties": false,
                    "required": ["name"],
                    "properties": { "name": name, "title": { "type": "string" }, "labels": { "type": "object", "additionalProperties": { "type": "string" } } }
                },
                "spec": spec
            }
        })
    };
    let name = generator.subschema_for::<Name>();
    let key = generator.subschema_for::<FeatureKey>();
    let attribute = generator.subschema_for::<AttributeName>();
    let kinds = vec![
        document("Environment", name.clone(), generator.subschema_for::<EnvironmentSpec>()),
        document("Service", name.clone(), generator.subschema_for::<ServiceSpec>()),
        document("Policy", name.clone(), generator.subschema_for::<PolicySpec>()),
        document("Feature", key, generator.subschema_for::<FeatureSpec>()),
        document("Cohort", name.clone(), generator.subschema_for::<CohortSpec>()),
        document("Attribute", attribute, generator.subschema_for::<AttributeSpec>()),
        document("Release", name, generator.subschema_for::<ReleaseSpec>()),
    ];
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Greenroom manifest",
        "oneOf": kinds,
        "$defs": generator.take_definitions(true),
    })
}

/// Documents of a text. `---` at the start of a line always begins a new one, whatever stands before it, so a broken
/// document does not take the others with it.
fn documents<'a>(file: &'a str, text: &'a str) -> Vec<Source<'a>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut found: Vec<Source<'a>> = Vec::new();
    let mut push = |line: usize, text: &'a str| {
        let empty = text.lines().all(|l| l.trim().is_empty() || l.trim_start().starts_with('#') || l.starts_with('%') || l.trim_end() == "---");
        if !empty {
            let document = found.len() + 1;
            found.push(Source { file, document, line, text });
        }
    };
    let (mut start, mut first, mut offset) = (0, 1, 0);
    for (i, line) in text.split_inclusive('\n').enumerate() {
        let marker = |m: &str| line.strip_prefix(m).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']));
        let next = offset + line.len();
        if marker("---") {
            push(first, text.get(start..offset).unwrap_or_default());
            (start, first) = (offset, i + 1);
        } else if marker("...") {
            push(first, text.get(start..offset).unwrap_or_default());
            (start, first) = (next, i + 2);
        }
        offset = next;
    }
    push(first, text.get(start..).unwrap_or_default());
    found
}

fn read(source: &Source<'_>) -> Result<Option<Manifest>, Box<Fault>> {
    let Some((root, kind)) = source.open()? else { return Ok(None) };
    let manifest = match kind.as_str() {
        "Environment" => source.typed::<EnvironmentSpec, Name>(&root, &kind).map(|d| Manifest::Environment { name: d.metadata.name, title: d.metadata.title, spec: d.spec }),
        "Service" => source.typed::<ServiceSpec, Name>(&root, &kind).map(|d| Manifest::Service { name: d.metadata.name, title: d.metadata.title, spec: d.spec }),
        "Policy" => source.typed::<PolicySpec, Name>(&root, &kind).map(|d| Manifest::Policy { name: d.metadata.name, title: d.metadata.title, spec: d.spec }),
        "Feature" => source.typed::<FeatureSpec, FeatureKey>(&root, &kind).map(|d| Manifest::Feature { key: d.metadata.name, title: d.metadata.title, spec: d.spec }),
        "Cohort" => source.typed::<CohortSpec, Name>(&root, &kind).map(|d| Manifest::Cohort { name: d.metadata.name, title: d.metadata.title, spec: d.spec }),
        "Attribute" => source.typed::<AttributeSpec, AttributeName>(&root, &kind).map(|d| Manifest::Attribute { name: d.metadata.name, title: d.metadata.title, spec: d.spec }),
        "Release" => Err(source.wrong_kind(&root, "a release is planned, not applied", "use `greenroom release plan -f FILE`")),
        "Calendar" => Err(source.wrong_kind(&root, "manifests of kind `Calendar` are not supported yet", "remove it from this set")),
        "Hold" => Err(source.wrong_kind(&root, "manifests of kind `Hold` are not supported yet", "use `greenroom hold set`")),
        other => {
            let remedy = meant(other, KINDS).map_or_else(|| format!("known kinds: {}", KINDS.join(", ")), |k| format!("did you mean `{k}`?"));
            Err(source.wrong_kind(&root, &format!("unknown kind `{other}`"), &remedy))
        }
    };
    manifest.map(Some)
}

fn read_release(source: &Source<'_>) -> Result<Option<(Name, ReleaseSpec)>, Box<Fault>> {
    let Some((root, kind)) = source.open()? else { return Ok(None) };
    if kind != "Release" {
        return Err(source.wrong_kind(&root, &format!("`{kind}` is not a release"), "apply it with `greenroom apply -f FILE`"));
    }
    let document = source.typed::<ReleaseSpec, Name>(&root, &kind)?;
    let mut spec = document.spec;
    spec.title = spec.title.or(document.metadata.title);
    for (key, value) in document.metadata.labels {
        spec.labels.entry(key).or_insert(value);
    }
    Ok(Some((document.metadata.name, spec)))
}

impl Source<'_> {
    /// The tree and the kind, once the document says that it is ours.
    fn open(&self) -> Result<Option<(Node, String)>, Box<Fault>> {
        let Some(root) = self.tree()? else { return Ok(None) };
        let say = |mark, path: &str, message: &str, remedy: &str| Box::new(self.fault(mark, ReasonCode::Invalid, self.file, message, remedy, Some(path.to_owned())));
        let Some((_, version)) = root.get("apiVersion") else {
            let near = if let tree::Kind::Map(entries) = &root.kind {
                entries.iter().find_map(|(k, _)| k.text().filter(|t| meant(t, ["apiVersion"]).is_some()).map(|_| k.mark))
            } else {
                None
            };
            return Err(say(near.unwrap_or(root.mark), "apiVersion", "field `apiVersion` is missing", "begin every document with `apiVersion: greenroom/v1`"));
        };
        if version.text() != Some(API_VERSION) {
            return Err(say(version.mark, "apiVersion", &format!("unknown apiVersion `{}`", version.text().unwrap_or("?")), "this version of Greenroom reads `greenroom/v1`"));
        }
        match root.get("kind").map(|(_, v)| (v.mark, v.text().map(str::to_owned))) {
            Some((_, Some(kind))) => Ok(Some((root, kind))),
            Some((mark, None)) => Err(say(mark, "kind", "`kind` must be a text", &format!("known kinds: {}", KINDS.join(", ")))),
            None => Err(say(root.mark, "kind", "field `kind` is missing", &format!("known kinds: {}", KINDS.join(", ")))),
        }
    }

    fn tree(&self) -> Result<Option<Node>, Box<Fault>> {
        let broken = |b: tree::Broken| {
            let tab =
                b.message.contains('\t') || self.text.lines().nth(b.mark.line.saturating_sub(1)).is_some_and(|l| l.chars().take_while(|c| c.is_whitespace()).any(|c| c == '\t'));
            Box::new(self.fault(b.mark, ReasonCode::Invalid, self.file, &lower(&b.message), if tab { "indent with spaces; YAML allows no tabs there" } else { "" }, None))
        };
        tree::read(self.text).map_err(broken)
    }

    fn typed<S: DeserializeOwned, N: DeserializeOwned>(&self, root: &Node, kind: &str) -> Result<Document<S, N>, Box<Fault>> {
        let name = root.get("metadata").and_then(|(_, m)| m.get("name")).and_then(|(_, n)| n.text());
        self.value(root, &name.map_or_else(|| self.file.to_owned(), |n| format!("{}/{n}", kind.to_lowercase())))
    }

    fn value<T: DeserializeOwned>(&self, root: &Node, subject: &str) -> Result<T, Box<Fault>> {
        let options = serde_saphyr::options! { with_snippet: false, strict_booleans: true, alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 20_000 } };
        serde_saphyr::from_str_with_options(self.text, options).map_err(|error| Box::new(self.explain(root, subject, &error)))
    }

    /// What serde found, where it stands, and what was probably meant.
    fn explain(&self, root: &Node, subject: &str, error: &YamlError) -> Fault {
        let mut inner = error.without_snippet();
        while let YamlError::AliasError { error, .. } = inner {
            inner = error;
        }
        let place = error.location().map(|l| (usize::try_from(l.line()).unwrap_or(1), usize::try_from(l.column()).unwrap_or(1))).filter(|(line, _)| *line > 0);
        let found = place.and_then(|(line, column)| root.at(line, column));
        let (mut path, mut mark, within) = match (found, place) {
            (Some(f), _) => (f.path, f.mark, f.within),
            (None, Some((line, column))) => (String::new(), Mark { line, column, width: 1 }, None),
            (None, None) => ("spec".to_owned(), root.find("spec"), None),
        };
        let (message, remedy) = match inner {
            YamlError::SerdeUnknownField { field, expected, .. } => (format!("unknown field `{field}`"), known(field, expected, "field")),
            YamlError::SerdeUnknownVariant { variant, expected, .. } => (format!("unknown value `{variant}`"), known(variant, expected, "value")),
            YamlError::SerdeMissingField { field, .. } => {
                // reported at the last key of the map that lacks it, or at the key of a map that holds nothing
                if let Some(map) = within.filter(|map| !root.has(map, field)) {
                    mark = root.find(&map);
                    path = map;
                }
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(field);
                (format!("field `{field}` is missing"), String::new())
            }
            YamlError::DuplicateMappingKey { key, .. } => (format!("key `{}` stands here twice", key.as_deref().unwrap_or("?")), "keep one".to_owned()),
            YamlError::SerdeInvalidType { unexpected, expected, .. } | YamlError::SerdeInvalidValue { unexpected, expected, .. } => {
                (format!("expected {expected}, found {unexpected}"), String::new())
            }
            YamlError::AliasReplayLimitExceeded { .. }
            | YamlError::AliasExpansionLimitExceeded { .. }
            | YamlError::AliasReplayStackDepthExceeded { .. }
            | YamlError::Budget { .. } => (lower(&UserMessageFormatter.format_message(inner)), "manifests are small: write out what the aliases stand for".to_owned()),
            other => {
                let text = plain(&lower(&UserMessageFormatter.format_message(other)));
                match text.split_once(": use ") {
                    Some((what, how)) => (what.to_owned(), format!("use {how}")),
                    None => (text, String::new()),
                }
            }
        };
        self.fault(mark, ReasonCode::Invalid, subject, &message, &remedy, (!path.is_empty()).then_some(path))
    }

    fn wrong_kind(&self, root: &Node, message: &str, remedy: &str) -> Box<Fault> {
        Box::new(self.fault(root.find("kind"), ReasonCode::Invalid, self.file, message, remedy, Some("kind".to_owned())))
    }

    fn fault(&self, mark: Mark, code: ReasonCode, subject: &str, message: &str, remedy: &str, path: Option<String>) -> Fault {
        let mut reason = Reason::new(code, subject, message).remedy(remedy);
        reason.path = path;
        Fault {
            place: format!("{}:{}:{}", self.file, mark.line + self.line - 1, mark.column),
            excerpt: excerpt::render(self.file, self.text, self.line, mark, message, remedy),
            reason,
        }
    }
}

fn known(word: &str, expected: &[&'static str], what: &str) -> String {
    match (meant(word, expected.iter().copied()), expected) {
        (Some(one), _) => format!("did you mean `{one}`?"),
        (None, []) => format!("no {what} is allowed here"),
        (None, list) => format!("known {what}s: {}", list.iter().map(|k| format!("`{k}`")).collect::<Vec<_>>().join(", ")),
    }
}

fn lower(message: &str) -> String {
    let mut chars = message.trim_end_matches('.').chars();
    let Some(first) = chars.next() else { return String::new() };
    // an abbreviation stays one
    let rest = chars.as_str();
    if rest.starts_with(|c: char| c.is_uppercase()) { format!("{first}{rest}") } else { format!("{}{rest}", first.to_lowercase()) }
}

/// A parser's words in those of whoever wrote the file.
fn plain(text: &str) -> String {
    const WORDS: [(&str, &str); 6] = [
        ("sequence start", "a list, as `[…]` or lines that begin with `- `"),
        ("empty mapping start", "fields, as `name: value`"),
        ("mapping start", "fields, as `name: value`"),
        ("string scalar", "text"),
        ("scalar", "a single value"),
        ("end of input", "nothing more"),
    ];
    let whole = ["u8", "u16", "u32", "u64", "usize"].iter().any(|kind| text.contains(&format!("invalid {kind}")));
    if whole {
        return "expected a whole number, not negative and not too large".to_owned();
    }
    if ["i8", "i16", "i32", "i64"].iter().any(|kind| text.contains(&format!("invalid {kind}"))) {
        return "expected a whole number".to_owned();
    }
    if text.contains("invalid socket address syntax") {
        return "expected an address and a port, as 127.0.0.1:7800".to_owned();
    }
    WORDS.iter().find_map(|(word, plain)| text.strip_suffix(word).map(|before| format!("{before}{plain}"))).unwrap_or_else(|| text.to_owned())
}

fn problem(faults: Vec<Fault>) -> Box<Problem> {
    let title = match faults.as_slice() {
        [one] => one.reason.message.clone(),
        many => format!("{} documents cannot be read", many.len()),
    };
    let detail = faults.iter().map(|f| f.place.as_str()).collect::<Vec<_>>().join(", ");
    let excerpt = faults.iter().map(|f| f.excerpt.as_str()).collect::<Vec<_>>().join("\n\n");
    let reasons = faults.into_iter().map(|f| f.reason).collect();
    Box::new(Problem { reasons, excerpt: Some(excerpt), ..Problem::new(Code::Invalid, title).detail(detail) })
}

#[cfg(test)]
mod tests;
