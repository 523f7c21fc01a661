//! Rust text taken apart as far as the rules need: code without comments and literals, comments without code, tokens.
//!
//! Every part keeps the length and the lines of the original, so that an offset means the same in all of them.

use std::ops::Range;

pub struct Source {
    /// Comments and the insides of literals are blanks.
    pub code: String,
    /// All but comments is blanks.
    pub comments: String,
    /// Where the code is compiled for tests only.
    pub tests: Vec<Range<usize>>,
    /// Offsets of the ends of its lines.
    ends: Vec<usize>,
}

/// A word, a number, `::`, or one character of punctuation, and where it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token<'a> {
    pub text: &'a str,
    pub at: usize,
}

impl Token<'_> {
    pub fn is_word(&self) -> bool {
        self.text.starts_with(|c: char| c.is_alphabetic() || c == '_')
    }
}

impl Source {
    pub fn new(text: &str) -> Self {
        let (code, comments) = parted(text);
        let tests = test_ranges(&code);
        let ends = code.match_indices('\n').map(|(at, _)| at).collect();
        Self { code, comments, tests, ends }
    }

    /// The line, from 1, of an offset.
    pub fn line(&self, at: usize) -> usize {
        self.ends.partition_point(|end| *end < at) + 1
    }

    pub fn tokens(&self) -> Vec<Token<'_>> {
        tokens(&self.code)
    }

    /// Whether a character that is no blank stands inside a literal.
    pub fn in_literal(&self, at: usize) -> bool {
        [&self.code, &self.comments].iter().all(|part| part.as_bytes().get(at) == Some(&b' '))
    }

    pub fn in_tests(&self, at: usize) -> bool {
        self.tests.iter().any(|range| range.contains(&at))
    }
}

/// Code and comments of a text.
fn parted(text: &str) -> (String, String) {
    let bytes = text.as_bytes();
    let blank: Vec<u8> = bytes.iter().map(|byte| if *byte == b'\n' { b'\n' } else { b' ' }).collect();
    let (mut code, mut comments) = (blank.clone(), blank);
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let comment = comment(rest);
        if comment > 0 {
            comments[at..at + comment].copy_from_slice(&rest[..comment]);
            at += comment;
            continue;
        }
        let after_word = at > 0 && is_word_byte(bytes[at - 1]);
        let literal = literal(rest, after_word);
        code[at] = bytes[at];
        if literal > 1 && bytes[at + literal - 1].is_ascii() {
            // of a literal the ends stay, so that something still stands there
            code[at + literal - 1] = bytes[at + literal - 1];
        }
        at += literal.max(1);
    }
    (String::from_utf8_lossy(&code).into_owned(), String::from_utf8_lossy(&comments).into_owned())
}

/// Length of the comment that starts here.
fn comment(rest: &[u8]) -> usize {
    if rest.starts_with(b"//") {
        return rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    }
    if !rest.starts_with(b"/*") {
        return 0;
    }
    let (mut depth, mut at) = (1, 2);
    while at < rest.len() && depth > 0 {
        match &rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    at
}

/// Length of the text or character literal that starts here; what stands before its first quote is part of it.
fn literal(rest: &[u8], after_word: bool) -> usize {
    let prefix = if after_word { 0 } else { rest.iter().take(2).take_while(|byte| matches!(byte, b'r' | b'b' | b'c')).count() };
    let raw = rest[..prefix].contains(&b'r');
    let hashes = if raw { rest[prefix..].iter().take_while(|byte| **byte == b'#').count() } else { 0 };
    match rest.get(prefix + hashes) {
        Some(b'"') if raw => {
            let start = prefix + hashes + 1;
            let end: Vec<u8> = [b'"'].into_iter().chain(std::iter::repeat_n(b'#', hashes)).collect();
            rest[start..].windows(end.len()).position(|window| window == end).map_or(rest.len(), |found| start + found + end.len())
        }
        Some(b'"') => quoted(rest, prefix + 1, b'"'),
        Some(b'\'') if !raw => {
            let start = prefix + 1;
            let escaped = rest.get(start) == Some(&b'\\');
            // one character and its end, else it is a lifetime
            let width = rest.get(start).map_or(1, |first| match first {
                0..0x80 => 1,
                0x80..0xe0 => 2,
                0xe0..0xf0 => 3,
                0xf0.. => 4,
            });
            if escaped || rest.get(start + width) == Some(&b'\'') { quoted(rest, start, b'\'') } else { 0 }
        }
        _ => 0,
    }
}

/// Length up to and with the end of a literal whose inside starts at `at`.
fn quoted(rest: &[u8], mut at: usize, end: u8) -> usize {
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            byte if byte == end => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

fn tokens(code: &str) -> Vec<Token<'_>> {
    let bytes = code.as_bytes();
    let (mut tokens, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let length = match bytes[at] {
            byte if is_word_byte(byte) => bytes[at..].iter().take_while(|byte| is_word_byte(**byte)).count(),
            b':' if bytes.get(at + 1) == Some(&b':') => 2,
            _ => 1,
        };
        let text = &code[at..at + length];
        if !text.trim().is_empty() {
            tokens.push(Token { text, at });
        }
        at += length;
    }
    tokens
}

/// What follows `#[cfg(test)]`: a braced item as a whole.
fn test_ranges(code: &str) -> Vec<Range<usize>> {
    let tokens = tokens(code);
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        let words: Vec<&str> = tokens[index..].iter().take(5).map(|token| token.text).collect();
        let marked = matches!(words[..], ["[", "cfg", "(", "test", ")"]) || matches!(words[..], ["[", "cfg", "(", "all", "("] if cfg_all_test(&tokens[index..]));
        if marked && ranges.last().is_none_or(|range| range.end <= token.at) {
            ranges.push(token.at..item_end(&tokens[index..]));
        }
    }
    ranges
}

