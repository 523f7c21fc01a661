//! What followers and whoever they follow say to each other: signed snapshots, deltas, and reports of what was applied
//! and evaluated. Nothing here checks a signature; whoever follows does.

mod canonical;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub use self::canonical::{Canonical, Misfit, Text};
use crate::model::{AttributeType, Change, Cohort, Feature};

/// Where the signed snapshot is fetched.
pub const SNAPSHOT: &str = "/api/v1/snapshot";
/// Where it is followed.
pub const STREAM: &str = "/api/v1/snapshot/stream";
/// Where evaluators report.
pub const EVALUATORS: &str = "/api/v1/evaluators";
/// Where a relay asks who else may ask.
pub const TICKETS: &str = "/api/v1/relay/tokens";
/// The header by which a follower names its process, for as long as that lives: up to 100 letters, digits and `-._`.
pub const INSTANCE: &str = "greenroom-instance";
/// The longest name of an instance or a relay.
pub const LONGEST_NAME: usize = 100;

/// Whether an instance or a relay may be called so.
#[must_use]
pub fn is_name(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}

/// The header by which a relay that asks gives its name, and by which one that answers names those through whom its
/// answers have come, itself last, with commas between.
pub const RELAY: &str = "greenroom-relay";
/// So many relays at most stand between a control plane and who is answered.
pub const DEPTH: usize = 4;

/// Events of the stream whose data is `{"snapshot": …, "signature": …}`.
pub const SNAPSHOT_EVENT: &str = "snapshot";
/// Events of the stream whose data is a [`Delta`].
pub const DELTA_EVENT: &str = "delta";
/// Events of the stream whose data is a list of all that is [`Forced`] from now on. Only relays send them.
pub const FORCED_EVENT: &str = "forced";

/// A feature that someone has forced `off` at a relay, for whoever asks through it. Not signed: it shows nothing to anyone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Forced {
    pub feature: String,
    /// Seconds since 1970.
    pub until: u64,
    /// The relay at which it was.
    pub relay: String,
    pub reason: String,
}

/// A snapshot and the signature of its bytes as they stand: what is fetched, what an event of a whole carries, and what is
/// kept on disk.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signed<'a> {
    #[serde(borrow)]
    pub snapshot: &'a RawValue,
    /// Ed25519 (RFC 8032), base64.
    #[serde(borrow)]
    pub signature: Cow<'a, str>,
}

/// From the snapshot of one revision to that of the next. Applied to the right one, it gives exactly what `sig` signs.
///
/// Who passes on or checks has the parts as [`Text`], as they came; who compiles has them typed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, bound(deserialize = "A: Deserialize<'de>, C: Deserialize<'de>, F: Deserialize<'de>"))]
pub struct Delta<A = BTreeMap<String, AttributeType>, C = Arc<Cohort>, F = Arc<Feature>> {
    /// The revision that it is applied to.
    pub from: u64,
    pub to: u64,
    /// All declared attributes anew; absent leaves them as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attributes: Option<A>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub put_cohorts: BTreeMap<String, C>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drop_cohorts: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub put: BTreeMap<String, F>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drop: Vec<String>,
    /// Signature of the snapshot that results, base64.
    pub sig: String,
}

impl Delta {
    #[must_use]
    pub fn new(from: u64, change: Change, sig: String) -> Self {
        let Change { revision, attributes, put_cohorts, drop_cohorts, put, drop } = change;
        Self { from, to: revision, attributes, put_cohorts, drop_cohorts, put, drop, sig }
    }

    /// The change that it makes, and the signature of what results.
    #[must_use]
    pub fn into_change(self) -> (Change, String) {
        let Self { to, attributes, put_cohorts, drop_cohorts, put, drop, sig, .. } = self;
        (Change { revision: to, attributes, put_cohorts, drop_cohorts, put, drop }, sig)
    }
}

/// Body of a report: which revision an evaluator answers from, and what it has counted. Never anything about users.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// As in the header [`INSTANCE`].
    pub instance: String,
    /// `service@version` of the application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<String>,
    /// What it answers from now.
    pub revision: u64,
    /// What it has counted since the batch before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<Batch>,
    /// Of those behind it, if it is a relay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relayed: Option<Relayed>,
}

/// Counts that are taken once. A batch that was not answered comes again as it was, under the number that it had, and no
/// other comes before it is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// Larger than that of the instance's batch before.
    pub number: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub counts: Vec<Count>,
    /// Evaluations that it had no room to count.
    #[serde(default)]
    pub dropped: u64,
}

/// What a relay says of those who ask or follow through it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Relayed {
    pub in_contact: u64,
    /// Those of them that have the report's revision or a later one.
    pub acknowledged: u64,
    /// Those that have not, by name; at most a hundred.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub laggards: Vec<String>,
    /// What is forced off there, and at relays behind it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forced: Vec<Forced>,
}

/// Evaluations that gave one variant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Count {
    pub feature: String,
    pub variant: String,
    pub count: u64,
    /// `service@version` of whoever evaluated, where a relay reports for many; else it is the report's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<String>,
}

/// Whom a relay may let ask about the environment of its own token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tickets {
    pub environment: Arc<str>,
    pub tickets: Vec<Ticket>,
}

/// A token, by what its secret hashes to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ticket {
    /// `sha256:` and 64 digits.
    pub sha256: String,
    /// Names the token in logs and lists, without being it.
    pub id: Arc<str>,
    /// Seconds since 1970.
    pub expires: u64,
    /// Of a relay, which may itself ask who may ask.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub relay: bool,
    /// Of a page or app, which may ask and not follow.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub web: bool,
}
