//! *Is this feature released to this user?* Rules compile into a snapshot; a snapshot answers, with a reason.
//!
//! This crate does no I/O and knows neither clock, environment nor randomness: the same model and context give the same
//! answer everywhere, in the server, in a relay and inside an application. It runs in other people's processes, so it
//! does not panic and does not allocate while it answers.
//!
//! ```
//! use greenroom_exposure::{Attribute, Model, Pairs, Snapshot};
//!
//! let model: Model = serde_json::from_str(r#"{
//!     "format": "greenroom/snapshot/1", "environment": "production", "revision": 42,
//!     "features": {"new-checkout": {
//!         "type": "boolean", "variants": {"on": true, "off": false}, "off": "off", "default": "off",
//!         "claims": [{
//!             "name": "autumn", "release": "autumn", "then": {"variant": "on"},
//!             "when": [{"attribute": "plan", "op": "in", "values": ["gold"]}]
//!         }]
//!     }}
//! }"#)?;
//! let (snapshot, warnings) = Snapshot::compile(&model);
//! assert!(warnings.is_empty());
//!
//! let caller = Pairs { targeting_key: Some("user-1"), attributes: &[("plan", Attribute::Text("gold"))] };
//! let answer = snapshot.evaluate("new-checkout", &caller).expect("the feature exists");
//! assert_eq!((answer.variant(), answer.release()), ("on", Some("autumn")));
//! # Ok::<(), serde_json::Error>(())
//! ```

#![deny(missing_debug_implementations)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unreachable))]

mod bucket;
mod capability;
mod compile;
mod context;
mod counters;
mod evaluate;
mod explain;
mod fold;
mod hash;
pub mod import;
mod instant;
pub mod model;
mod program;
mod snapshot;
mod source;
mod table;
mod version;
pub mod wire;

pub use bucket::bucket;
pub use capability::{Capability, Evaluated, Protocol, capabilities};
pub use compile::Warning;
pub use context::{Anonymous, Attribute, Context, Json, Pairs};
pub use counters::{Board, Counted, Counters};
pub use evaluate::{Answer, INVALID, Reason, Why};
pub use explain::{Explained, Explanation, Step};
pub use model::{Change, Model};
pub use snapshot::{BINARY_FORMAT, Handle, Snapshot, Unreadable};