/// `[cfg(all(test, …` or `[cfg(all(…, test`.
fn cfg_all_test(tokens: &[Token<'_>]) -> bool {
    tokens.iter().take_while(|token| token.text != "]").any(|token| token.text == "test")
}

/// Where the item ends whose attribute starts with the first token: its closing brace, or a semicolon before any brace.
fn item_end(tokens: &[Token<'_>]) -> usize {
    let (mut depth, mut braced) = (0_u32, false);
    for token in tokens {
        match token.text {
            "{" => (depth, braced) = (depth + 1, true),
            "}" => depth = depth.saturating_sub(1),
            ";" if !braced => return token.at + 1,
            _ => {}
        }
        if braced && depth == 0 {
            return token.at + 1;
        }
    }
    usize::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        parted(text).0
    }

    #[test]
    fn comments_leave_the_code() {
        assert_eq!(code("a // b\nc /* d /* e */ f */ g"), "a     \nc                   g");
        assert_eq!(parted("a // ü b\nc").1, "  // ü b\n ");
    }

    #[test]
    fn literals_keep_their_ends_only() {
        assert_eq!(code(r#"f("a // b", 'x', '\'', b"z")"#), r#"f("      ", ' ', '  ', b  ")"#);
        assert_eq!(code("r#\"todo!\" x\"# + y"), "r           # + y");
        assert_eq!(code("\"a\\\"b\" c"), "\"    \" c");
        assert_eq!(code("'ß' + '\u{1f600}'").trim_end(), "'  ' + '    '");
    }

    #[test]
    fn lifetimes_are_no_literals() {
        assert_eq!(code("fn f<'a>(x: &'a str) -> &'static str"), "fn f<'a>(x: &'a str) -> &'static str");
        assert_eq!(code("loop { break 'outer; }"), "loop { break 'outer; }");
        assert_eq!(code("bar\"x\""), "bar\" \"");
    }

    #[test]
    fn lengths_and_lines_stay() {
        let text = "let s = \"one\ntwo\"; // three\nlet c = 'x';\n";
        let source = Source::new(text);
        assert_eq!((source.code.len(), source.comments.len()), (text.len(), text.len()));
        assert_eq!(source.line(source.code.find("let c").unwrap()), 3);
    }

    #[test]
    fn an_unfinished_literal_ends_with_the_text() {
        for text in ["\"abc", "r#\"abc\"", "/* abc", "'\\", "b'"] {
            assert_eq!(code(text).len(), text.len(), "{text}");
        }
    }

    #[test]
    fn test_code_is_the_item_behind_the_attribute() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n fn b() { {} }\n}\nfn c() {}\n#[cfg(test)]\nmod other;\nfn d() {}\n#[cfg(all(unix, test))]\nfn e() {}\n";
        let source = Source::new(text);
        let tested = |name: &str| source.in_tests(text.find(name).unwrap());
        assert!(!tested("fn a") && tested("fn b") && !tested("fn c") && tested("mod other") && !tested("fn d") && tested("fn e"));
    }
}
