//! One condition of a rule or cohort, and its JSON: `{attribute, op, values, ignore_case}`, `{not}`, `{cohort}`
//! or `{share}`.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser::SerializeStruct};
use serde_json::Number;

use super::{Algorithm, TARGETING_KEY, is_false, is_targeting_key, targeting_key};

#[derive(Debug, Clone, PartialEq)]
pub enum Clause {
    Test(Test),
    /// Holds exactly if the test does not, also because the attribute is missing or of another type.
    Not(Test),
    /// The caller belongs to the cohort of this name.
    Cohort(String),
    Share(Share),
}

impl Clause {
    #[must_use]
    pub fn test<V: Into<Scalar>>(attribute: impl Into<String>, op: Op, values: impl IntoIterator<Item = V>) -> Self {
        let values = values.into_iter().map(Into::into).collect();
        Self::Test(Test { attribute: attribute.into(), op, values, ignore_case: false })
    }

    #[must_use]
    pub fn cohort(name: impl Into<String>) -> Self {
        Self::Cohort(name.into())
    }

    /// `share` of [`super::WHOLE`], by targeting key.
    #[must_use]
    pub fn share(salt: impl Into<String>, share: u32) -> Self {
        Self::Share(Share { salt: salt.into(), share, algorithm: Algorithm::default(), attribute: TARGETING_KEY.to_owned() })
    }
}

/// Compares one attribute of the caller with values. Nothing is coerced: `"1"` is not `1`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Test {
    pub attribute: String,
    pub op: Op,
    /// Several mean any of them (`not_in`: none of them). Comparisons take exactly one, `present` and `absent` none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<Scalar>,
    /// Compares text by Unicode simple case folding.
    #[serde(default, skip_serializing_if = "is_false")]
    pub ignore_case: bool,
}

/// True for a stable part of all values of an attribute; growing it never moves anyone out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// Equal salts take the same callers, in whatever feature.
    pub salt: String,
    /// Of [`super::WHOLE`]; people may write `20%`.
    #[serde(deserialize_with = "parts")]
    pub share: u32,
    #[serde(default)]
    pub algorithm: Algorithm,
    #[serde(default = "targeting_key", skip_serializing_if = "is_targeting_key")]
    pub attribute: String,
}

/// A missing attribute makes every one of these false, except `absent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    In,
    NotIn,
    StartsWith,
    EndsWith,
    Contains,
    /// Linear-time regular expression, found anywhere unless anchored.
    Regex,
    /// Numbers.
    Eq,
    Lt,
    Le,
    Gt,
    Ge,
    /// RFC 3339 instants.
    Before,
    After,
    /// Precedence by Semantic Versioning 2.0; build metadata does not count.
    SemverEq,
    SemverLt,
    SemverLe,
    SemverGt,
    SemverGe,
    /// An address inside a network such as `10.0.0.0/8`.
    Cidr,
    Present,
    Absent,
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::In => "in",
            Self::NotIn => "not_in",
            Self::StartsWith => "starts_with",
            Self::EndsWith => "ends_with",
            Self::Contains => "contains",
            Self::Regex => "regex",
            Self::Eq => "eq",
            Self::Lt => "lt",
            Self::Le => "le",
            Self::Gt => "gt",
            Self::Ge => "ge",
            Self::Before => "before",
            Self::After => "after",
            Self::SemverEq => "semver_eq",
            Self::SemverLt => "semver_lt",
            Self::SemverLe => "semver_le",
            Self::SemverGt => "semver_gt",
            Self::SemverGe => "semver_ge",
            Self::Cidr => "cidr",
            Self::Present => "present",
            Self::Absent => "absent",
        })
    }
}

/// What an attribute is compared with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Scalar {
    Boolean(bool),
    Number(Number),
    Text(String),
}

