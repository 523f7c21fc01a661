//! Every endpoint of the control plane as a value: what is asked and what comes back.

use std::marker::PhantomData;
use std::time::Duration;

use greenroom_domain::deployment::build::BuildSpec;
use greenroom_domain::id::{AttributeName, Digest, FeatureKey, Name, PersonId, RolloutId, TokenId, Version};
use http::Method;
use serde::Serialize;
use serde_json::Value;

use crate::requests::{
    AddPerson, Adopt, ApplyManifests, ClearBuild, CreateToken, Decide, Deploy, Erase, KillFeature, Login, Nothing, OnRelease, PlanRelease, RecordCheck, RestoreFeature, Rollback,
    SetBaseline, SetHold, SetPassword, SetPreset, SetRoles, Setup,
};
use crate::views::{
    Board, Build, Check, Dark, Decision, Deployment, Done, Environment, Erased, Event, Explained, Feature, Hold, Keys, ManifestPlan, Page, Person, Release, Service, SignedIn,
    Token, TokenCreated, Verified, WhoAmI,
};

/// A request whose answer is a `T`.
#[derive(Debug)]
pub struct Call<T> {
    pub(super) method: Method,
    pub(super) path: Vec<String>,
    pub(super) query: Vec<(String, String)>,
    pub(super) body: Option<Value>,
    pub(super) dry: bool,
    pub(super) patience: Option<Duration>,
    answer: PhantomData<fn() -> T>,
}

impl<T> Clone for Call<T> {
    fn clone(&self) -> Self {
        Self {
            method: self.method.clone(),
            path: self.path.clone(),
            query: self.query.clone(),
            body: self.body.clone(),
            dry: self.dry,
            patience: self.patience,
            answer: PhantomData,
        }
    }
}

impl<T> Call<T> {
    /// A request that has no constructor here.
    #[must_use]
    pub fn new(method: Method, path: Vec<String>, body: Option<Value>) -> Self {
        Self { method, path, query: Vec::new(), body, dry: false, patience: None, answer: PhantomData }
    }

    /// Adds to the query.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "numbers and names alike read better without a borrow")]
    pub fn query(mut self, key: &str, value: impl ToString) -> Self {
        self.query.push((key.to_owned(), value.to_string()));
        self
    }

    /// Adds to the query what is there.
    #[must_use]
    pub fn maybe(self, key: &str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.query(key, value),
            None => self,
        }
    }

    /// Shows what would happen; changes nothing.
    #[must_use]
    pub fn dry_run(mut self) -> Self {
        self.dry = true;
        self.query("dry_run", true)
    }

    /// The answer may take this long.
    #[must_use]
    pub const fn patience(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }

    /// The same request, its answer read as something else.
    #[must_use]
    pub fn answering<U>(self) -> Call<U> {
        Call { method: self.method, path: self.path, query: self.query, body: self.body, dry: self.dry, patience: self.patience, answer: PhantomData }
    }

    #[must_use]
    pub fn is_read(&self) -> bool {
        self.method == Method::GET
    }
}

/// Our own request types always have a JSON form: keys are text and numbers finite.
fn json(body: &impl Serialize) -> Value {
    serde_json::to_value(body).unwrap_or(Value::Null)
}

