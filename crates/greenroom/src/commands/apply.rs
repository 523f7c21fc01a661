//! Manifests: read, shown as a plan, applied whole or not at all.

use std::path::{Path, PathBuf};

use greenroom_api::client::call;
use greenroom_api::requests::{ApplyManifests, File};
use greenroom_api::views::{ChangeAction, ManifestChange, ManifestPlan};
use greenroom_domain::id::Name;
use serde_json::Value;
use similar::{ChangeTag, TextDiff};

use crate::context::Context;
use crate::error::Failure;
use crate::output::{self, Page, Paint};
use crate::prompt;
use crate::show::list;

#[derive(Debug, clap::Args)]
#[command(after_help = "In a directory, files without `apiVersion` and release plans are left out, and named.")]
pub struct Apply {
    /// File, or directory whose *.yaml are read, with those below it
    #[arg(long = "file", short, value_name = "PATH", required = true)]
    files: Vec<PathBuf>,
    /// Name of this set of manifests [default: the directory's]
    #[arg(long, value_name = "NAME")]
    set: Option<Name>,
    /// Remove what the set held before and these files do not; without a terminal that needs --yes
    #[arg(long)]
    prune: bool,
}

impl Apply {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let set = match &self.set {
            Some(set) => set.clone(),
            None => name_of(&self.files)?,
        };
        let documents = collect(&self.files, self.prune)?;
        let call = call::apply_manifests(&set, &ApplyManifests { documents, prune: self.prune });
        let global = &context.global;
        let may_ask = prompt::may_ask(global);
        // the plan is seen before it is carried out, and what it removes is not removed unasked
        if global.dry_run || (!global.yes && (may_ask || self.prune)) {
            let planned = context.client.send(&call.clone().dry_run()).await?;
            if global.dry_run || may_ask {
                context.present(&planned, |page, p| plan(page, p, true, global.dry_run));
                if global.dry_run || planned.changes.iter().all(|c| c.action == ChangeAction::Unchanged) {
                    return Ok(());
                }
            }
            let loses = removes(&planned);
            if may_ask || loses.is_some() {
                prompt::confirm(&loses.unwrap_or_default(), "apply?", global)?;
            }
            if may_ask {
                let applied = context.client.send(&call).await?;
                context.present(&applied, |page, p| page.line(Paint::Plain, format!("applied to set {}: {}", p.set, counts(p))));
                return Ok(());
            }
        }
        let applied = context.client.send(&call).await?;
        context.present(&applied, |page, p| plan(page, p, false, false));
        Ok(())
    }
}

/// What is taken away, in words; all of it is said as such: an empty file is easily given by mistake.
fn removes(plan: &ManifestPlan) -> Option<String> {
    const SHOWN: usize = 5;
    let removed: Vec<String> = plan.changes.iter().filter(|c| c.action == ChangeAction::Remove).map(|c| format!("{}/{}", c.kind, c.name)).collect();
    let all = removed.len() == plan.changes.len();
    let more = removed.len().saturating_sub(SHOWN);
    let named = format!("{}{}", list(removed.iter().take(SHOWN)), if more > 0 { format!(" and {more} more") } else { String::new() });
    let everything = if all { format!("everything that set {} holds: ", plan.set) } else { String::new() };
    (!removed.is_empty()).then(|| format!("it removes {everything}{named}"))
}

