//! Reading a caller's context out of a request body without copying it.

mod depth;

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use self::depth::Inside;
use crate::context::{Attribute, Context};
use crate::model::TARGETING_KEY;

/// The caller, as the body of a request describes them. Attributes are sorted by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Caller<'a> {
    targeting_key: Option<Cow<'a, str>>,
    attributes: Vec<(Cow<'a, str>, Given<'a>)>,
}

#[derive(Debug, Clone, PartialEq)]
enum Given<'a> {
    Null,
    Boolean(bool),
    Number(f64),
    Text(Cow<'a, str>),
    Compound,
    /// Lists and objects deeper inside one another than [`DEEPEST`].
    TooDeep,
}

/// So deep may lists and objects stand inside one another in an attribute.
pub const DEEPEST: usize = 64;

/// So many attributes are searched one by one.
const FEW: usize = 16;

/// Beyond it, whole numbers are no longer told apart: neighbours would get the same answer.
const EXACT: f64 = 9_007_199_254_740_991.0;

/// Why a body is not a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadRequest {
    /// It is not JSON, or not an object.
    Unreadable(String),
    /// Its context is not an object, or not the only one, or has a name twice, a targeting key that is not text, a number that
    /// cannot be held exactly, or lists and objects more than [`DEEPEST`] deep inside one another.
    InvalidContext(String),
}

/// Reads `{"context":{…}}`. Providers also send nothing, `{}`, an empty context or no targeting key; all of these are
/// callers.
///
/// # Errors
/// If the body is not a JSON object, or its context is not what a context may be.
pub fn read_request(body: &[u8]) -> Result<Caller<'_>, BadRequest> {
    if body.is_empty() {
        return Ok(Caller::default());
    }
    let request: Envelope<'_> = serde_json::from_slice(body).map_err(|error| BadRequest::Unreadable(error.to_string()))?;
    request.0.map_err(BadRequest::InvalidContext)
}

impl Caller<'_> {
    /// All that an answer can depend on, in a form that does not depend on how the request was written. What is inside
    /// a list or an object is left out, as no clause can see it.
    pub fn write_canonical(&self, out: &mut Vec<u8>) {
        let mut text = |tag: u8, text: &str| {
            out.push(tag);
            out.extend_from_slice(&(text.len() as u64).to_le_bytes());
            out.extend_from_slice(text.as_bytes());
        };
        if let Some(key) = &self.targeting_key {
            text(b'k', key);
        }
        for (name, given) in &self.attributes {
            match given {
                Given::Null => {}
                Given::Boolean(value) => text(if *value { b't' } else { b'f' }, name),
                Given::Compound | Given::TooDeep => text(b'c', name),
                Given::Number(number) => {
                    text(b'n', name);
                    // Zero has two signs and is one number.
                    text(b'=', &(number + 0.0).to_bits().to_string());
                }
                Given::Text(value) => {
                    text(b's', name);
                    text(b'=', value);
                }
            }
        }
    }
}

impl Context for Caller<'_> {
    fn targeting_key(&self) -> Option<&str> {
        self.targeting_key.as_deref()
    }

    fn attribute(&self, name: &str) -> Option<Attribute<'_>> {
        // They are sorted; a search pays once there are more of them than people send.
        let at = match self.attributes.len() {
            ..=FEW => self.attributes.iter().position(|(other, _)| *other == name),
            _ => self.attributes.binary_search_by(|(other, _)| other.as_ref().cmp(name)).ok(),
        };
        match &self.attributes.get(at?)?.1 {
            Given::Null => None,
            Given::Boolean(value) => Some(Attribute::Boolean(*value)),
            Given::Number(number) => Some(Attribute::Number(*number)),
            Given::Text(text) => Some(Attribute::Text(text)),
            Given::Compound | Given::TooDeep => Some(Attribute::Compound),
        }
    }
}

/// Readers of JSON differ in which of two they take, so whoever sends both cannot know what is answered.
fn twice(name: &str) -> String {
    format!("`{name}` is given twice")
}

/// A body that is a JSON object; its context may still be wrong.
struct Envelope<'a>(Result<Caller<'a>, String>);

impl<'de: 'a, 'a> Deserialize<'de> for Envelope<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EnvelopeVisitor)
    }
}

struct EnvelopeVisitor;

