//! The messages of `flagd.evaluation.v1`, `flagd.evaluation.v2` and `flagd.sync.v1`, field by field as the descriptors in
//! flagd's published packages number them.
//!
//! Written by hand, so that no compiler of protocol files takes part in a build. One set serves both versions of the
//! evaluation service: v2 only says of value and variant that they may be absent, and we always send both. The same
//! types are read and written as JSON, as `protojson` would.

use bytes::Bytes;
use greenroom_exposure::model::ValueType;
use serde::{Deserialize, Serialize, Serializer};

use super::value::Struct;

/// `Resolve…Request`.
#[derive(Clone, PartialEq, prost::Message, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ask {
    #[prost(string, tag = "1")]
    #[serde(default, alias = "flag_key")]
    pub flag_key: String,
    #[prost(message, optional, tag = "2")]
    #[serde(default)]
    pub context: Option<Struct>,
}

/// `ResolveAllRequest`.
#[derive(Clone, PartialEq, prost::Message, Deserialize)]
pub struct AskAll {
    #[prost(message, optional, tag = "1")]
    #[serde(default)]
    pub context: Option<Struct>,
}

/// What every answer says beside its value.
pub(super) struct Why {
    pub reason: String,
    pub variant: String,
    pub metadata: Struct,
}

/// One of the five `Resolve…Response`.
pub(super) trait Reply: prost::Message + Serialize + Default + 'static {
    /// What the caller asked for, in our words.
    const ASKED: &str;

    /// `None` if a feature of this type cannot be answered so.
    fn new(of: ValueType, value: &serde_json::Value, why: Why) -> Option<Self>;
}

macro_rules! reply {
    ($name:ident, $rust:ty, $proto:ident, $asked:literal, $types:pat, $read:expr, $json:literal) => {
        #[derive(Clone, PartialEq, prost::Message, Serialize)]
        pub struct $name {
            #[prost($proto, optional, tag = "1")]
            #[serde(serialize_with = $json)]
            pub value: Option<$rust>,
            #[prost(string, tag = "2")]
            pub reason: String,
            #[prost(string, optional, tag = "3")]
            pub variant: Option<String>,
            #[prost(message, optional, tag = "4")]
            pub metadata: Option<Struct>,
        }

        impl Reply for $name {
            const ASKED: &str = $asked;

            fn new(of: ValueType, value: &serde_json::Value, why: Why) -> Option<Self> {
                let read: fn(&serde_json::Value) -> Option<$rust> = $read;
                let value = if matches!(of, $types) { read(value) } else { None };
                let Why { reason, variant, metadata } = why;
                Some(Self { value: Some(value?), reason, variant: Some(variant), metadata: Some(metadata) })
            }
        }
    };
}

reply!(BooleanReply, bool, bool, "a boolean", ValueType::Boolean, serde_json::Value::as_bool, "Serialize::serialize");
reply!(StringReply, String, string, "a string", ValueType::String, |value| value.as_str().map(str::to_owned), "Serialize::serialize");
reply!(IntegerReply, i64, int64, "an integer", ValueType::Integer, serde_json::Value::as_i64, "as_text");
// JavaScript knows one kind of number, and asks for floats only
reply!(FloatReply, f64, double, "a float", ValueType::Float | ValueType::Integer, serde_json::Value::as_f64, "Serialize::serialize");
reply!(ObjectReply, Struct, message, "an object", ValueType::Object, |value| value.as_object().map(Struct::from), "Serialize::serialize");

/// JSON's numbers do not hold 64 bits, so `protojson` writes text.
#[expect(clippy::ref_option, reason = "the signature that serde asks for")]
fn as_text<S: Serializer>(value: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
    value.map(|value| value.to_string()).serialize(serializer)
}

/// `ResolveAllResponse`.
#[derive(Clone, PartialEq, prost::Message, Serialize)]
pub struct ReplyToAll {
    #[prost(btree_map = "string, message", tag = "1")]
    pub flags: std::collections::BTreeMap<String, AnyFlag>,
    #[prost(message, optional, tag = "2")]
    pub metadata: Option<Struct>,
}

/// A feature of whatever type; integers travel as doubles.
#[derive(Clone, PartialEq, prost::Message, Serialize)]
pub struct AnyFlag {
    #[prost(string, tag = "1")]
    pub reason: String,
    #[prost(string, tag = "2")]
    pub variant: String,
    #[prost(oneof = "AnyValue", tags = "3, 4, 5, 6")]
    #[serde(flatten)]
    pub value: Option<AnyValue>,
    #[prost(message, optional, tag = "7")]
    pub metadata: Option<Struct>,
}

#[derive(Clone, PartialEq, prost::Oneof, Serialize)]
pub enum AnyValue {
    #[prost(bool, tag = "3")]
    #[serde(rename = "boolValue")]
    Boolean(bool),
    #[prost(string, tag = "4")]
    #[serde(rename = "stringValue")]
    String(String),
    #[prost(double, tag = "5")]
    #[serde(rename = "doubleValue")]
    Double(f64),
    #[prost(message, tag = "6")]
    #[serde(rename = "objectValue")]
    Object(Struct),
}

/// `EventStreamRequest`.
#[derive(Clone, PartialEq, prost::Message, Deserialize)]
pub struct Listen {}

/// `EventStreamResponse`.
#[derive(Clone, PartialEq, prost::Message, Serialize)]
pub struct Event {
    #[prost(string, tag = "1")]
    pub r#type: String,
    /// An encoded [`Struct`], which all streams share: on the wire a message and bytes are the same.
    #[prost(bytes = "bytes", tag = "2")]
    #[serde(serialize_with = "as_struct")]
    pub data: Bytes,
}

fn as_struct<S: Serializer>(data: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    <Struct as prost::Message>::decode(data.clone()).unwrap_or_default().serialize(serializer)
}

/// `SyncFlagsRequest` and `FetchAllFlagsRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AskDefinitions {
    #[prost(string, tag = "1")]
    pub provider_id: String,
    /// From providers that do not send it as metadata yet.
    #[prost(string, tag = "2")]
    pub selector: String,
}

/// `SyncFlagsResponse` and `FetchAllFlagsResponse`, which has the first field only.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Definitions {
    #[prost(string, tag = "1")]
    pub flag_configuration: String,
    #[prost(message, optional, tag = "2")]
    pub sync_context: Option<Struct>,
}

/// `GetMetadataRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AskMetadata {}

/// `GetMetadataResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Metadata {
    #[prost(message, optional, tag = "2")]
    pub metadata: Option<Struct>,
}
