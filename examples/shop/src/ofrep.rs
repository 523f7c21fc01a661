//! Is this feature released to this user? Asked over OFREP, with a short wait and a safe answer when nobody replies.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

/// Longer than this and the page goes out with the last known answer.
const PATIENCE: Duration = Duration::from_millis(300);
/// Users whose last answer is kept; beyond it all are forgotten, which is safe.
const REMEMBERED: usize = 10_000;

/// Asks one control plane (or relay) for one application.
#[derive(Debug)]
pub struct Features {
    http: reqwest::Client,
    /// Base URL of the control plane; `None` means every feature is off.
    control: Option<String>,
    service: &'static str,
    version: String,
    token: Token,
    last_known: Mutex<HashMap<(String, String), bool>>,
}

/// Where the SDK token comes from; a file is read again on every question, so that a rotated token needs no restart.
#[derive(Debug)]
pub enum Token {
    Value(String),
    File(PathBuf),
    Absent,
}

impl Token {
    /// `SHOP_OFREP_TOKEN`, else the file named by `SHOP_OFREP_TOKEN_FILE`.
    #[must_use]
    pub fn from_env() -> Self {
        let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        match (set("SHOP_OFREP_TOKEN"), set("SHOP_OFREP_TOKEN_FILE")) {
            (Some(value), _) => Self::Value(value),
            (None, Some(path)) => Self::File(path.into()),
            (None, None) => Self::Absent,
        }
    }

    async fn read(&self) -> Option<String> {
        match self {
            Self::Value(value) => Some(value.clone()),
            Self::File(path) => tokio::fs::read_to_string(path).await.ok().map(|text| text.trim().to_owned()),
            Self::Absent => None,
        }
    }
}

#[derive(Deserialize)]
struct Evaluation {
    value: Option<bool>,
}

impl Features {
    #[must_use]
    pub fn new(http: reqwest::Client, control: Option<String>, service: &'static str, version: String, token: Token) -> Self {
        Self { http, control, service, version, token, last_known: Mutex::default() }
    }

    /// The answer for `user` now; without one, the last known; without that, `false`.
    pub async fn is_on(&self, feature: &str, user: &str) -> bool {
        let key = (feature.to_owned(), user.to_owned());
        let answer = tokio::time::timeout(PATIENCE, self.ask(feature, user)).await.ok().flatten();
        let mut known = self.last_known.lock().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Some(on) => {
                if known.len() >= REMEMBERED {
                    known.clear();
                }
                known.insert(key, on);
                on
            }
            None => known.get(&key).copied().unwrap_or(false),
        }
    }

    /// `None` means nobody could say.
    async fn ask(&self, feature: &str, user: &str) -> Option<bool> {
        let url = format!("{}/ofrep/v1/evaluate/flags/{feature}", self.control.as_ref()?);
        let mut context = json!({ "app.service": self.service, "app.version": self.version });
        if !user.is_empty() {
            context["targetingKey"] = user.into();
        }
        if user.contains('@') {
            context["email"] = user.into();
        }
        let mut request = self.http.post(url).json(&json!({ "context": context }));
        if let Some(token) = self.token.read().await {
            request = request.bearer_auth(token);
        }
        let response = request.send().await.ok()?;
        match response.status().as_u16() {
            200 => response.json::<Evaluation>().await.ok()?.value,
            // The feature is not known there: that is an answer.
            404 => Some(false),
            _ => None,
        }
    }
}
