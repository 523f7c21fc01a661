//! Why a command did not do what was asked: exit code, words, every reason, and what to do next.

use std::fmt;

use greenroom_api::client;
use greenroom_api::manifest::Place;
use greenroom_api::problem::{Code, Problem};
use greenroom_domain::refusal::Reason;
use serde_json::{Value, json};

/// What pipelines branch on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// The thing is bad: a deployment failed, a check did not pass.
    Failed = 1,
    Usage = 2,
    Refused = 3,
    NotFound = 4,
    Conflict = 5,
    /// `--wait` ran out.
    Waiting = 6,
    /// Repeat with the same key.
    Unknown = 7,
    /// Not signed in, or not allowed.
    NotAllowed = 8,
    Unreachable = 9,
    Internal = 10,
}

#[derive(Debug)]
pub struct Failure {
    pub exit: Exit,
    pub message: String,
    /// Apart, so that results stay small.
    pub more: Box<More>,
}

#[derive(Debug, Default)]
pub struct More {
    /// Where it stands, a place in a file or a request; or what is beneath it.
    pub detail: String,
    pub excerpt: Option<String>,
    pub reasons: Vec<Reason>,
    pub hints: Vec<String>,
    /// The document the server sent, for `--json`.
    pub problem: Option<Box<Problem>>,
}

impl Failure {
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), more: Box::default() }
    }

    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// What the grammar says: the mistake, and below it how it would be right.
    pub fn misused(said: &str) -> Self {
        let (mistake, below) = said.split_once('\n').unwrap_or((said, ""));
        let mut failure = Self::usage(mistake.trim_start_matches("error: "));
        below.trim().clone_into(&mut failure.more.detail);
        failure
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.more.hints.push(hint.into());
        self
    }

    /// The reason that the message says already.
    pub fn sole(&self) -> Option<&Reason> {
        let [one] = self.more.reasons.as_slice() else { return None };
        (one.message == self.message).then_some(one)
    }

    /// What to do next.
    pub fn hints(&self) -> impl Iterator<Item = &str> {
        let remedy = self.sole().map(|reason| reason.remedy.as_str()).filter(|remedy| !remedy.is_empty());
        remedy.into_iter().chain(self.more.hints.iter().map(String::as_str))
    }

    /// For programs: a problem as the API has it (RFC 9457), with `exit` and `hints`. Every member is always there but `excerpt`;
    /// `status` is null for what the API has no word for.
    pub fn document(&self) -> Value {
        let (code, status) = match self.exit {
            Exit::Failed => ("failed", None),
            Exit::Waiting => ("waiting", None),
            Exit::Unreachable => ("unreachable", None),
            Exit::Usage => told(Code::Invalid),
            Exit::Refused => told(Code::Refused),
            Exit::NotFound => told(Code::NotFound),
            Exit::Conflict => told(Code::Conflict),
            Exit::Unknown => told(Code::OutcomeUnknown),
            Exit::NotAllowed => told(Code::Forbidden),
            Exit::Internal => told(Code::Internal),
        };
        let mut document = json!({
            "type": format!("/problems/{code}"), "title": self.message, "status": status, "code": code, "detail": self.more.detail, "reasons": self.more.reasons,
            "exit": self.exit as u8, "hints": self.hints().collect::<Vec<_>>(),
        });
        let theirs = self.more.problem.as_ref().and_then(|problem| serde_json::to_value(problem).ok());
        if let (Some(Value::Object(theirs)), Some(members)) = (theirs, document.as_object_mut()) {
            members.extend(theirs);
        }
        document
    }

    pub fn reasons(mut self, reasons: Vec<Reason>) -> Self {
        self.more.reasons = reasons;
        self
    }

    /// Shows each reason that has a place in a file there, as a manifest that cannot be read is shown.
    pub fn located(mut self, locate: impl Fn(&Reason) -> Option<Place>) -> Self {
        if self.more.excerpt.is_some() {
            return self;
        }
        let found: Vec<(Reason, Place)> = self.more.reasons.iter().filter(|r| r.path.is_some()).filter_map(|r| Some((r.clone(), locate(r)?))).collect();
        if found.is_empty() {
            return self;
        }
        self.more.reasons.retain(|reason| found.iter().all(|(known, _)| known != reason));
        self.more.detail = found.iter().map(|(_, place)| format!("{}:{}", place.file, place.line)).collect::<Vec<_>>().join(", ");
        self.more.excerpt = Some(found.into_iter().map(|(_, place)| place.excerpt).collect::<Vec<_>>().join("\n\n"));
        if let Some(problem) = &mut self.more.problem {
            problem.detail.clone_from(&self.more.detail);
            problem.excerpt.clone_from(&self.more.excerpt);
        }
        self
    }

    /// What went wrong with a file, and what the system says about it.
    pub fn file(what: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::NotFound {
            return Self::usage(format!("there is no file or directory `{}`", path.display()));
        }
        Self::usage(format!("cannot {what} `{}`: {error}", path.display()))
    }
}