impl<'de> Visitor<'de> for EnvelopeVisitor {
    type Value = Envelope<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with a `context`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut caller = None;
        while let Some(Text(field)) = map.next_key()? {
            if field == "context" {
                let given = map.next_value::<MaybeCaller<'_>>()?.0;
                caller = Some(if caller.is_some() { Err(twice("context")) } else { given });
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(Envelope(caller.unwrap_or_else(|| Ok(Caller::default()))))
    }
}

struct MaybeCaller<'a>(Result<Caller<'a>, String>);

impl<'de: 'a, 'a> Deserialize<'de> for MaybeCaller<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CallerVisitor).map(Self)
    }
}

struct CallerVisitor;

impl CallerVisitor {
    fn refuse<'a>(what: &str) -> Result<Caller<'a>, String> {
        Err(format!("`context` is {what}, not an object"))
    }
}

impl<'de> Visitor<'de> for CallerVisitor {
    type Value = Result<Caller<'de>, String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a context")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut caller = Caller::default();
        let (mut keyed, mut refusal) = (false, None);
        while let Some((Text(name), given)) = map.next_entry::<Text<'de>, Given<'de>>()? {
            if name == TARGETING_KEY {
                if std::mem::replace(&mut keyed, true) {
                    refusal = Some(twice(TARGETING_KEY));
                }
                caller.targeting_key = match given {
                    Given::Text(key) => Some(key),
                    Given::Null => None,
                    _ => {
                        refusal = Some(format!("`{TARGETING_KEY}` is not a text"));
                        None
                    }
                };
            } else {
                match given {
                    Given::Number(number) if number.abs() > EXACT => {
                        refusal = Some(format!("`{name}` is a number beyond ±(2^53 − 1), which cannot be held exactly: send it as a text"));
                    }
                    Given::TooDeep => refusal = Some(format!("`{name}` has lists and objects more than {DEEPEST} deep inside one another")),
                    _ => {}
                }
                caller.attributes.push((name, given));
            }
        }
        caller.attributes.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        let mut neighbours = caller.attributes.iter().zip(caller.attributes.iter().skip(1));
        if let Some(((name, _), _)) = neighbours.find(|((one, _), (other, _))| one == other) {
            refusal = Some(twice(name));
        }
        Ok(refusal.map_or(Ok(caller), Err))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(Ok(Caller::default()))
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Self::refuse("a boolean"))
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Self::refuse("a number"))
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Self::refuse("a number"))
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Self::refuse("a number"))
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<Self::Value, E> {
        Ok(Self::refuse("a text"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Self::refuse("a list"))
    }
}

/// A string borrowed from the body unless it is written with escapes.
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Given<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct GivenVisitor;
        impl<'de> Visitor<'de> for GivenVisitor {
            type Value = Given<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
                Ok(Given::Null)
            }

            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Self::Value, E> {
                Ok(Given::Boolean(value))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
                Ok(Given::Number(number as f64))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
                Ok(Given::Number(number as f64))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Self::Value, E> {
                Ok(Given::Number(number))
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Given::Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Given::Text(Cow::Owned(text.to_owned())))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
                Inside(DEEPEST).visit_seq(seq).map(compound)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                Inside(DEEPEST).visit_map(map).map(compound)
            }
        }
        deserializer.deserialize_any(GivenVisitor)
    }
}

