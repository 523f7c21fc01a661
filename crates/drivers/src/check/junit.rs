//! JUnit XML: how many test cases passed. The files of different tools agree on little more than `testcase` with
//! `failure`, `error` or `skipped` inside, so nothing else is read; totals in attributes are not trusted.

use std::fmt;

use greenroom_domain::deployment::check::Outcome;

/// Test cases by how they ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    pub passed: u32,
    pub failed: u32,
    /// Ended by something other than a failed assertion.
    pub errors: u32,
    pub skipped: u32,
}

impl Counts {
    /// Counts the test cases in `xml`; `Err` says why it cannot be read.
    pub fn parse(xml: &str) -> Result<Self, String> {
        let document = roxmltree::Document::parse(xml.trim_start_matches('\u{feff}').trim_start()).map_err(|e| e.to_string())?;
        if !matches!(document.root_element().tag_name().name(), "testsuites" | "testsuite") {
            return Err(format!("`{}` is not `testsuites` or `testsuite`", document.root_element().tag_name().name()));
        }
        let mut counts = Self::default();
        for case in document.descendants().filter(|n| n.has_tag_name("testcase")) {
            let has = |name: &str| case.children().any(|child| child.tag_name().name() == name);
            let count = match (has("error"), has("failure"), has("skipped")) {
                (true, _, _) => &mut counts.errors,
                (_, true, _) => &mut counts.failed,
                (_, _, true) => &mut counts.skipped,
                _ => &mut counts.passed,
            };
            *count += 1;
        }
        Ok(counts)
    }

    /// No test case, or none that ran, says nothing about the build.
    #[must_use]
    pub const fn outcome(self) -> Outcome {
        match self {
            Self { failed: 0, errors: 0, passed: 0, .. } => Outcome::Inconclusive,
            Self { failed: 0, errors: 0, .. } => Outcome::Pass,
            _ => Outcome::Fail,
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = [(self.failed, "failed"), (self.errors, "in error"), (self.passed, "passed"), (self.skipped, "skipped")];
        let parts: Vec<_> = named.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
        if parts.is_empty() { f.write_str("no test cases") } else { f.write_str(&parts.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes() {
        for (xml, outcome, summary) in [
            ("<testsuites><testsuite><testcase name='a'/><testcase name='b'/></testsuite></testsuites>", Outcome::Pass, "2 passed"),
            ("<testsuite><testcase name='a'><failure>x</failure></testcase><testcase/></testsuite>", Outcome::Fail, "1 failed, 1 passed"),
            ("<testsuite><testcase><error/></testcase><testcase><skipped/></testcase></testsuite>", Outcome::Fail, "1 in error, 1 skipped"),
            ("<testsuite><testcase><skipped/></testcase><testcase/></testsuite>", Outcome::Pass, "1 passed, 1 skipped"),
            ("<testsuite><testcase><skipped/></testcase></testsuite>", Outcome::Inconclusive, "1 skipped"),
            ("<testsuites tests='4'/>", Outcome::Inconclusive, "no test cases"),
            ("\u{feff}<?xml version='1.0'?>\n<testsuite><testsuite><testcase><system-out>&lt;failure/></system-out></testcase></testsuite></testsuite>", Outcome::Pass, "1 passed"),
            ("<testsuite><testcase><failure/><error/></testcase></testsuite>", Outcome::Fail, "1 in error"),
        ] {
            let counts = Counts::parse(xml).unwrap();
            assert_eq!((counts.outcome(), counts.to_string().as_str()), (outcome, summary), "{xml}");
        }
        for bad in ["", "<testsuite>", "<html/>", "not xml"] {
            assert!(Counts::parse(bad).is_err(), "{bad}");
        }
    }
}