/// By hand: trying one form after the other makes an error of each that does not fit, which was most of reading a list.
impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ScalarVisitor;
        impl de::Visitor<'_> for ScalarVisitor {
            type Value = Scalar;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value of a clause: a text, a number or a boolean")
            }

            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Scalar, E> {
                Ok(Scalar::Boolean(value))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Scalar, E> {
                Ok(Scalar::Number(number.into()))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Scalar, E> {
                Ok(Scalar::Number(number.into()))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Scalar, E> {
                Number::from_f64(number).map(Scalar::Number).ok_or_else(|| E::invalid_value(de::Unexpected::Float(number), &self))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Scalar, E> {
                Ok(Scalar::Text(text.to_owned()))
            }

            fn visit_string<E: de::Error>(self, text: String) -> Result<Scalar, E> {
                Ok(Scalar::Text(text))
            }
        }
        deserializer.deserialize_any(ScalarVisitor)
    }
}

impl From<&str> for Scalar {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Scalar {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Scalar {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

impl From<i64> for Scalar {
    fn from(value: i64) -> Self {
        Self::Number(value.into())
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(value) => write!(f, "{value}"),
            Self::Number(value) => write!(f, "{value}"),
            Self::Text(value) => write!(f, "{value:?}"),
        }
    }
}

/// As a person reads it: `plan in ["gold", "silver"]`, `cohort staff`, `share 25%`.
impl fmt::Display for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cohort(name) => write!(f, "cohort {name}"),
            Self::Share(share) => {
                write!(f, "share {}", Percent(share.share))?;
                if !is_targeting_key(&share.attribute) {
                    write!(f, " by {}", share.attribute)?;
                }
                Ok(())
            }
            Self::Test(test) => test.fmt(f),
            Self::Not(test) => write!(f, "not ({test})"),
        }
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.attribute, self.op)?;
        match self.values.as_slice() {
            [] => {}
            [one] if !matches!(self.op, Op::In | Op::NotIn) => write!(f, " {one}")?,
            values => list(f, values)?,
        }
        if self.ignore_case { f.write_str(" ignoring case") } else { Ok(()) }
    }
}

fn list(f: &mut fmt::Formatter<'_>, values: &[Scalar]) -> fmt::Result {
    const SHOWN: usize = 5;
    f.write_str(" [")?;
    for (at, value) in values.iter().take(SHOWN).enumerate() {
        write!(f, "{}{value}", if at == 0 { "" } else { ", " })?;
    }
    match values.len().saturating_sub(SHOWN) {
        0 => f.write_str("]"),
        more => write!(f, ", and {more} more]"),
    }
}

/// A part of [`super::WHOLE`] in percent, without needless zeros.
pub(crate) struct Percent(pub u32);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, thousandths) = (self.0 / 1_000, self.0 % 1_000);
        match thousandths {
            0 => write!(f, "{whole}%"),
            _ => write!(f, "{whole}.{}%", format!("{thousandths:03}").trim_end_matches('0')),
        }
    }
}

/// A share as a number of thousandths of a percent, or as people write it: `12.5%`.
fn parts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Parts(u32),
        Percent(String),
    }
    match Written::deserialize(deserializer).map_err(|_| de::Error::custom("a share is a percentage, as 12.5%, or a whole number of thousandths of a percent"))? {
        Written::Parts(parts) => Ok(parts),
        Written::Percent(text) => percent(&text).ok_or_else(|| de::Error::custom("a percentage has at most three decimals, as 12.5%")),
    }
}

fn percent(text: &str) -> Option<u32> {
    let number = text.trim().strip_suffix('%')?.trim_end();
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || decimals.len() > 3 || !digits(whole) || !digits(decimals) {
        return None;
    }
    let thousandths: u32 = format!("{decimals:0<3}").parse().ok()?;
    whole.parse::<u32>().ok()?.checked_mul(1_000)?.checked_add(thousandths)
}

impl Serialize for Clause {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Test(test) => test.serialize(serializer),
            Self::Not(test) => {
                let mut out = serializer.serialize_struct("Clause", 1)?;
                out.serialize_field("not", test)?;
                out.end()
            }
            Self::Cohort(name) => {
                let mut out = serializer.serialize_struct("Clause", 1)?;
                out.serialize_field("cohort", name)?;
                out.end()
            }
            Self::Share(share) => {
                let mut out = serializer.serialize_struct("Clause", 1)?;
                out.serialize_field("share", share)?;
                out.end()
            }
        }
    }
}

/// Every field of every form, so that a misspelt one is named instead of "no form matched".
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename = "Clause")]
struct AnyForm {
    attribute: Option<String>,
    op: Option<Op>,
    #[serde(default)]
    values: Vec<Scalar>,
    #[serde(default)]
    ignore_case: bool,
    not: Option<Test>,
    cohort: Option<String>,
    share: Option<Share>,
}