/// Every manifest below `paths`, sorted; what stands in a directory but is none is left out. There must be one, unless
/// having none means something: to `prune` with nothing removes the whole set.
fn collect(paths: &[PathBuf], prune: bool) -> Result<Vec<File>, Failure> {
    let mut documents = Vec::new();
    let mut others: Vec<String> = Vec::new();
    for path in paths {
        if !path.is_dir() {
            let text = read(path)?;
            if empty(&text) {
                output::note(&format!("{} is empty: it holds no manifest", path.display()));
            }
            documents.push(File { file: path.display().to_string(), text });
            continue;
        }
        let mut found = Vec::new();
        walk(path, &mut found)?;
        found.sort();
        for file in found {
            let text = read(&file)?;
            let starts = |word: &str| text.lines().any(|l| l.starts_with(word));
            let kinds: Vec<&str> = text.lines().filter_map(|l| l.strip_prefix("kind:")).map(str::trim).collect();
            if !starts("apiVersion:") {
                others.push(file.display().to_string());
            } else if !kinds.is_empty() && kinds.iter().all(|k| *k == "Release") {
                output::note(&format!("left out {0}: a release is planned with `greenroom release plan -f {0}`", file.display()));
            } else {
                documents.push(File { file: file.display().to_string(), text });
            }
        }
    }
    match others.as_slice() {
        [] => {}
        [one] => output::note(&format!("left out {one}: no manifest, it has no apiVersion")),
        [first, rest @ ..] => output::note(&format!("left out {first} and {} more: no manifests, they have no apiVersion", rest.len())),
    }
    if documents.is_empty() || (!prune && documents.iter().all(|d| empty(&d.text))) {
        return Err(Failure::usage("there are no manifests").hint("they are files *.yaml that begin with `apiVersion: greenroom/v1`"));
    }
    Ok(documents)
}

/// Nothing but blanks and comments.
fn empty(text: &str) -> bool {
    text.lines().map(str::trim).all(|line| line.is_empty() || line.starts_with('#') || line == "---")
}

fn walk(dir: &Path, found: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let entries = std::fs::read_dir(dir).map_err(|e| Failure::file("read", dir, &e))?;
    for entry in entries {
        let entry = entry.map_err(|e| Failure::file("read", dir, &e))?;
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        // links to directories are not followed: they may lead round in circles
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            walk(&path, found)?;
        } else if path.extension().is_some_and(|e| e == "yaml" || e == "yml") {
            found.push(path);
        }
    }
    Ok(())
}

/// A text file.
pub fn read(path: &Path) -> Result<String, Failure> {
    let bytes = std::fs::read(path).map_err(|e| Failure::file("read", path, &e))?;
    String::from_utf8(bytes).map_err(|e| {
        let line = e.as_bytes().iter().take(e.utf8_error().valid_up_to()).filter(|b| **b == b'\n').count() + 1;
        Failure::usage(format!("`{}` is not UTF-8 text, from line {line} on", path.display())).hint("save it as UTF-8")
    })
}

fn name_of(paths: &[PathBuf]) -> Result<Name, Failure> {
    let directory = |path: &PathBuf| -> Option<String> {
        let whole = std::fs::canonicalize(path).ok()?;
        let dir = if whole.is_dir() { whole.as_path() } else { whole.parent()? };
        dir.file_name().map(|n| n.to_string_lossy().into_owned())
    };
    let mut names: Vec<String> = paths.iter().filter_map(directory).collect();
    names.dedup();
    match names.as_slice() {
        [one] => one.parse().map_err(|e| Failure::usage(format!("the directory's name does not do as name of a set: {e}")).hint("name the set with --set")),
        [] => match paths.first() {
            Some(path) => Err(Failure::file("read", path, &std::io::ErrorKind::NotFound.into())),
            None => Err(Failure::usage("there are no manifests")),
        },
        _ => Err(Failure::usage("the files come from several directories").hint("name the set with --set")),
    }
}

fn counts(plan: &ManifestPlan) -> String {
    let count = |action| plan.changes.iter().filter(|c| c.action == action).count();
    let words = [(ChangeAction::Create, "created"), (ChangeAction::Change, "changed"), (ChangeAction::Remove, "removed"), (ChangeAction::Unchanged, "unchanged")];
    words.into_iter().map(|(action, word)| format!("{} {word}", count(action))).collect::<Vec<_>>().join(", ")
}

