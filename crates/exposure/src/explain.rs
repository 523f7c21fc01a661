//! Why a caller gets an answer: the steps of the very evaluation that gives it, as text and as data.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::context::{Attribute, Context};
use crate::evaluate::{Answer, Evaluation, Reason, Tracer};
use crate::model::{Clause as SourceClause, Feature, Outcome, Rule, Split as SourceSplit};
use crate::program::{Asked, Cause, Clause, Entry, Kind, Prerequisite, Program, Split, Subject, Verdict};
use crate::snapshot::Snapshot;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Explanation {
    pub feature: String,
    pub environment: String,
    pub revision: u64,
    /// In the order in which things were asked. What was not asked any more is not listed.
    pub steps: Vec<Step>,
    pub answer: Explained,
}

/// One question and how it went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Another feature, when the step belongs to a prerequisite's own evaluation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feature: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// What was asked, readable: `plan in ["gold"]`. Absent for a rule without clauses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clause: Option<String>,
    pub matched: bool,
    pub why: String,
}

/// An [`Answer`] that owns what it says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Explained {
    pub variant: String,
    pub value: Value,
    pub reason: Reason,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked_by: Option<String>,
    /// The first attribute that was asked for and not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
    /// With a targeting key the answer may be another.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub needs_targeting_key: bool,
}

impl From<&Answer<'_>> for Explained {
    fn from(answer: &Answer<'_>) -> Self {
        Self {
            variant: answer.variant().to_owned(),
            value: answer.value().clone(),
            reason: answer.reason(),
            rule: answer.rule().map(str::to_owned),
            release: answer.release().map(str::to_owned),
            blocked_by: answer.blocked_by().map(str::to_owned),
            missing: answer.missing().map(str::to_owned),
            needs_targeting_key: answer.needs_targeting_key(),
        }
    }
}

pub(crate) fn explain<C: Context + ?Sized>(snapshot: &Snapshot, entry: &Entry, context: &C) -> Option<Explanation> {
    let program = &*entry.program;
    let mut recorder = Recorder { snapshot, asked: program.key(), context, decoded: BTreeMap::new(), steps: Vec::new() };
    let answer = Evaluation::new(snapshot, context, &mut recorder).ask(entry)?;
    let mut steps = recorder.steps;
    steps.extend(last_word(program, &answer));
    Some(Explanation { feature: program.key().to_owned(), environment: snapshot.environment().to_owned(), revision: snapshot.revision(), steps, answer: Explained::from(&answer) })
}

/// What no clause says: a switch thrown, a definition at fault, or that nothing matched.
fn last_word(program: &Program, answer: &Answer<'_>) -> Option<Step> {
    let variant = answer.variant();
    let because = answer.blocked_by().map_or_else(String::new, |why| format!(": {why}"));
    let why = match answer.cause() {
        Cause::Rule(_) if answer.reason() != Reason::Disabled => return None,
        Cause::Rule(_) => format!("the rule may not be shown, so the answer is `{variant}`{because}"),
        Cause::Prerequisite(_) => format!("a prerequisite does not hold, so the answer is `{variant}`"),
        Cause::Killed => format!("the feature is killed, so the answer is `{variant}`{because}"),
        Cause::Fault => {
            let fault = program.gate.faults().first();
            let at = fault.and_then(|fault| fault.rule.as_ref()).map_or_else(String::new, |rule| format!("rule `{rule}`: "));
            let message = fault.map_or("", |fault| &fault.message);
            format!("the feature's definition is not valid, so the answer is `{variant}`: {at}{message}")
        }
        Cause::Default => format!("no rule decides, so the answer is the default, `{variant}`{because}"),
    };
    let rule = answer.rule().map(str::to_owned);
    Some(Step { feature: None, rule, clause: None, matched: answer.cause() == Cause::Default, why })
}

struct Recorder<'s, 'c, C: ?Sized> {
    snapshot: &'s Snapshot,
    /// The feature that the explanation is about.
    asked: &'s str,
    context: &'c C,
    /// The canonical forms of the features that were asked, by their keys.
    decoded: BTreeMap<&'s str, Feature>,
    steps: Vec<Step>,
}