macro_rules! endpoints {
    ($($(#[$doc:meta])* $method:ident $name:ident($($arg:ident: $ty:ty),*) $([$body:ty])? ($($segment:expr),+) -> $out:ty;)*) => {
        $(
            $(#[$doc])*
            #[must_use]
            pub fn $name($($arg: $ty,)* $(body: &$body)?) -> Call<$out> {
                Call::new(Method::$method, vec![$($segment.to_string()),+], endpoints!(@body $(body as $body)?))
            }
        )*
    };
    (@body) => { None };
    (@body $body:ident as $ty:ty) => { Some(json($body)) };
}

endpoints! {
    POST setup()[Setup]("setup") -> SignedIn;
    POST login()[Login]("login") -> SignedIn;
    GET whoami()("whoami") -> WhoAmI;
    GET people()("people") -> Page<Person>;
    POST add_person()[AddPerson]("people") -> Person;
    PUT set_roles(id: PersonId)[SetRoles]("people", id, "roles") -> Person;
    PUT set_password(id: PersonId)[SetPassword]("people", id, "password") -> Done;
    DELETE remove_person(id: PersonId)("people", id) -> Done;
    PUT set_preset()[SetPreset]("preset") -> Done;
    GET tokens()("tokens") -> Page<Token>;
    POST create_token()[CreateToken]("tokens") -> TokenCreated;
    DELETE revoke_token(id: TokenId)("tokens", id) -> Done;
    PUT apply_manifests(set: &Name)[ApplyManifests]("manifests", set) -> ManifestPlan;
    POST import()[crate::requests::Import]("imports") -> crate::views::Import;
    GET environments()("environments") -> Page<Environment>;
    /// The canonical snapshot model.
    GET exposure(environment: &Name)("environments", environment, "exposure") -> Value;
    GET services()("services") -> Page<Service>;
    GET features()("features") -> Page<Feature>;
    GET feature(key: &FeatureKey)("features", key) -> Feature;
    GET attributes()("attributes") -> Page<crate::views::Attribute>;
    GET attribute(name: &AttributeName)("attributes", name) -> crate::views::Attribute;
    /// Query `days`, `stale`.
    GET usage()("usage") -> Page<crate::views::FeatureUsage>;
    GET feature_usage(key: &FeatureKey)("features", key, "usage") -> crate::views::FeatureUsage;
    POST kill_feature(key: &FeatureKey)[KillFeature]("features", key, "kill") -> Feature;
    POST restore_feature(key: &FeatureKey)[RestoreFeature]("features", key, "restore") -> Feature;
    PUT set_baseline(key: &FeatureKey)[SetBaseline]("features", key, "baseline") -> Feature;
    /// Newest first; query `service`.
    GET builds()("builds") -> Page<Build>;
    POST register_build()[BuildSpec]("builds") -> Build;
    GET build(service: &Name, version: &Version)("builds", service, version) -> Build;
    POST clear_build(service: &Name, version: &Version)[ClearBuild]("builds", service, version, "clear") -> Build;
    /// Newest first; query `environment`, `service`, `open`.
    GET deployments()("deployments") -> Page<Deployment>;
    POST deploy()[Deploy]("deployments") -> Deployment;
    /// By id or number.
    GET deployment(id: &str)("deployments", id) -> Deployment;
    POST cancel_deployment(id: &str)[Nothing]("deployments", id, "cancel") -> Deployment;
    POST rollback()[Rollback]("rollbacks") -> Deployment;
    POST abandon_rollout(id: RolloutId)[Nothing]("rollouts", id, "abandon") -> Deployment;
    POST adopt()[Adopt]("placements", "adopt") -> Done;
    /// Query `environment`, `service`.
    GET checks()("checks") -> Page<Check>;
    POST record_check()[RecordCheck]("checks") -> Check;
    /// Raw bytes: read with [`super::Client::bytes`].
    GET evidence(digest: &Digest)("evidence", digest) -> Value;
    GET releases()("releases") -> Page<Release>;
    PUT plan_release(name: &Name)[PlanRelease]("releases", name) -> Release;
    GET release(name: &Name)("releases", name) -> Release;
    POST start_release(name: &Name)[OnRelease]("releases", name, "start") -> Release;
    POST pause_release(name: &Name)[OnRelease]("releases", name, "pause") -> Release;
    POST resume_release(name: &Name)[OnRelease]("releases", name, "resume") -> Release;
    POST withdraw_release(name: &Name)[OnRelease]("releases", name, "withdraw") -> Release;
    POST close_release(name: &Name)[OnRelease]("releases", name, "close") -> Release;
    POST cancel_release(name: &Name)[OnRelease]("releases", name, "cancel") -> Release;
    POST decide()[Decide]("decisions") -> Decision;
    GET holds()("holds") -> Page<Hold>;
    POST set_hold()[SetHold]("holds") -> Hold;
    POST lift_hold(number: u64)[Nothing]("holds", number, "lift") -> Done;
    /// Query `environment`.
    GET board()("board") -> Board;
    GET dark()("dark") -> Page<Dark>;
    /// Query `feature`, `environment`, `for`, `context`, `at`.
    GET explain()("explain") -> Explained;
    /// Oldest first; query `after`, `subject`, `actor`.
    GET events()("events") -> Page<Event>;
    POST verify_ledger()[Nothing]("ledger", "verify") -> Verified;
    POST erase()[Erase]("erase") -> Erased;
    GET keys()("keys") -> Keys;
}
