//! `google.protobuf.Struct`: JSON as a protocol message, and a caller's context in that form.

use std::collections::BTreeMap;

use greenroom_exposure::model::TARGETING_KEY;
use greenroom_exposure::{Attribute, Context};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value as Json};
use tonic::Status;

/// Beyond it, whole numbers are no longer told apart.
const EXACT: f64 = 9_007_199_254_740_991.0;

#[derive(Clone, PartialEq, prost::Message)]
pub struct Struct {
    #[prost(btree_map = "string, message", tag = "1")]
    pub fields: BTreeMap<String, Value>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Value {
    #[prost(oneof = "Kind", tags = "1, 2, 3, 4, 5, 6")]
    pub kind: Option<Kind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Kind {
    /// An enumeration with one name, on the wire a number.
    #[prost(int32, tag = "1")]
    Null(i32),
    #[prost(double, tag = "2")]
    Number(f64),
    #[prost(string, tag = "3")]
    Text(String),
    #[prost(bool, tag = "4")]
    Boolean(bool),
    #[prost(message, tag = "5")]
    Struct(Struct),
    #[prost(message, tag = "6")]
    List(List),
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct List {
    #[prost(message, repeated, tag = "1")]
    pub values: Vec<Value>,
}

impl Struct {
    pub fn put(&mut self, name: &str, kind: impl Into<Kind>) {
        self.fields.insert(name.to_owned(), Value { kind: Some(kind.into()) });
    }
}

impl From<&str> for Kind {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<f64> for Kind {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<Struct> for Kind {
    fn from(fields: Struct) -> Self {
        Self::Struct(fields)
    }
}

impl From<&Map<String, Json>> for Struct {
    fn from(object: &Map<String, Json>) -> Self {
        Self { fields: object.iter().map(|(name, value)| (name.clone(), value.into())).collect() }
    }
}

impl From<&Json> for Value {
    fn from(value: &Json) -> Self {
        let kind = match value {
            Json::Null => Kind::Null(0),
            Json::Bool(value) => Kind::Boolean(*value),
            Json::Number(value) => Kind::Number(value.as_f64().unwrap_or_default()),
            Json::String(value) => Kind::Text(value.clone()),
            Json::Array(values) => Kind::List(List { values: values.iter().map(Self::from).collect() }),
            Json::Object(object) => Kind::Struct(object.into()),
        };
        Self { kind: Some(kind) }
    }
}

impl From<&Value> for Json {
    fn from(value: &Value) -> Self {
        match &value.kind {
            None | Some(Kind::Null(_)) => Self::Null,
            Some(Kind::Number(number)) if number.trunc() == *number && number.abs() <= EXACT => Self::from(*number as i64),
            Some(Kind::Number(number)) => Self::from(*number),
            Some(Kind::Text(text)) => Self::from(text.as_str()),
            Some(Kind::Boolean(value)) => Self::from(*value),
            Some(Kind::Struct(fields)) => fields.into(),
            Some(Kind::List(list)) => list.values.iter().map(Self::from).collect(),
        }
    }
}

impl From<&Struct> for Json {
    fn from(fields: &Struct) -> Self {
        fields.fields.iter().map(|(name, value)| (name.clone(), Self::from(value))).collect()
    }
}

impl Serialize for Struct {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Json::from(self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Struct {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Map::deserialize(deserializer).map(|object| Self::from(&object))
    }
}

/// Who is asking.
pub(super) struct Caller(Struct);

impl Caller {
    /// # Errors
    /// If the targeting key is not text, or a number cannot be held exactly.
    pub fn new(context: Option<Struct>) -> Result<Self, Status> {
        let context = context.unwrap_or_default();
        for (name, value) in &context.fields {
            match &value.kind {
                Some(Kind::Number(number)) if number.is_nan() => return Err(Status::failed_precondition(format!("`{name}` is not a number"))),
                Some(Kind::Number(number)) if name != TARGETING_KEY && number.abs() > EXACT => {
                    return Err(Status::failed_precondition(format!("`{name}` is a number beyond ±(2^53 − 1), which cannot be held exactly: send it as a text")));
                }
                None | Some(Kind::Null(_) | Kind::Text(_)) => {}
                _ if name == TARGETING_KEY => return Err(Status::failed_precondition(format!("`{TARGETING_KEY}` is not a text"))),
                _ => {}
            }
        }
        Ok(Self(context))
    }
}

impl Context for Caller {
    fn targeting_key(&self) -> Option<&str> {
        match self.attribute(TARGETING_KEY)? {
            Attribute::Text(key) => Some(key),
            _ => None,
        }
    }

    fn attribute(&self, name: &str) -> Option<Attribute<'_>> {
        match self.0.fields.get(name)?.kind.as_ref()? {
            Kind::Null(_) => None,
            Kind::Number(number) => Some(Attribute::Number(*number)),
            Kind::Text(text) => Some(Attribute::Text(text)),
            Kind::Boolean(value) => Some(Attribute::Boolean(*value)),
            Kind::Struct(_) | Kind::List(_) => Some(Attribute::Compound),
        }
    }
}
