//! Regular expressions that mean the same to us and to every SDK, whichever library reads them there.

use super::part::single;
use crate::wire::unleash::Constraint;

/// What repetition some libraries go up to.
const MAX_DIGITS: usize = 3;

/// Holds for every text but, of the user, the empty one, which counts as none.
pub(super) fn anything(name: &str) -> Constraint {
    single(name, "REGEX", if name == "userId" { "(?s)." } else { "^" }.to_owned())
}

/// # Errors
/// If libraries differ in what a part of the pattern means, or do not read it.
pub(super) fn understood(pattern: &str) -> Result<(), String> {
    let differs = |part: &str| Err(format!("libraries differ in what `{part}` means"));
    let mut rest = pattern.chars();
    let mut class = false;
    while let Some(next) = rest.next() {
        let ahead = rest.as_str();
        match next {
            '\\' => match rest.next() {
                Some(escaped) if "nrtfvaz".contains(escaped) && !(class && escaped == 'z') => {}
                Some(escaped) if escaped.is_ascii_punctuation() && !"<>".contains(escaped) => {}
                Some(escaped) => return differs(&format!("\\{escaped}")),
                None => return differs("\\"),
            },
            '[' if class && ahead.starts_with(':') => {
                let Some((_, after)) = ahead.split_once(":]") else { return differs("[:") };
                rest = after.chars();
            }
            '[' if class => return differs("[["),
            '[' => {
                class = true;
                rest = ahead.strip_prefix('^').unwrap_or(ahead).chars();
                if rest.as_str().starts_with(']') {
                    return differs("[]");
                }
            }
            ']' => class = false,
            '&' | '~' | '-' if class && ahead.starts_with(next) => return differs(&format!("{next}{next}")),
            '{' if !class && ahead.starts_with(',') => return differs("{,"),
            '{' if !class && ahead.split(['}', ',']).take(2).any(|number| number.len() > MAX_DIGITS) => return differs("{1000"),
            '(' if !class && ahead.starts_with('?') => {
                let flags = ahead.trim_start_matches('?').split([':', ')']).next().unwrap_or_default();
                if !flags.chars().all(|flag| "ims-".contains(flag)) {
                    return differs(&format!("(?{flags}"));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_all_libraries_read_alike_is_understood() {
        for pattern in ["^cat$", "^[^@]+@[^@]+\\.com$", "^(foo|fo)?$", "^a{2,4}.*?b$", "^(?i)abc", "(?m)^foo$", "(?s:a.b)", "^[[:alpha:]]+$", "[\\]a-z]", "^$"] {
            assert_eq!(understood(pattern), Ok(()), "{pattern}");
        }
        for pattern in ["\\d+", "\\bcat\\b", "[\\w]", "\\p{L}", "[a&&b]", "[[a]b]", "[]a]", "(?x)a b", "(?P<n>a)", "(?u)a", "a{,3}", "a{1001}", "\\<a", "[[:alpha", "a\\"] {
            assert!(understood(pattern).is_err(), "{pattern}");
        }
    }
}