impl<'s, C: Context + ?Sized> Recorder<'s, '_, C> {
    fn push(&mut self, of: &Program, rule: Option<u16>, clause: Option<String>, matched: bool, why: String) {
        let feature = (of.key() != self.asked).then(|| of.key().to_owned());
        let rule = rule.and_then(|at| of.rule(at)).map(|rule| rule.name.to_owned());
        self.steps.push(Step { feature, rule, clause, matched, why });
    }

    fn rule(&mut self, of: &'s Program, at: u16) -> Option<&Rule> {
        let feature = self.decoded.entry(of.key()).or_insert_with(|| of.feature());
        feature.claims.iter().chain(&feature.baseline).nth(usize::from(at))
    }

    /// What the caller has, from the clause's point of view.
    fn given(&self, kind: &Kind, verdict: Verdict) -> String {
        if let Some(what) = verdict.mismatch() {
            let subject = match kind {
                Kind::Test(subject, _) | Kind::Not(subject, _) => *subject,
                Kind::Share(share) => share.subject,
                Kind::Cohort(_) => return "no group of the cohort matches".to_owned(),
            };
            return format!("{}, which {what}", self.shown(subject));
        }
        match (verdict, kind) {
            (Verdict::Missing(subject), _) => format!("attribute `{}` is missing", subject.name(self.snapshot.names())),
            (Verdict::NoKey, _) => "there is no targeting key".to_owned(),
            (_, Kind::Test(subject, _) | Kind::Not(subject, _)) => self.shown(*subject),
            (_, Kind::Share(share)) => {
                let bucket = share.subject.bucket(&share.bucketer, &mut Asked::new(self.context, self.snapshot.names())).unwrap_or_default();
                let side = if matches!(verdict, Verdict::Yes) { "below" } else { "not below" };
                format!("bucket {bucket} is {side} {}", share.below)
            }
            (Verdict::Yes, Kind::Cohort(id)) => match self.group(*id) {
                Some(at) => format!("group {} of the cohort matches", at + 1),
                None => "the cohort matches".to_owned(),
            },
            (_, Kind::Cohort(_)) => "no group of the cohort matches".to_owned(),
        }
    }

    fn group(&self, cohort: u32) -> Option<usize> {
        self.snapshot.cohorts().get(cohort)?.group(self.context, self.snapshot.names())
    }

    fn shown(&self, subject: Subject) -> String {
        let names = self.snapshot.names();
        let name = subject.name(names);
        match subject.of(self.context, names) {
            None => format!("`{name}` is absent"),
            Some(Attribute::Text(text)) => format!("`{name}` is {text:?}"),
            Some(Attribute::Number(number)) => format!("`{name}` is {number}"),
            Some(Attribute::Boolean(value)) => format!("`{name}` is {value}"),
            Some(Attribute::Compound) => format!("`{name}` is a list or an object"),
        }
    }
}

impl<'s, C: Context + ?Sized> Tracer<'s> for &mut Recorder<'s, '_, C> {
    fn clause(&mut self, of: &'s Program, clause: &'s Clause, verdict: Verdict) {
        let source = self.rule(of, clause.rule).and_then(|rule| rule.when.get(usize::from(clause.at))).map(SourceClause::to_string);
        let why = self.given(&clause.kind, verdict);
        self.push(of, Some(clause.rule), source, matches!(verdict, Verdict::Yes), why);
    }

    fn matched(&mut self, of: &'s Program, rule: u16) {
        if of.rule(rule).is_some_and(|rule| rule.clauses == 0) {
            self.push(of, Some(rule), None, true, "the rule is for everyone".to_owned());
        }
    }

    fn split(&mut self, of: &'s Program, split: &'s Split, bucket: Result<u32, Verdict>) {
        let source = match self.rule(of, split.rule).map(|rule| &rule.then) {
            Some(Outcome::Split(source)) => weights(source),
            _ => "split".to_owned(),
        };
        let (matched, why) = match bucket {
            Ok(bucket) => {
                let variant = split.pick(bucket);
                (variant.is_some(), format!("bucket {bucket} falls to `{}`", variant.map_or("", |variant| of.name(variant))))
            }
            Err(verdict) => match verdict.mismatch() {
                Some(what) => (false, format!("{}, which {what}", self.shown(split.subject))),
                None if matches!(verdict, Verdict::NoKey) => (false, "there is no targeting key".to_owned()),
                None => (false, format!("attribute `{}` is missing", split.subject.name(self.snapshot.names()))),
            },
        };
        self.push(of, Some(split.rule), Some(source), matched, why);
    }

    fn prerequisite(&mut self, of: &'s Program, needed: &'s Prerequisite, answer: Option<&'s str>, holds: bool) {
        let why = match answer {
            Some(answer) => format!("`{}` answers `{answer}`", needed.feature),
            None => format!("there is no usable feature `{}`", needed.feature),
        };
        self.push(of, None, Some(format!("prerequisite {}", needed.feature)), holds, why);
    }
}

fn weights(split: &SourceSplit) -> String {
    let weights: Vec<String> = split.weights.iter().map(|(name, weight)| format!("{name} {weight}")).collect();
    format!("split {}", weights.join(" : "))
}
