//! Problems (RFC 9457): one document for every no, with a stable code and every reason.

use greenroom_domain::refusal::{Reason, Refusal, RefusalKind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Stable codes of problems, each with one HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    Invalid,
    Unauthenticated,
    Forbidden,
    NotFound,
    AlreadyExists,
    Conflict,
    Refused,
    IdempotencyKeyReused,
    TooLarge,
    RateLimited,
    NotCaughtUp,
    OutcomeUnknown,
    StorageUnavailable,
    Starting,
    Internal,
}

impl Code {
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Invalid => 400,
            Self::Unauthenticated => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::AlreadyExists | Self::Conflict | Self::Refused => 409,
            Self::TooLarge => 413,
            Self::IdempotencyKeyReused => 422,
            Self::RateLimited => 429,
            Self::NotCaughtUp | Self::OutcomeUnknown | Self::StorageUnavailable | Self::Starting => 503,
            Self::Internal => 500,
        }
    }

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not-found",
            Self::AlreadyExists => "already-exists",
            Self::Conflict => "conflict",
            Self::Refused => "refused",
            Self::IdempotencyKeyReused => "idempotency-key-reused",
            Self::TooLarge => "too-large",
            Self::RateLimited => "rate-limited",
            Self::NotCaughtUp => "not-caught-up",
            Self::OutcomeUnknown => "outcome-unknown",
            Self::StorageUnavailable => "storage-unavailable",
            Self::Starting => "starting",
            Self::Internal => "internal",
        }
    }
}

/// A problem document, `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// `/problems/<code>`.
    pub r#type: String,
    pub title: String,
    pub status: u16,
    pub code: Code,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// Every reason, not only the first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<Reason>,
    /// A marked piece of the manifest that a person can look at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excerpt: Option<String>,
}

impl Problem {
    #[must_use]
    pub fn new(code: Code, title: impl Into<String>) -> Self {
        Self { r#type: format!("/problems/{}", code.as_str()), title: title.into(), status: code.status(), code, detail: String::new(), reasons: Vec::new(), excerpt: None }
    }

    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal.kind {
            RefusalKind::Invalid => Code::Invalid,
            RefusalKind::NotFound => Code::NotFound,
            RefusalKind::AlreadyExists => Code::AlreadyExists,
            RefusalKind::Conflict => Code::Conflict,
            RefusalKind::Refused => Code::Refused,
            RefusalKind::Forbidden => Code::Forbidden,
        };
        let title = match refusal.reasons.as_slice() {
            [one] => one.message.clone(),
            many => format!("{} reasons", many.len()),
        };
        Self { reasons: refusal.reasons, ..Self::new(code, title) }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.title)
    }
}

impl std::error::Error for Problem {}
