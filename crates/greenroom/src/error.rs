//! Why a command did not do what was asked: exit code, words, every reason, and what to do next.

use std::fmt;

use greenroom_api::client;
use greenroom_api::manifest::Place;
use greenroom_api::problem::{Code, Problem};
use greenroom_domain::refusal::Reason;

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
    /// Where it stands: a place in a file or a request.
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
        // the server's own advice is better than ours
        let advised = !problem.detail.is_empty() || problem.reasons.iter().any(|r| !r.remedy.is_empty());
        let hint = hint.filter(|_| !advised || problem.code == Code::IdempotencyKeyReused);
        // the excerpt says those that have a place in a file
        let mut reasons = problem.reasons.clone();
        if let Some(excerpt) = &problem.excerpt {
            reasons.retain(|r| !excerpt.contains(&r.message));
        }
        let message = match (problem.code, problem.reasons.len()) {
            (Code::Refused, many @ 2..) => format!("refused, for {many} reasons"),
            (Code::Invalid, many @ 2..) if problem.title == format!("{many} reasons") => format!("{many} things are wrong"),
            _ => problem.title.clone(),
        };
        let more = More { detail: problem.detail.clone(), excerpt: problem.excerpt.clone(), reasons, hints: hint.into_iter().map(str::to_owned).collect(), problem: None };
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
            client::Error::Unreadable { .. } => Self::new(Exit::Internal, error.to_string()).hint("is that a Greenroom server, and of this version?"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