const fn compound<'a>(fits: bool) -> Given<'a> {
    if fits { Given::Compound } else { Given::TooDeep }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(body: &str) -> Vec<u8> {
        let mut out = Vec::new();
        read_request(body.as_bytes()).unwrap().write_canonical(&mut out);
        out
    }

    #[test]
    fn every_shape_that_providers_send_is_a_caller() {
        for body in ["", "{}", r#"{"context":{}}"#, r#"{"context":null}"#, r#"{"flag":"x","context":{"a":1}}"#] {
            assert_eq!(read_request(body.as_bytes()).unwrap().targeting_key(), None, "{body}");
        }
        let body = r#"{"context":{"targetingKey":"u\n1","plan":"gold","n":1,"deep":{"a":[1]},"on":true,"no":null}}"#;
        let caller = read_request(body.as_bytes()).unwrap();
        assert_eq!(caller.targeting_key(), Some("u\n1"));
        assert_eq!(caller.attribute("plan"), Some(Attribute::Text("gold")));
        assert_eq!(caller.attribute("n"), Some(Attribute::Number(1.0)));
        assert_eq!(caller.attribute("on"), Some(Attribute::Boolean(true)));
        assert_eq!(caller.attribute("deep"), Some(Attribute::Compound));
        assert_eq!((caller.attribute("no"), caller.attribute("none")), (None, None));
    }

    #[test]
    fn many_attributes_are_found_as_few_are() {
        for count in [1, FEW, FEW + 1, 10_000] {
            let given: Vec<String> = (0..count).rev().map(|n| format!("\"a{n}\":{n}")).collect();
            let body = format!(r#"{{"context":{{{}}}}}"#, given.join(","));
            let caller = read_request(body.as_bytes()).unwrap();
            let last = count - 1;
            assert_eq!(caller.attribute(&format!("a{last}")), Some(Attribute::Number(last as f64)));
            assert_eq!((caller.attribute("a0"), caller.attribute("b")), (Some(Attribute::Number(0.0)), None));
        }
    }

    #[test]
    fn what_is_given_twice_is_refused_by_name() {
        for (body, name) in [
            (r#"{"context":{"a":1,"b":2,"a":1}}"#, "a"),
            (r#"{"context":{"b":1,"a":null,"\u0062":2}}"#, "b"),
            (r#"{"context":{"targetingKey":"u","targetingKey":"v"}}"#, "targetingKey"),
            (r#"{"context":{"a":1},"context":{"a":1}}"#, "context"),
        ] {
            assert_eq!(read_request(body.as_bytes()), Err(BadRequest::InvalidContext(format!("`{name}` is given twice"))), "{body}");
        }
        assert!(read_request(br#"{"context":{"a":{"b":1,"b":2}},"x":1,"x":2}"#).is_ok(), "of what nobody looks at");
    }

    #[test]
    fn what_is_nested_too_deep_says_so() {
        let nested = |open: &str, close: &str, deep: usize| format!("{{\"context\":{{\"a\":{}1{},\"b\":true}}}}", open.repeat(deep), close.repeat(deep));
        for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[[],", ",0]")] {
            assert_eq!(read_request(nested(open, close, DEEPEST - 1).as_bytes()).unwrap().attribute("a"), Some(Attribute::Compound));
            for deep in [DEEPEST + 1, 127, 128, 10_000] {
                let body = nested(open, close, deep);
                assert_eq!(
                    read_request(body.as_bytes()),
                    Err(BadRequest::InvalidContext("`a` has lists and objects more than 64 deep inside one another".to_owned())),
                    "{deep} × {open}"
                );
            }
            let cut = nested(open, "", 10_000);
            assert!(matches!(read_request(cut.as_bytes()), Err(BadRequest::Unreadable(_))));
        }
    }

    #[test]
    fn what_is_no_request_says_so() {
        for body in [" ", "[]", "{", "null", r#"{"context":{"a":}}"#, r#"{"context":{}} x"#] {
            assert!(matches!(read_request(body.as_bytes()), Err(BadRequest::Unreadable(_))), "{body}");
        }
        for body in [r#"{"context":7}"#, r#"{"context":[{}]}"#, r#"{"context":{"targetingKey":7,"a":"b"}}"#, r#"{"context":{"n":-9007199254740992}}"#] {
            assert!(matches!(read_request(body.as_bytes()), Err(BadRequest::InvalidContext(_))), "{body}");
        }
    }

    #[test]
    fn the_canonical_form_is_that_of_the_meaning() {
        let one = canonical(r#"{"context":{"targetingKey":"u","a":1,"b":"x","c":{"d":1}}}"#);
        assert_eq!(one, canonical(r#"{ "x":0, "context":{"c":{"d":2},"b":"\u0078","a":1.0,"gone":null,"targetingKey":"u"}}"#));
        for other in [
            r#"{"context":{"targetingKey":"v","a":1,"b":"x","c":{}}}"#,
            r#"{"context":{"targetingKey":"u","a":2,"b":"x","c":{}}}"#,
            r#"{"context":{"targetingKey":"u","a":1,"b":"y","c":{}}}"#,
            r#"{"context":{"targetingKey":"u","a":"1","b":"x","c":{}}}"#,
            r#"{"context":{"targetingKey":"u","a":1,"b":"x"}}"#,
            r#"{"context":{"a":1,"b":"x","c":{}}}"#,
        ] {
            assert_ne!(one, canonical(other), "{other}");
        }
    }
}
