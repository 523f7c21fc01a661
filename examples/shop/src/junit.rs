//! JUnit XML, as small as its readers accept.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

/// The results of one run of one suite.
#[derive(Debug)]
pub struct Suite {
    name: String,
    cases: Vec<Case>,
    started: Instant,
}

#[derive(Debug)]
struct Case {
    name: String,
    requirement: Option<String>,
    took: Duration,
    failure: Option<String>,
}

impl Suite {
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), cases: Vec::new(), started: Instant::now() }
    }

    /// Adds a case that began at `since`; `Err` says why it failed.
    pub fn case(&mut self, name: &str, requirement: Option<&str>, since: Instant, result: std::result::Result<(), String>) {
        let requirement = requirement.map(str::to_owned);
        self.cases.push(Case { name: name.to_owned(), requirement, took: since.elapsed(), failure: result.err() });
    }

    pub fn failures(&self) -> impl Iterator<Item = (&str, &str)> {
        self.cases.iter().filter_map(|c| Some((c.name.as_str(), c.failure.as_deref()?)))
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.cases.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cases.is_empty()
    }

    #[must_use]
    pub fn to_xml(&self) -> String {
        let (name, tests, failures) = (escape(&self.name), self.cases.len(), self.failures().count());
        let seconds = self.started.elapsed().as_secs_f64();
        let counts = format!("tests=\"{tests}\" failures=\"{failures}\" errors=\"0\" time=\"{seconds:.3}\"");
        let mut xml = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites {counts}>\n  <testsuite name=\"{name}\" {counts}>\n");
        for case in &self.cases {
            let took = case.took.as_secs_f64();
            let _ = writeln!(xml, "    <testcase classname=\"{name}\" name=\"{}\" time=\"{took:.3}\">", escape(&case.name));
            if let Some(id) = &case.requirement {
                let _ = writeln!(xml, "      <properties><property name=\"requirement\" value=\"{}\"/></properties>", escape(id));
            }
            if let Some(why) = &case.failure {
                let _ = writeln!(xml, "      <failure message=\"{}\"/>", escape(why));
            }
            xml.push_str("    </testcase>\n");
        }
        xml.push_str("  </testsuite>\n</testsuites>\n");
        xml
    }

    pub fn write(&self, path: &Path) -> Result<()> {
        std::fs::write(path, self.to_xml()).with_context(|| format!("cannot write {}", path.display()))
    }
}

fn escape(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_counted_and_text_is_escaped() {
        let mut suite = Suite::new("functional");
        suite.case("a < b", Some("SHOP-1"), Instant::now(), Ok(()));
        suite.case("c", None, Instant::now(), Err("said \"no\"".into()));
        let xml = suite.to_xml();
        assert!(xml.contains("tests=\"2\" failures=\"1\""), "{xml}");
        assert!(xml.contains("name=\"a &lt; b\"") && xml.contains("value=\"SHOP-1\"") && xml.contains("said &quot;no&quot;"), "{xml}");
    }
}