/// What changes, as a diff of each document. `whole`: also what is new and what goes.
fn plan(page: &mut Page, plan: &ManifestPlan, planned: bool, whole: bool) {
    changes(page, &plan.changes, whole);
    if planned && let Some(loses) = removes(plan) {
        page.line(Paint::Bad, format!("note: {loses}"));
    }
    plan.notes.iter().for_each(|note| page.line(Paint::Warn, format!("note: {note}")));
    let done = if planned { "plan for set" } else { "applied to set" };
    page.line(Paint::Plain, format!("{done} {}: {}", plan.set, counts(plan)));
}

pub fn changes(page: &mut Page, changes: &[ManifestChange], whole: bool) {
    for change in changes {
        let (sign, paint) = match change.action {
            ChangeAction::Create => ("+", Paint::Good),
            ChangeAction::Change => ("~", Paint::Warn),
            ChangeAction::Remove => ("-", Paint::Bad),
            ChangeAction::Unchanged => continue,
        };
        page.pieces(&[(paint, sign), (Paint::Plain, " "), (Paint::Strong, &format!("{}/{}", change.kind, change.name))]);
        if whole || change.action == ChangeAction::Change {
            diff(page, change);
        }
    }
}

fn diff(page: &mut Page, change: &ManifestChange) {
    let text = |value: &Option<Value>| value.as_ref().map(|v| serde_saphyr::to_string(v).unwrap_or_default()).unwrap_or_default();
    let (before, after) = (text(&change.before), text(&change.after));
    let diff = TextDiff::from_lines(&before, &after);
    for (i, group) in diff.grouped_ops(2).iter().enumerate() {
        if i > 0 {
            page.line(Paint::Dim, "    …");
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let (sign, paint) = match change.tag() {
                ChangeTag::Delete => ("-", Paint::Bad),
                ChangeTag::Insert => ("+", Paint::Good),
                ChangeTag::Equal => (" ", Paint::Dim),
            };
            page.line(paint, format!("  {sign} {}", change.value().trim_end_matches('\n')));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_read_sorted_and_only_manifests() {
        let dir = std::env::temp_dir().join(format!("greenroom-apply-{}", std::process::id()));
        let put = |name: &str, text: &str| {
            let path = dir.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        put("b.yaml", "apiVersion: greenroom/v1\nkind: Service\n");
        put("a/z.yml", "apiVersion: greenroom/v1\nkind: Service\n");
        put("releases/r.yaml", "apiVersion: greenroom/v1\nkind: Release\n");
        put("build.yaml", "service: x\n");
        put(".hidden.yaml", "apiVersion: greenroom/v1\n");
        put("c.txt", "apiVersion: greenroom/v1\n");
        let found: Vec<String> = collect(std::slice::from_ref(&dir), false).unwrap().into_iter().map(|f| f.file.rsplit('/').next().unwrap().to_owned()).collect();
        let set = name_of(std::slice::from_ref(&dir)).map(|n| n.to_string()).unwrap();
        std::fs::remove_dir_all(&dir).unwrap();
        assert_eq!(found, ["z.yml", "b.yaml"]);
        assert!(set.starts_with("greenroom-apply-"));
    }

    #[test]
    fn what_goes_is_named_and_all_of_it_is_called_everything() {
        let change = |name: &str, action| ManifestChange { kind: "service".to_owned(), name: name.to_owned(), action, before: None, after: None };
        let mut plan = ManifestPlan { set: "shop".parse().unwrap(), changes: vec![change("a", ChangeAction::Unchanged)], applied: false, notes: Vec::new() };
        assert_eq!(removes(&plan), None);
        plan.changes.push(change("b", ChangeAction::Remove));
        assert_eq!(removes(&plan).unwrap(), "it removes service/b");
        plan.changes = (1..=7).map(|n| change(&n.to_string(), ChangeAction::Remove)).collect();
        assert_eq!(removes(&plan).unwrap(), "it removes everything that set shop holds: service/1, service/2, service/3, service/4, service/5 and 2 more");
        assert!(empty("# nothing\n---\n\n") && !empty("kind: Service\n"));
    }
}
