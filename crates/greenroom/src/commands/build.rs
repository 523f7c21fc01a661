//! Builds: registered, looked at, and cleared of what was not their fault.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use greenroom_api::client::call;
use greenroom_api::requests::ClearBuild;
use greenroom_api::{manifest, views};
use greenroom_domain::deployment::build::{Artifact, BuildSpec};
use greenroom_domain::few::{Few, FewSet};
use greenroom_domain::id::{BuildLabel, Digest, FeatureKey, Name, Requirement, Version};
use greenroom_domain::value::ValueType;
use sha2::{Digest as _, Sha256};

use super::apply::read;
use super::{git, some, word};
use crate::context::Context;
use crate::error::Failure;
use crate::output::{Page, Paint, ago, cell, instant};
use crate::show::list;

#[derive(Debug, clap::Subcommand)]
pub enum Build {
    /// Register a build; the same again changes nothing
    Register(Box<Register>),
    /// List builds, newest first
    List {
        /// Only of this service
        #[arg(long)]
        service: Option<Name>,
        /// How many
        #[arg(short, value_name = "N", default_value = "30", value_parser = some::<usize>)]
        n: usize,
    },
    /// Say that a quarantined build may be deployed again: what failed was not its fault
    Clear {
        /// SERVICE@VERSION
        build: BuildLabel,
        /// Why
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
    },
    /// Show one build
    Show {
        /// SERVICE@VERSION
        build: BuildLabel,
    },
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "A local artifact is named by its absolute path and its SHA-256. One that lies elsewhere says its digest:\n  --artifact server=oci://registry.example/shop@sha256:…"
)]
pub struct Register {
    /// Service it is a build of
    #[arg(required_unless_present = "file")]
    service: Option<Name>,
    /// Its version
    #[arg(required_unless_present = "file")]
    version: Option<Version>,
    /// Take the build from a file instead; digests that it does not say are computed
    #[arg(long, short, value_name = "FILE", conflicts_with_all = ["service", "version", "artifact", "commit", "requires", "reads", "changes_from", "line", "contains"])]
    file: Option<PathBuf>,
    /// The artifact of a component; one for each
    #[arg(long, value_name = "COMPONENT=PATH", value_parser = artifact)]
    artifact: Vec<(Name, String)>,
    /// Commit it was made from [default: the newest of --changes-from]
    #[arg(long, value_name = "COMMIT")]
    commit: Option<String>,
    /// What another service must be at least, wherever this runs, as SERVICE>=VERSION
    #[arg(long, value_name = "NEED")]
    requires: Vec<Requirement>,
    /// A feature that it reads, with its type unless that is boolean
    #[arg(long, value_name = "KEY[:TYPE]", value_parser = feature)]
    reads: Vec<(FeatureKey, ValueType)>,
    /// Commits that went into it, as a range for `git log`; work items are found in their messages
    #[arg(long, value_name = "GIT_RANGE")]
    changes_from: Option<String>,
    /// Line of versions it belongs to
    #[arg(long, default_value = "main")]
    line: Name,
    /// Version of another line that it contains
    #[arg(long, value_name = "VERSION")]
    contains: Vec<Version>,
}

fn artifact(text: &str) -> Result<(Name, String), String> {
    let (component, path) = text.split_once('=').ok_or("write it as COMPONENT=PATH")?;
    Ok((component.parse().map_err(|e| format!("{e}"))?, path.to_owned()))
}

/// Keys may hold colons: what follows the last one is a type only if there is such a type.
fn feature(text: &str) -> Result<(FeatureKey, ValueType), String> {
    let typed = text.rsplit_once(':').and_then(|(key, kind)| word::<ValueType>(kind).ok().map(|kind| (key, kind)));
    let (key, kind) = typed.unwrap_or((text, ValueType::Boolean));
    Ok((key.parse().map_err(|e| format!("{e}"))?, kind))
}

impl Build {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Register(register) => {
                let spec = register.spec()?;
                context.act(call::register_build(&spec), show).await
            }
            Self::List { service, n } => {
                context
                    .list(call::builds().maybe("service", service), Some(n), |page, items: &[views::Build]| {
                        let rows = items.iter().map(|b| {
                            let state = if b.quarantined.is_some() { cell("quarantined").paint(Paint::Bad) } else { cell("") };
                            let commit: String = b.spec.commit.as_deref().unwrap_or_default().chars().take(10).collect();
                            vec![
                                cell(b.spec.label()).paint(Paint::Strong),
                                cell(&b.spec.line),
                                cell(commit),
                                cell(list(b.spec.artifacts.keys())),
                                cell(b.spec.changes.len()),
                                cell(ago(b.registered)),
                                state,
                            ]
                        });
                        page.table(&["BUILD", "LINE", "COMMIT", "COMPONENTS", "CHANGES", "REGISTERED", ""], rows.collect(), "no builds");
                    })
                    .await
            }
            Self::Clear { build, note } => context.act(call::clear_build(&build.service, &build.version, &ClearBuild { note }), show).await,
            Self::Show { build } => context.show(call::build(&build.service, &build.version), show).await,
        }
    }
}

