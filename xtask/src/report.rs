//! Reports that are kept beside the documentation, named by day and commit.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::machine;
use crate::workspace::root;

/// Where and about which state of the sources a report is written.
pub struct Report {
    directory: &'static str,
    pub date: String,
    pub commit: String,
}

impl Report {
    /// `directory` is one below `docs`.
    pub fn new(directory: &'static str) -> Result<Self> {
        Ok(Self { directory, date: machine::today(), commit: machine::commit()? })
    }

    /// Writes it and gives its path within the checkout; a report is never overwritten.
    pub fn write(&self, text: &str) -> Result<PathBuf> {
        let directory = Path::new("docs").join(self.directory);
        fs::create_dir_all(root().join(&directory))?;
        let path = (1..).map(|number| directory.join(self.name(number))).find(|path| !root().join(path).exists()).context("no name is free")?;
        fs::write(root().join(&path), text).with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(path)
    }

    fn name(&self, number: u32) -> String {
        let again = if number > 1 { format!("-{number}") } else { String::new() };
        format!("{}-{}{again}.md", self.date, self.commit)
    }
}

/// What a program printed, as Markdown: tables and headings as they are, everything else as it stood in the terminal.
pub fn as_markdown(printed: &str) -> String {
    let text = without_colour(printed);
    let text = text.trim_end();
    if text.trim_start().starts_with(['|', '#']) { format!("{text}\n") } else { format!("```text\n{text}\n```\n") }
}

/// Drops the escape sequences by which terminals colour.
pub fn without_colour(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            // `ESC [ … letter`
            chars.by_ref().find(char::is_ascii_alphabetic);
        } else {
            plain.push(c);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_named_by_day_and_commit() {
        let report = Report { directory: "benchmarks", date: "2026-01-31".to_owned(), commit: "0123456789ab".to_owned() };
        assert_eq!(report.name(1), "2026-01-31-0123456789ab.md");
        assert_eq!(report.name(2), "2026-01-31-0123456789ab-2.md");
    }

    #[test]
    fn tables_stay_tables() {
        assert_eq!(as_markdown("| a | b |\n|---|---|\n"), "| a | b |\n|---|---|\n");
        assert_eq!(as_markdown("rate 5\n\n"), "```text\nrate 5\n```\n");
        assert_eq!(as_markdown("\u{1b}[1m\u{1b}[32mok\u{1b}[0m"), "```text\nok\n```\n");
    }
}
