//! What an application says about itself and whom it follows.

use std::path::PathBuf;

use greenroom_exposure::wire::follow::is_name;
use greenroom_follow::{NoKey, NoUpstream, Pace, Upstream, instance};

use crate::caller::Build;

/// What [`crate::Greenroom::connect`] needs to know.
#[derive(Debug, Clone)]
pub struct Options {
    pub(crate) url: String,
    pub(crate) authorities: Option<PathBuf>,
    pub(crate) token: Secret,
    pub(crate) key: String,
    pub(crate) environment: Option<String>,
    pub(crate) build: Option<Build>,
    pub(crate) copy: Option<PathBuf>,
    pub(crate) instance: Option<String>,
    pub(crate) pace: Pace,
}

/// Not shown where options are printed.
#[derive(Clone)]
pub(crate) struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

/// What was said cannot be right.
#[derive(Debug, thiserror::Error)]
pub enum Invalid {
    #[error(transparent)]
    Upstream(#[from] NoUpstream),
    #[error(transparent)]
    Key(#[from] NoKey),
    #[error("`{0}` is no name of an instance: up to 100 letters, digits, `-`, `.` and `_`")]
    Instance(String),
    #[error("`{0}` cannot stand in a build's name")]
    Build(String),
}

impl Options {
    /// `url` of a control plane or a relay, an SDK token, and the public key of the control plane as `GET /api/v1/keys`
    /// shows it: pin it, do not fetch it.
    #[must_use]
    pub fn new(url: impl Into<String>, token: impl Into<String>, key: impl Into<String>) -> Self {
        Self { url: url.into(), authorities: None, token: Secret(token.into()), key: key.into(), environment: None, build: None, copy: None, instance: None, pace: Pace::default() }
    }

    /// A file of certificates in PEM form that the one of `https://…` is checked against, instead of those that the machine believes.
    #[must_use]
    pub fn authorities(mut self, file: impl Into<PathBuf>) -> Self {
        self.authorities = Some(file.into());
        self
    }

    /// The build that this process runs. Rules see it as `app.service` and `app.version`, reports name it.
    #[must_use]
    pub fn build(mut self, service: impl Into<String>, version: impl Into<String>) -> Self {
        self.build = Some(Build { service: service.into(), version: version.into(), component: None });
        self
    }

    /// Which component of the build: `app.component`.
    #[must_use]
    pub fn component(mut self, component: impl Into<String>) -> Self {
        if let Some(build) = &mut self.build {
            build.component = Some(component.into());
        }
        self
    }

    /// The file in which the last snapshot is kept, so that a start with nobody to follow gives the last answers. Its directory is
    /// there and belongs to this process alone.
    #[must_use]
    pub fn copy(mut self, file: impl Into<PathBuf>) -> Self {
        self.copy = Some(file.into());
        self
    }

    /// Refuses every other environment, whatever the token names.
    #[must_use]
    pub fn environment(mut self, name: impl Into<String>) -> Self {
        self.environment = Some(name.into());
        self
    }

    /// What this process is called where the control plane lists who lags behind. It is new for each process; unless
    /// given, made of the service's name and chance.
    #[must_use]
    pub fn instance(mut self, name: impl Into<String>) -> Self {
        self.instance = Some(name.into());
        self
    }

    #[must_use]
    pub const fn pace(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }

    pub(crate) fn upstream(&self) -> Result<Upstream, Invalid> {
        let service = self.build.as_ref().map_or("app", |build| &build.service);
        let instance = self.instance.clone().unwrap_or_else(|| instance(service));
        if !is_name(&instance) {
            return Err(Invalid::Instance(instance));
        }
        if let Some(build) = &self.build {
            let whole = build.label();
            if build.service.is_empty() || build.version.is_empty() || build.service.contains('@') || whole.len() > 200 {
                return Err(Invalid::Build(whole));
            }
        }
        let environment = self.environment.as_deref().map(Into::into);
        Ok(Upstream {
            url: self.url.clone(),
            authorities: self.authorities.clone(),
            token: self.token.0.clone(),
            key: self.key.parse()?,
            environment,
            instance,
            relay: None,
            pace: self.pace,
        })
    }
}