fn show(page: &mut Page, build: &views::Build) {
    let spec = &build.spec;
    page.line(Paint::Strong, spec.label().to_string());
    page.fields(&[
        ("digest", build.digest.to_string()),
        ("registered", format!("{} ({}), number {} of {}", instant(build.registered), ago(build.registered), build.sequence, spec.service)),
        ("quarantined", build.quarantined.clone().unwrap_or_default()),
        ("line", spec.line.to_string()),
        ("contains", list(&spec.contains)),
        ("commit", spec.commit.clone().unwrap_or_default()),
        ("requires", list(&spec.requires)),
        ("reads", list(spec.reads.iter().map(|(key, kind)| format!("{key} ({kind})")))),
        ("schema", list(spec.schema.iter().map(|(name, range)| format!("{name} {} to {}", range.min, range.max)))),
    ]);
    page.blank();
    let rows = spec.artifacts.iter().map(|(component, a)| vec![cell(component), cell(&a.uri), cell(a.digests.iter().map(Digest::to_string).collect::<Vec<_>>().join("\n"))]);
    page.table(&["COMPONENT", "ARTIFACT", "DIGESTS"], rows.collect(), "no artifacts");
    if !spec.changes.is_empty() {
        page.blank();
        let rows = spec.changes.iter().map(|c| vec![cell(c.commit.chars().take(10).collect::<String>()), cell(&c.summary), cell(list(&c.components)), cell(list(&c.work_items))]);
        page.table(&["CHANGE", "SUMMARY", "COMPONENTS", "FOR"], rows.collect(), "");
    }
}

impl Register {
    fn spec(self) -> Result<BuildSpec, Failure> {
        if let Some(path) = &self.file {
            return from_file(path);
        }
        let (Some(service), Some(version)) = (self.service, self.version) else { return Err(Failure::usage("name service and version")) };
        let mut artifacts = BTreeMap::new();
        for (component, place) in self.artifact {
            let made = if place.contains("://") { remote(&place)? } else { local(Path::new(&place))? };
            if artifacts.insert(component.clone(), made).is_some() {
                return Err(Failure::usage(format!("component `{component}` has two artifacts")));
            }
        }
        let changes = self.changes_from.map_or_else(|| Ok(Vec::new()), |range| git::changes(&range))?;
        Ok(BuildSpec {
            service,
            version,
            line: self.line,
            contains: self.contains,
            commit: self.commit.or_else(|| changes.first().map(|c| c.commit.clone())),
            artifacts: artifacts.into(),
            requires: self.requires,
            reads: self.reads.into_iter().collect(),
            schema: Few::default(),
            changes,
        })
    }
}

/// The file form of a build. Paths are relative to the file.
fn from_file(path: &Path) -> Result<BuildSpec, Failure> {
    let text = read(path)?;
    let mut spec: BuildSpec = manifest::parse_part(&path.display().to_string(), &text)?;
    let base = path.parent().unwrap_or_else(|| Path::new(""));
    for (component, artifact) in spec.artifacts.iter_mut() {
        let Some(file) = artifact.uri.strip_prefix("file:") else { continue };
        let found = local(&base.join(file.strip_prefix("//").unwrap_or(file)))?;
        if !artifact.digests.is_empty() && artifact.digests.is_disjoint(&found.digests) {
            return Err(Failure::usage(format!("component `{component}`: `{file}` is not what `{}` says it is", path.display()))
                .hint(format!("it has the digest {}", list(&found.digests))));
        }
        artifact.uri = found.uri;
        artifact.digests = artifact.digests.iter().chain(&found.digests).cloned().collect();
    }
    Ok(spec)
}

fn local(path: &Path) -> Result<Artifact, Failure> {
    let whole = std::fs::canonicalize(path).map_err(|e| Failure::file("read", path, &e))?;
    let mut file = std::fs::File::open(&whole).map_err(|e| Failure::file("read", path, &e))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer).map_err(|e| Failure::file("read", path, &e))? {
            0 => break,
            n => hash.update(buffer.get(..n).unwrap_or_default()),
        }
    }
    let digest = text_of(hash).parse().map_err(|e| Failure::usage(format!("{e}")))?;
    Ok(Artifact { uri: format!("file://{}", whole.display()), digests: FewSet::from_iter([digest]) })
}

fn remote(uri: &str) -> Result<Artifact, Failure> {
    let digest = uri.rsplit_once('@').and_then(|(_, digest)| digest.parse().ok());
    let digest = digest.ok_or_else(|| Failure::usage(format!("`{uri}` does not say its digest")).hint("end it with @sha256:…"))?;
    Ok(Artifact { uri: uri.to_owned(), digests: FewSet::from_iter([digest]) })
}

/// `sha256:…` of some bytes.
pub fn digest_of(bytes: &[u8]) -> String {
    text_of(Sha256::new_with_prefix(bytes))
}

fn text_of(hash: Sha256) -> String {
    hash.finalize().iter().fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_boolean_unless_they_say_otherwise() {
        let read = |text| feature(text).map(|(key, kind)| format!("{key} {kind}")).unwrap();
        assert_eq!([read("a"), read("a:integer"), read("team:a"), read("team:a:string")], ["a boolean", "a integer", "team:a boolean", "team:a string"]);
    }

    #[test]
    fn what_lies_elsewhere_says_its_digest() {
        let digest = format!("sha256:{}", "a".repeat(64));
        assert!(remote(&format!("oci://r/x@{digest}")).is_ok());
        assert!(remote("oci://r/x:latest").is_err());
        assert_eq!(digest_of(b""), "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