impl<'de> Deserialize<'de> for Clause {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let form = AnyForm::deserialize(deserializer)?;
        let bare = form.op.is_none() && form.values.is_empty() && !form.ignore_case;
        match (form.attribute, form.not, form.cohort, form.share) {
            (Some(attribute), None, None, None) => match form.op {
                Some(op) => Ok(Self::Test(Test { attribute, op, values: form.values, ignore_case: form.ignore_case })),
                None => Err(de::Error::custom(format_args!("clause on `{attribute}` has no `op`"))),
            },
            (None, Some(test), None, None) if bare => Ok(Self::Not(test)),
            (None, None, Some(name), None) if bare => Ok(Self::Cohort(name)),
            (None, None, None, Some(share)) if bare => Ok(Self::Share(share)),
            (None, None, None, None) => Err(de::Error::custom("a clause names an `attribute`, a `cohort` or a `share`, or says `not`")),
            _ => Err(de::Error::custom("a clause takes `attribute` with `op`, `values` and `ignore_case`, or `not` alone, or `cohort` alone, or `share` alone")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: serde_json::Value) -> Result<Clause, String> {
        serde_json::from_value(value).map_err(|error| error.to_string())
    }

    #[test]
    fn every_form_survives_a_round_trip() {
        for value in [
            json!({"attribute": "plan", "op": "in", "values": ["gold", 7, 1.5, true]}),
            json!({"attribute": "plan", "op": "starts_with", "values": ["go"], "ignore_case": true}),
            json!({"attribute": "plan", "op": "absent"}),
            json!({"not": {"attribute": "plan", "op": "starts_with", "values": ["go"]}}),
            json!({"cohort": "staff"}),
            json!({"share": {"salt": "s", "share": 25_000, "algorithm": "unleash/1", "attribute": "tenant"}}),
            json!({"share": {"salt": "s", "share": 25_000, "algorithm": "m3-100k/1"}}),
        ] {
            let clause = read(value.clone()).unwrap();
            assert_eq!(serde_json::to_value(&clause).unwrap(), value);
        }
    }

    #[test]
    fn errors_name_the_mistake() {
        assert_eq!(read(json!({"attribute": "plan"})).unwrap_err(), "clause on `plan` has no `op`");
        assert!(read(json!({"atribute": "plan", "op": "in"})).unwrap_err().contains("unknown field `atribute`"));
        assert!(read(json!({"cohort": "a", "op": "in"})).unwrap_err().contains("`cohort` alone"));
        assert!(read(json!({})).unwrap_err().contains("names an `attribute`"));
        assert!(read(json!({"attribute": "a", "op": "in", "values": [[]]})).unwrap_err().contains("text, a number or a boolean"));
    }

    #[test]
    fn clauses_read_like_sentences() {
        let shown = |value| read(value).unwrap().to_string();
        assert_eq!(shown(json!({"attribute": "plan", "op": "in", "values": ["gold"]})), r#"plan in ["gold"]"#);
        assert_eq!(shown(json!({"not": {"attribute": "plan", "op": "in", "values": ["gold"]}})), r#"not (plan in ["gold"])"#);
        assert_eq!(shown(json!({"attribute": "age", "op": "ge", "values": [18]})), "age ge 18");
        assert_eq!(shown(json!({"share": {"salt": "s", "share": 12_340, "attribute": "org"}})), "share 12.34% by org");
        assert_eq!(shown(json!({"attribute": "n", "op": "not_in", "values": [1, 2, 3, 4, 5, 6, 7]})), "n not_in [1, 2, 3, 4, 5, and 2 more]");
    }

    #[test]
    fn shares_are_read_as_people_write_them() {
        let read = |share: serde_json::Value| serde_json::from_value::<Clause>(json!({"share": {"salt": "s", "share": share}}));
        let clause = read(json!("12.5%")).unwrap();
        assert_eq!((&clause, clause.to_string().as_str()), (&Clause::share("s", 12_500), "share 12.5%"));
        assert_eq!(read(json!(12_500)).unwrap(), clause);
        for wrong in [json!("12.5"), json!("-1%"), json!("%"), json!("1.2345%"), json!("٣%"), json!(1.5), json!(null)] {
            assert!(read(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
