//! Who may evaluate where: supplied by whoever serves.

use std::sync::Arc;

/// What a token allows: one environment. `id` tells tokens apart without being secret.
#[derive(Debug, Clone)]
pub struct Scope {
    pub environment: Arc<str>,
    pub id: Arc<str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    Unauthenticated,
    Forbidden,
}

/// Knows tokens.
pub trait Gate: Send + Sync + 'static {
    /// The scope of what was presented as `Authorization` (without `Bearer`) or `X-API-Key`.
    ///
    /// # Errors
    /// When nothing, or nothing valid for evaluation, was presented.
    fn scope(&self, presented: Option<&str>) -> Result<Scope, Denied>;
}
