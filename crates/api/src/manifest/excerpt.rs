//! A marked piece of a manifest, as compilers show it: place, line before, line, caret, what and how to mend it.

use std::fmt::Write as _;

use super::tree::Mark;

const WIDTH: usize = 110;

/// `mark` counts lines within `text`, whose first line is line `first` of `file`.
pub(super) fn render(file: &str, text: &str, first: usize, mark: Mark, message: &str, remedy: &str) -> String {
    let number = mark.line + first - 1;
    let gutter = number.to_string().len();
    // columns left of a narrow window are cut off, so that the caret is always in sight
    let cut = (mark.column + mark.width.min(WIDTH / 2)).saturating_sub(WIDTH).min(mark.column - 1);
    let line = |n: usize| n.checked_sub(1).and_then(|i| text.lines().nth(i)).map(|l| visible(l, cut));
    let mut out = format!("{:gutter$}--> {file}:{number}:{}\n{:gutter$} |\n", "", mark.column, "");
    for n in [mark.line.saturating_sub(2), mark.line.saturating_sub(1)] {
        if let Some(before) = line(n).filter(|l| !l.trim().is_empty()) {
            let _ = writeln!(out, "{:>gutter$} | {before}", n + first - 1);
        }
    }
    let marked = line(mark.line).unwrap_or_default();
    let indent = mark.column - 1 - cut;
    let width = mark.width.min(marked.chars().count().saturating_sub(indent)).max(1);
    let _ = writeln!(out, "{number} | {marked}");
    let _ = write!(out, "{:gutter$} | {:indent$}{} {message}", "", "", "^".repeat(width));
    if !remedy.is_empty() {
        let _ = write!(out, "\n{:gutter$} = {remedy}", "");
    }
    out
}

/// One column per character; nothing a terminal would obey.
fn visible(line: &str, cut: usize) -> String {
    let more = line.chars().count() > cut + WIDTH;
    line.chars()
        .skip(cut)
        .take(WIDTH)
        .chain(more.then_some('…'))
        .map(|c| {
            if c == '\t' {
                ' '
            } else if c.is_control() {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

/// The known word that was probably meant.
pub(super) fn meant<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).clamp(1, 3);
    known.into_iter().map(|k| (distance(&word.to_lowercase(), &k.to_lowercase()), k)).filter(|(d, _)| *d <= limit).min_by_key(|(d, _)| *d).map(|(_, k)| k)
}

/// Optimal string alignment: edits and swaps of neighbours.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut older: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let at = |row: &[usize], j: usize| row.get(j).copied().unwrap_or(usize::MAX / 2);
            let mut best = (at(&last, j) + usize::from(x != y)).min(at(&last, j + 1) + 1).min(at(&row, j) + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x);
            if swapped {
                best = best.min(at(&older, j - 1) + 1);
            }
            row.push(best);
        }
        older = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(usize::MAX)
}
