//! The terminal picture of the README: key moments of the recorded demo (`docs/demo.txt`), as text in an SVG.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result};

use crate::workspace::root;

const RECORDING: &str = "docs/demo.txt";
const PICTURE: &str = "docs/demo.svg";
/// Characters of a line, then pixels: of a character, of a line, of the margin.
const COLUMNS: usize = 112;
const ADVANCE: usize = 8;
const LINE: usize = 19;
const MARGIN: usize = 24;

/// A command of the recording, and of what follows it the lines that hold one of these words.
type Moment = (&'static str, &'static [&'static str]);

const MOMENTS: &[Moment] = &[
    ("eva $ greenroom deploy catalog@1.1.0 shop-web@1.1.0 --to development", &["live in staging"]),
    ("axel $ greenroom decide deployment", &["go on", "shop-web 1.1.0 is live"]),
    ("pia $ greenroom dark", &["dark for", "builds", "release"]),
    ("rosa $ greenroom release start express-launch", &["error", "·"]),
    ("pia $ greenroom decide release express-launch go", &["go on"]),
    ("rick $ greenroom decide release express-launch go", &["go on"]),
    ("rosa $ greenroom release start express-launch", &["express-launch #", "▶"]),
    ("rosa $ greenroom release start express-launch", &["express-launch #", "▶", "fixed keys", "everyone sees it"]),
    ("eva $ greenroom rollback shop-web --env production", &["error", "→"]),
    ("eva $ greenroom rollback shop-web --env production --withdraw-first --dry-run", &["1.", "−", "2.", "·"]),
    ("ada $ greenroom ledger verify", &["✔"]),
];

/// Draws the picture anew; true when all moments are in the recording.
pub fn run() -> Result<bool> {
    let recording = fs::read_to_string(root().join(RECORDING)).with_context(|| format!("{RECORDING} cannot be read: record `greenroom demo --fast --once` there"))?;
    let lines = chosen(&recording, MOMENTS)?;
    fs::write(root().join(PICTURE), drawn(&lines))?;
    println!("wrote {PICTURE}, {} lines", lines.len());
    Ok(true)
}

/// The lines of the picture; an empty one between moments.
fn chosen(recording: &str, moments: &[Moment]) -> Result<Vec<String>> {
    let (mut lines, mut rest) = (Vec::new(), recording);
    for (command, words) in moments {
        let at = rest.find(command).with_context(|| format!("`{command}` is not in the recording, or not behind what stands before it"))?;
        rest = &rest[rest[..at].rfind('\n').map_or(0, |end| end + 1)..];
        let mut all = rest.lines();
        if !lines.is_empty() {
            lines.push(String::new());
        }
        lines.extend(all.next().map(cut));
        lines.extend(all.take_while(|line| line.is_empty() || line.starts_with("   ")).filter(|line| words.iter().any(|word| line.contains(word))).map(cut));
        rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
    }
    Ok(lines)
}

fn cut(line: &str) -> String {
    if line.chars().count() <= COLUMNS { line.to_owned() } else { line.chars().take(COLUMNS - 1).chain(['…']).collect() }
}

fn drawn(lines: &[String]) -> String {
    let (width, height) = (COLUMNS * ADVANCE + 2 * MARGIN, lines.len() * LINE + 2 * MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"The story of the demo in a terminal\">\n\
         <rect width=\"{width}\" height=\"{height}\" rx=\"12\" fill=\"#16181d\"/>\n\
         <g font-family=\"ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace\" font-size=\"13.3\" fill=\"#c8ccd4\" xml:space=\"preserve\">\n"
    );
    for (index, line) in lines.iter().enumerate().filter(|(_, line)| !line.is_empty()) {
        let y = MARGIN + index * LINE + LINE * 3 / 4;
        // the width is said, so that columns stand under each other in any typeface
        let text = |from: usize, text: &str, look: &str| {
            let (x, long) = (MARGIN + from * ADVANCE, text.chars().count() * ADVANCE);
            format!("<text x=\"{x}\" y=\"{y}\" textLength=\"{long}\" lengthAdjust=\"spacingAndGlyphs\"{look}>{}</text>\n", escaped(text))
        };
        let indent = line.chars().take_while(|c| *c == ' ').count();
        let svg_line = match line.split_once(" $ ") {
            Some((who, command)) if indent == 0 => {
                let who = format!("{who} $");
                text(0, &who, " fill=\"#7f8794\"") + &text(who.chars().count() + 1, command, " fill=\"#ffffff\" font-weight=\"600\"")
            }
            _ => text(indent, line.trim_start(), look(line.trim_start())),
        };
        let _ = write!(svg, "{svg_line}");
    }
    svg + "</g>\n</svg>\n"
}

/// Colours as the command line gives them on a terminal.
fn look(line: &str) -> &'static str {
    match line.chars().next() {
        Some('✔' | '+') => " fill=\"#7fc98f\"",
        Some('✖' | '−') => " fill=\"#e8787a\"",
        Some('→' | '…') => " fill=\"#6fc3d3\"",
        Some('·') => " fill=\"#e3bf6d\"",
        _ if line.starts_with("error:") => " fill=\"#e8787a\"",
        _ => "",
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_found_in_their_order() {
        let recording = "eva $ greenroom a <b>\n   one\n   two\n\nax $ greenroom c\n   three\neva $ greenroom a\n   four\n";
        let lines = chosen(recording, &[("greenroom a", &["two"]), ("greenroom a", &["four"])]).unwrap();
        assert_eq!(lines, ["eva $ greenroom a <b>", "   two", "", "eva $ greenroom a", "   four"]);
        assert!(chosen(recording, &[("greenroom c", &[]), ("ax $", &[])]).is_err());
        let svg = drawn(&lines);
        assert!(svg.contains(">greenroom a &lt;b&gt;</text>") && svg.matches("<text").count() == 6, "{svg}");
    }
}