fn told(code: Code) -> (&'static str, Option<u16>) {
    (code.as_str(), Some(code.status()))
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<Box<Problem>> for Failure {
    fn from(problem: Box<Problem>) -> Self {
        let exit = match problem.code {
            Code::Invalid | Code::TooLarge => Exit::Usage,
            Code::Unauthenticated | Code::Forbidden => Exit::NotAllowed,
            Code::NotFound => Exit::NotFound,
            Code::AlreadyExists | Code::Conflict | Code::IdempotencyKeyReused => Exit::Conflict,
            Code::Refused => Exit::Refused,
            Code::RateLimited | Code::NotCaughtUp | Code::StorageUnavailable | Code::Starting => Exit::Unreachable,
            Code::OutcomeUnknown => Exit::Unknown,
            Code::Internal => Exit::Internal,
        };
        let hint = match problem.code {
            Code::Unauthenticated => Some("sign in with `greenroom login --name NAME`"),
            Code::Forbidden => Some("`greenroom whoami` shows your roles; an admin changes them with `greenroom person roles`"),
            Code::IdempotencyKeyReused => Some("leave --key out, or repeat the very same command"),
            Code::RateLimited | Code::NotCaughtUp | Code::StorageUnavailable | Code::Starting => Some("try again in a moment"),
            _ => None,
        };
        // a detail is a place, or says more of what is wrong with the server; else it is advice, and better than ours
        let place = problem.excerpt.is_some() || problem.detail.starts_with("in ") || problem.title.contains(&problem.detail);
        let aside = place || matches!(problem.code, Code::Internal | Code::StorageUnavailable);
        let (detail, advice) = if aside { (problem.detail.as_str(), "") } else { ("", problem.detail.as_str()) };
        let advised = !problem.detail.is_empty() || problem.reasons.iter().any(|r| !r.remedy.is_empty());
        let ours = hint.filter(|_| !advised || problem.code == Code::IdempotencyKeyReused);
        let hint = ours.or(Some(advice).filter(|advice| !advice.is_empty()));
        // here the header is called as one types it
        let typed = |text: &str| text.replace("Idempotency-Key", "--key");
        // the excerpt says those that have a place in a file
        let mut reasons = problem.reasons.clone();
        if let Some(excerpt) = &problem.excerpt {
            reasons.retain(|r| !excerpt.contains(&r.message));
        }
        let message = match (problem.code, problem.reasons.len()) {
            (Code::Refused, many @ 2..) => format!("refused, for {many} reasons"),
            (Code::Invalid, many @ 2..) if problem.title == format!("{many} reasons") => format!("{many} things are wrong"),
            _ => typed(&problem.title),
        };
        let more = More { detail: detail.to_owned(), excerpt: problem.excerpt.clone(), reasons, hints: hint.into_iter().map(typed).collect(), problem: None };
        Self { exit, message, more: Box::new(More { problem: Some(problem), ..more }) }
    }
}

impl From<client::Error> for Failure {
    fn from(error: client::Error) -> Self {
        match error {
            client::Error::Problem(problem) => problem.into(),
            client::Error::Unreachable { ref base, ref source } => {
                let mut cause: &dyn std::error::Error = source.as_ref();
                while let Some(deeper) = cause.source() {
                    cause = deeper;
                }
                let failure = Self::new(Exit::Unreachable, format!("cannot reach {base}: {cause}"));
                failure.hint("is it running? `greenroom serve` starts it; --server or GREENROOM_SERVER names another")
            }
            client::Error::Untrusted { ref why, .. } => Self::new(Exit::Unreachable, error.to_string()).hint(why.remedy()),
            client::Error::NoAuthorities { .. } => Self::new(Exit::Unreachable, error.to_string()),
            client::Error::Moved { ref to, .. } => Self::new(Exit::Unreachable, error.to_string()).hint(format!("if you trust that, name it: --server {to}")),
            client::Error::OutcomeUnknown { ref key, ref why } => Self::new(Exit::Unknown, format!("the command was sent, but its outcome is unknown: {why}"))
                .hint(format!("repeat it with --key {key}: it happens once, and you learn its outcome")),
            client::Error::Unreadable { ref base, status, ref what } => {
                Self::new(Exit::Unreachable, format!("{base} answers, but not as Greenroom does (status {status}): {what}"))
                    .hint("is it a Greenroom server, and of this version? --server or GREENROOM_SERVER names another")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A script finds the same members, whoever says no.
    #[test]
    fn documents_have_one_shape() {
        let members = |failure: &Failure| failure.document().as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        let ours = Failure::usage("no").hint("do this");
        let theirs = Failure::from(Box::new(Problem::new(Code::NotFound, "there is no x").detail("see what there is")));
        assert_eq!(members(&ours), members(&theirs));
        assert_eq!(members(&ours), ["type", "title", "status", "code", "detail", "reasons", "exit", "hints"]);
        assert_eq!((ours.document()["code"].as_str(), ours.document()["exit"].as_u64()), (Some("invalid"), Some(2)));
        assert_eq!((&theirs.document()["hints"], theirs.document()["status"].as_u64()), (&json!(["see what there is"]), Some(404)));
        assert_eq!(Failure::new(Exit::Waiting, "later").document()["status"], Value::Null);
    }

    /// Advice comes as a hint, whether the server has it in the detail, or with the only reason.
    #[test]
    fn advice_has_one_form() {
        let detail = Problem::new(Code::NotFound, "there is no x").detail("see");
        let mut reason = Problem::new(Code::NotFound, "there is no x");
        reason.reasons = vec![Reason::new(greenroom_domain::refusal::ReasonCode::Invalid, "x", "there is no x").remedy("see")];
        for problem in [detail, reason] {
            let failure = Failure::from(Box::new(problem));
            assert_eq!((failure.hints().collect::<Vec<_>>(), failure.more.detail.as_str()), (vec!["see"], ""));
        }
        let place = Failure::from(Box::new(Problem::new(Code::Invalid, "no").detail("in the query")));
        assert_eq!((place.hints().count(), place.more.detail.as_str()), (0, "in the query"));
        let key = Failure::from(Box::new(Problem::new(Code::Invalid, "the Idempotency-Key is not 1 to 200 visible characters").detail("send a UUID")));
        assert!(key.message.starts_with("the --key is not"));
    }

    #[test]
    fn every_code_has_its_exit() {
        let exit = |code| Failure::from(Box::new(Problem::new(code, "x"))).exit as u8;
        let mut problem = Problem::new(Code::Invalid, "two reasons");
        problem.excerpt = Some("here: one".to_owned());
        problem.reasons = ["one", "two"].map(|m| Reason::new(greenroom_domain::refusal::ReasonCode::Invalid, "x", m)).to_vec();
        assert_eq!(Failure::from(Box::new(problem)).more.reasons.iter().map(|r| r.message.as_str()).collect::<Vec<_>>(), ["two"]);
        assert_eq!(
            [Code::Invalid, Code::Refused, Code::NotFound, Code::Conflict, Code::AlreadyExists, Code::OutcomeUnknown, Code::Forbidden, Code::Starting, Code::Internal].map(exit),
            [2, 3, 4, 5, 5, 7, 8, 9, 10]
        );
    }
}
