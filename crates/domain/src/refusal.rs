//! Refusals: every reason at once, each with a code machines branch on and a remedy people can act on.

use std::borrow::Cow;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::time::At;

/// What kind of no it is; decides the problem document and the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalKind {
    Invalid,
    NotFound,
    AlreadyExists,
    Conflict,
    Refused,
    Forbidden,
}

/// Stable codes of reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ReasonCode {
    Invalid,
    UnknownReference,
    NotFound,
    AlreadyExists,
    StillReferenced,
    Cycle,
    AddressTaken,
    ReadByLiveBuild,
    DigestDiffers,
    NotEligible,
    Quarantined,
    Evidence,
    Soak,
    DataRefresh,
    Decision,
    DecisionMissing,
    DecisionNoGo,
    Separation,
    Hold,
    Requires,
    Schema,
    Provenance,
    Busy,
    Earlier,
    NoRecipe,
    NoPreviousBuild,
    WouldUnmet,
    NotReleased,
    NeedUnmet,
    NeedUnknown,
    NeedStale,
    Withdrawal,
    WrongState,
    ConfirmRequired,
    VariantConflict,
    InThePast,
    Shrinks,
    LastAdmin,
    Scope,
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::String(code)) => f.pad(&code),
            _ => f.pad("invalid"),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reason {
    pub code: ReasonCode,
    /// What it is about: `environment/production`, `service/shop-web`.
    pub subject: String,
    pub message: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub remedy: String,
    /// When it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<At>,
    /// Place in the manifest set that it is about, for example `features/checkout` and `spec.variants`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

impl Reason {
    #[must_use]
    pub fn new(code: ReasonCode, subject: impl fmt::Display, message: impl Into<String>) -> Self {
        Self { code, subject: subject.to_string(), message: message.into(), remedy: String::new(), until: None, path: None }
    }
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = remedy.into();
        self
    }
    #[must_use]
    pub const fn until(mut self, until: At) -> Self {
        self.until = Some(until);
        self
    }
    #[must_use]
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }
}

/// `text` as one types it for a shell, in a remedy that names a command: as it is, or in quotes.
#[must_use]
pub fn argument(text: &str) -> Cow<'_, str> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'/' | b':' | b'@' | b'%' | b'+' | b',');
    if !text.is_empty() && text.bytes().all(plain) { text.into() } else { format!("'{}'", text.replace('\'', "'\\''")).into() }
}

/// Why a command changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub kind: RefusalKind,
    pub reasons: Vec<Reason>,
}

/// How to see what there is of a kind, where there is a list of it.
#[must_use]
pub fn where_listed(kind: &str) -> Option<String> {
    let listed = matches!(kind, "build" | "check" | "deployment" | "environment" | "feature" | "hold" | "person" | "release" | "service" | "token");
    listed.then(|| format!("see what there is: greenroom {kind} list"))
}

impl Refusal {
    #[must_use]
    pub fn one(kind: RefusalKind, reason: Reason) -> Self {
        Self { kind, reasons: vec![reason] }
    }
    #[must_use]
    pub fn not_found(kind: &str, name: impl fmt::Display) -> Self {
        let reason = Reason::new(ReasonCode::NotFound, format_args!("{kind}/{name}"), format!("there is no {kind} `{name}`"));
        Self::one(RefusalKind::NotFound, reason.remedy(where_listed(kind).unwrap_or_default()))
    }
    #[must_use]
    pub fn invalid(subject: impl fmt::Display, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::one(RefusalKind::Invalid, Reason::new(ReasonCode::Invalid, subject, message).remedy(remedy))
    }
    #[must_use]
    pub fn conflict(code: ReasonCode, subject: impl fmt::Display, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::one(RefusalKind::Conflict, Reason::new(code, subject, message).remedy(remedy))
    }
    /// `Ok` without reasons, else a refusal of `kind` with all of them.
    pub fn unless_empty(kind: RefusalKind, reasons: Vec<Reason>) -> Result<(), Self> {
        if reasons.is_empty() { Ok(()) } else { Err(Self { kind, reasons }) }
    }
}

#[cfg(test)]
mod tests {
    use super::argument;

    #[test]
    fn a_remedy_can_be_typed_as_it_stands() {
        assert_eq!(argument("Team/checkout:v2"), "Team/checkout:v2");
        assert_eq!(argument("my flag"), "'my flag'");
        assert_eq!(argument("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(argument("你好"), "'你好'");
    }
}
