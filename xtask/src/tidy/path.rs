//! The paths that Rust code names, with grouped imports written out: `use std::{fs, io}` names `std::fs` and `std::io`.

use super::source::{Source, Token};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path<'a> {
    pub segments: Vec<&'a str>,
    /// Offset of its last segment.
    pub at: usize,
}

impl Path<'_> {
    pub fn starts_with(&self, words: &[&str]) -> bool {
        self.segments.starts_with(words)
    }

    /// Whether it names what the words lead to, or all that stands beside it: `a::b::c`, or `a::b::*`.
    pub fn leads_to(&self, words: &[&str]) -> bool {
        let beside = |above: &[&str]| !above.is_empty() && above.len() < words.len() && words.starts_with(above);
        self.starts_with(words) || matches!(self.segments[..], [ref above @ .., "*"] if beside(above))
    }

    /// Whether the words stand in it, one behind the other.
    pub fn names(&self, words: &[&str]) -> bool {
        self.segments.windows(words.len()).any(|window| window == words)
    }
}

/// Every path of more than one segment, and every macro or function by its own name.
pub fn paths(source: &Source) -> Vec<Path<'_>> {
    let tokens = source.tokens();
    let (mut found, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        if tokens[at].is_word() { at = read(&tokens, at, &[], &mut found) } else { at += 1 }
    }
    found
}

/// Reads the path or tree that starts at a word, a `{` or a `*`; gives the place behind it.
fn read<'a>(tokens: &[Token<'a>], mut at: usize, before: &[&'a str], found: &mut Vec<Path<'a>>) -> usize {
    let mut segments = before.to_vec();
    let mut last = 0;
    loop {
        match tokens.get(at) {
            Some(token) if token.is_word() || (token.text == "*" && !segments.is_empty()) => {
                segments.push(token.text);
                last = token.at;
                at += 1;
            }
            Some(token) if token.text == "{" && !segments.is_empty() => return read_group(tokens, at + 1, &segments, found),
            _ => break,
        }
        let goes_on = tokens.get(at).is_some_and(|token| token.text == "::") && tokens.get(at + 1).is_some_and(|next| next.is_word() || ["{", "*"].contains(&next.text));
        if !goes_on {
            break;
        }
        at += 1;
    }
    found.push(Path { segments, at: last });
    at
}

/// Reads what stands between braces; gives the place behind them.
fn read_group<'a>(tokens: &[Token<'a>], mut at: usize, before: &[&'a str], found: &mut Vec<Path<'a>>) -> usize {
    while let Some(token) = tokens.get(at) {
        match token.text {
            "}" => return at + 1,
            // a new name is not a path
            "as" => at += 2,
            _ if token.is_word() || token.text == "*" => at = read(tokens, at, before, found),
            _ => at += 1,
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<String> {
        paths(&Source::new(text)).iter().map(|path| path.segments.join("::")).filter(|path| path.contains("::")).collect()
    }

    #[test]
    fn grouped_imports_are_written_out() {
        assert_eq!(shown("use std::{fs::{self, File as F}, io as i, env::*};"), ["std::fs::self", "std::fs::File", "std::io", "std::env::*"]);
    }

    #[test]
    fn calls_and_types_are_paths() {
        assert_eq!(shown("let x: Vec<a::B> = std::time::Instant::now(); y::<c::D>()"), ["a::B", "std::time::Instant::now", "c::D"]);
        assert_eq!(shown("::rand::random()"), ["rand::random"]);
    }

    #[test]
    fn a_star_leads_to_all_beside_it() {
        let source = Source::new("a::b::*");
        let path = paths(&source).remove(0);
        assert!(path.leads_to(&["a", "b", "c"]) && path.leads_to(&["a", "b", "c", "d"]) && !path.leads_to(&["a", "c"]) && !path.leads_to(&["b", "c"]));
    }

    #[test]
    fn comments_and_text_name_nothing() {
        assert_eq!(shown("// std::fs\nlet s = \"std::env\";"), Vec::<String>::new());
    }

    #[test]
    fn words_are_found_side_by_side() {
        let source = Source::new("jiff::Timestamp::now()");
        let path = paths(&source).remove(0);
        assert!(path.names(&["Timestamp", "now"]) && path.starts_with(&["jiff"]) && !path.names(&["jiff", "now"]));
    }
}
