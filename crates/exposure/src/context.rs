//! Who is asking. Evaluation borrows what it needs, so any request or struct can be a context without being copied.

use serde_json::{Map, Value};

use crate::hash::same;
use crate::model::TARGETING_KEY;

/// The caller's targeting key and attributes. A null attribute counts as absent.
pub trait Context {
    /// Identifies the caller for shares and splits; an empty one counts as none.
    fn targeting_key(&self) -> Option<&str>;

    /// Anything but [`TARGETING_KEY`], which is asked for by [`Self::targeting_key`].
    fn attribute(&self, name: &str) -> Option<Attribute<'_>>;
}

/// One attribute, borrowed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Attribute<'a> {
    Text(&'a str),
    Number(f64),
    Boolean(bool),
    /// A list or an object: present, and equal to nothing.
    Compound,
}

impl<'a> Attribute<'a> {
    /// `None` for null.
    #[must_use]
    pub fn from_json(value: &'a Value) -> Option<Self> {
        match value {
            Value::Null => None,
            Value::Bool(value) => Some(Self::Boolean(*value)),
            Value::Number(value) => value.as_f64().map(Self::Number),
            Value::String(value) => Some(Self::Text(value)),
            Value::Array(_) | Value::Object(_) => Some(Self::Compound),
        }
    }
}

/// Nobody in particular.
#[derive(Debug, Clone, Copy, Default)]
pub struct Anonymous;

impl Context for Anonymous {
    fn targeting_key(&self) -> Option<&str> {
        None
    }

    fn attribute(&self, _name: &str) -> Option<Attribute<'_>> {
        None
    }
}

/// A parsed JSON object, as OpenFeature lays a context out: `targetingKey` among the attributes.
#[derive(Debug, Clone, Copy)]
pub struct Json<'a>(pub &'a Map<String, Value>);

impl Context for Json<'_> {
    #[inline]
    fn targeting_key(&self) -> Option<&str> {
        self.0.get(TARGETING_KEY)?.as_str()
    }

    #[inline]
    fn attribute(&self, name: &str) -> Option<Attribute<'_>> {
        Attribute::from_json(self.0.get(name)?)
    }
}

/// A handful of attributes on the stack; the first of a name counts.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pairs<'a> {
    pub targeting_key: Option<&'a str>,
    pub attributes: &'a [(&'a str, Attribute<'a>)],
}

impl Context for Pairs<'_> {
    #[inline]
    fn targeting_key(&self) -> Option<&str> {
        self.targeting_key
    }

    #[inline]
    fn attribute(&self, name: &str) -> Option<Attribute<'_>> {
        self.attributes.iter().find(|(other, _)| same(other, name)).map(|(_, value)| *value)
    }
}

impl<C: Context + ?Sized> Context for &C {
    #[inline]
    fn targeting_key(&self) -> Option<&str> {
        (**self).targeting_key()
    }

    #[inline]
    fn attribute(&self, name: &str) -> Option<Attribute<'_>> {
        (**self).attribute(name)
    }
}
