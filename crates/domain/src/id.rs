//! Names, typed ids and operation ids: the keys by which everything in the ledger is found.
//!
//! Names are keys and never renamed; things without a name carry a UUIDv7 behind a typed prefix. What applications know by
//! name (features, variants, attributes of callers) is called whatever they call it.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use smol_str::SmolStr;
use uuid::Uuid;

/// Why a text is not a name, key or id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    #[error("`{0}` is not a name: use 1 to 63 of a-z, 0-9, `.`, `_`, `-`, starting with a letter or digit")]
    Name(String),
    #[error("`{text}` is not {what}: use 1 to {LONGEST} bytes of visible text, with spaces only inside, and not `.` or `..`")]
    Visible { what: &'static str, text: String },
    #[error("`{text}` is not an id of the form `{prefix}_…`")]
    Id { prefix: &'static str, text: String },
    #[error("`{0}` is not of the form service@version")]
    Label(String),
    #[error("`{0}` is not of the form service>=version; quote it, the shell takes > for itself")]
    Requirement(String),
    #[error("`{0}` is not a version: use 1 to 100 visible characters without spaces, `@` or `/`")]
    Version(String),
    #[error("`{0}` is not a digest of the form sha256:<64 hex digits>")]
    Digest(String),
}

macro_rules! text_key {
    ($(#[$doc:meta])* $name:ident, $check:expr, $err:expr, $schema:tt) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(SmolStr);

        impl $name {
            /// Checks and takes `text`.
            pub fn new(text: impl AsRef<str>) -> Result<Self, IdError> {
                let text = text.as_ref();
                let check: fn(&str) -> bool = $check;
                let err: fn(String) -> IdError = $err;
                if check(text) { Ok(Self(text.into())) } else { Err(err(text.chars().take(80).collect())) }
            }

            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
        impl FromStr for $name {
            type Err = IdError;
            fn from_str(s: &str) -> Result<Self, IdError> {
                Self::new(s)
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(&self.0)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                crate::id::read(d)
            }
        }
        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

/// Parses a text of any lifetime, without a copy where the format can lend it.
pub(crate) fn read<'de, D: Deserializer<'de>, T: FromStr<Err: fmt::Display>>(d: D) -> Result<T, D::Error> {
    struct Text<T>(std::marker::PhantomData<T>);

    impl<T: FromStr<Err: fmt::Display>> de::Visitor<'_> for Text<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
            text.parse().map_err(E::custom)
        }
    }

    d.deserialize_str(Text(std::marker::PhantomData))
}

text_key!(
    /// Name of an environment, target, service, component, cohort, release, policy or check.
    Name,
    |s| s.len() <= 63 && starts_alphanumeric(s) && s.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-')),
    IdError::Name,
    { "type": "string", "pattern": "^[a-z0-9]([a-z0-9._-]{0,62})$" }
);
text_key!(
    /// Key of a feature. Applications have it in their code, and other products took more than names: any visible text.
    FeatureKey,
    visible,
    |text| IdError::Visible { what: "a feature key", text },
    { "type": "string", "pattern": "^\\S(.*\\S)?$", "maxLength": 200 }
);
text_key!(
    /// Name of a feature's variant, which applications compare with: any visible text.
    VariantName,
    visible,
    |text| IdError::Visible { what: "the name of a variant", text },
    { "type": "string", "pattern": "^\\S(.*\\S)?$", "maxLength": 200 }
);
text_key!(
    /// Name of an attribute of callers, as they send it: any visible text.
    AttributeName,
    visible,
    |text| IdError::Visible { what: "the name of an attribute", text },
    { "type": "string", "pattern": "^\\S(.*\\S)?$", "maxLength": 200 }
);
text_key!(
    /// Label of a build within its service. Opaque unless the service orders its builds by semver.
    Version,
    |s| !s.is_empty() && s.len() <= 100 && s.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'@' | b'/' | b'`')),
    IdError::Version,
    { "type": "string", "pattern": "^[!-~]{1,100}$" }
);

/// Bytes of a text that applications know something by.
const LONGEST: usize = 200;

/// Whether people see all of `text`, and see it in its order: no control character, no space but `U+0020` between others,
/// nothing that hides or turns what stands beside it. It is taken as given and compared byte by byte, since the applications
/// that name it do so too; it is never normalised. `.` and `..` lead elsewhere in a path, however they are encoded.
fn visible(text: &str) -> bool {
    let shown = |c: char| c == ' ' || !(c.is_control() || c.is_whitespace() || hides(c));
    (1..=LONGEST).contains(&text.len()) && text.trim() == text && text.chars().all(shown) && !matches!(text, "." | "..")
}

/// Shows nothing itself, or changes the order in which others are read. Joiners and variation selectors stay: scripts and
/// emoji are written with them.
const fn hides(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}'
    )
}

/// Content digest: a SHA-256, as text `sha256:` and 64 lower-case hex digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Checks and takes `text`.
    pub fn new(text: impl AsRef<str>) -> Result<Self, IdError> {
        let text = text.as_ref();
        Self::read(text).ok_or_else(|| IdError::Digest(text.chars().take(80).collect()))
    }

    fn read(text: &str) -> Option<Self> {
        let (pairs, []) = text.strip_prefix("sha256:")?.as_bytes().as_chunks::<2>() else { return None };
        let mut bytes = [0; 32];
        if pairs.len() != bytes.len() {
            return None;
        }
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Some(Self(bytes))
    }

    #[must_use]
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first twelve digits, as people write it: `sha256:0123456789ab`.
    #[must_use]
    pub fn short(&self) -> String {
        self.to_string().chars().take(19).collect()
    }

    fn write<'a>(&self, text: &'a mut [u8; 71]) -> &'a str {
        let (prefix, hex) = text.split_at_mut(7);
        prefix.copy_from_slice(b"sha256:");
        for (pair, byte) in hex.as_chunks_mut::<2>().0.iter_mut().zip(self.0) {
            *pair = [byte >> 4, byte & 15].map(|digit| if digit < 10 { b'0' + digit } else { b'a' + digit - 10 });
        }
        str::from_utf8(text).unwrap_or_default()
    }
}

impl From<[u8; 32]> for Digest {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.write(&mut [0; 71]))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = IdError;
    fn from_str(s: &str) -> Result<Self, IdError> {
        Self::new(s)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.write(&mut [0; 71]))
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        read(d)
    }
}

impl JsonSchema for Digest {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Digest".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^sha256:[0-9a-f]{64}$" })
    }
}

/// The value of a lower-case hex digit.
const fn digit(hex: u8) -> Option<u8> {
    match hex {
        b'0'..=b'9' => Some(hex - b'0'),
        b'a'..=b'f' => Some(hex - b'a' + 10),
        _ => None,
    }
}

fn starts_alphanumeric(s: &str) -> bool {
    s.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

/// `service@version`: how people and needs name a build.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BuildLabel {
    pub service: Name,
    pub version: Version,
}

impl fmt::Display for BuildLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.service, self.version)
    }
}

impl FromStr for BuildLabel {
    type Err = IdError;
    fn from_str(s: &str) -> Result<Self, IdError> {
        let (service, version) = s.split_once('@').ok_or_else(|| IdError::Label(s.into()))?;
        Ok(Self { service: Name::new(service)?, version: Version::new(version)? })
    }
}

macro_rules! as_text {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                crate::id::read(d)
            }
        }
        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string" })
            }
        }
    };
}

as_text!(BuildLabel);

/// `catalog>=1.1.0`: the service must run at least that build in the same environment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Requirement {
    pub service: Name,
    pub floor: Version,
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}>={}", self.service, self.floor)
    }
}

impl FromStr for Requirement {
    type Err = IdError;
    fn from_str(s: &str) -> Result<Self, IdError> {
        let (service, floor) = s.split_once(">=").ok_or_else(|| IdError::Requirement(s.into()))?;
        Ok(Self { service: Name::new(service.trim())?, floor: Version::new(floor.trim())? })
    }
}
as_text!(Requirement);

pub(crate) fn digest_of(hash: sha2::Sha256) -> Digest {
    use sha2::Digest as _;
    Digest(hash.finalize().into())
}

macro_rules! typed_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            pub const PREFIX: &'static str = $prefix;
            #[must_use]
            pub const fn new(uuid: Uuid) -> Self {
                Self(uuid)
            }
            #[must_use]
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), self.0.simple())
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
        impl FromStr for $name {
            type Err = IdError;
            fn from_str(s: &str) -> Result<Self, IdError> {
                s.strip_prefix(concat!($prefix, "_"))
                    .and_then(|hex| Uuid::try_parse(hex).ok())
                    .map(Self)
                    .ok_or_else(|| IdError::Id { prefix: $prefix, text: s.chars().take(80).collect() })
            }
        }
        as_text!($name);
    };
}

typed_id!(DeploymentId, "dep");
typed_id!(RolloutId, "rol");
typed_id!(DecisionId, "dec");
typed_id!(HoldId, "hld");
typed_id!(PersonId, "per");
typed_id!(TokenId, "tok");
typed_id!(CheckId, "chk");

/// `rol_…/attempt`: stamped on the target, so that a restarted engine knows its own work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationId {
    pub rollout: RolloutId,
    pub attempt: u32,
}

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.rollout, self.attempt)
    }
}

impl FromStr for OperationId {
    type Err = IdError;
    fn from_str(s: &str) -> Result<Self, IdError> {
        let bad = || IdError::Id { prefix: "rol", text: s.chars().take(80).collect() };
        let (rollout, attempt) = s.split_once('/').ok_or_else(bad)?;
        Ok(Self { rollout: rollout.parse()?, attempt: attempt.parse().map_err(|_| bad())? })
    }
}
as_text!(OperationId);

/// One service on one target: the key of a [`crate::deployment::Placement`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct PlacementKey {
    pub environment: Name,
    pub target: Name,
    pub service: Name,
}

impl fmt::Display for PlacementKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.environment, self.target, self.service)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_narrow_and_what_applications_know_is_whatever_people_see() {
        for good in ["a", "shop-web", "9lives", "a.b_c-d"] {
            assert!(Name::new(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "A", "a b", "ä", &"a".repeat(64)] {
            assert!(Name::new(bad).is_err(), "{bad}");
        }
        let family = "👨‍👩‍👧";
        for good in ["Team/checkout:v2", "/x", "-", "...", "my flag", "Feature.UTF-8.😊_φriend_你好_🌍", family, "می‌خواهم", "a`b\"c'd", &"a".repeat(200), &"é".repeat(100)]
        {
            assert_eq!(FeatureKey::new(good).map(|key| key.to_string()), Ok(good.to_owned()));
            assert!(VariantName::new(good).is_ok() && AttributeName::new(good).is_ok(), "{good}");
        }
        let (hidden, turned, wide) = ("a\u{200b}b", "a\u{202e}b", "a\u{a0}b");
        for bad in ["", " ", " a", "a ", "a\n", "a\u{0}b", "a\u{7f}", "a\u{85}b", "a\u{2028}b", hidden, turned, wide, "\u{feff}a", ".", "..", &"a".repeat(201), &"é".repeat(101)] {
            assert!(FeatureKey::new(bad).is_err() && VariantName::new(bad).is_err() && AttributeName::new(bad).is_err(), "{bad:?}");
        }
        // the same to the eye, and two keys all the same: applications ask for one or the other
        assert_ne!(FeatureKey::new("\u{e9}").unwrap(), FeatureKey::new("e\u{301}").unwrap());
        let said = VariantName::new("").unwrap_err().to_string();
        assert_eq!(said, "`` is not the name of a variant: use 1 to 200 bytes of visible text, with spaces only inside, and not `.` or `..`");
    }

    #[test]
    fn ids_go_to_text_and_back() {
        let op = OperationId { rollout: RolloutId::new(Uuid::from_u128(7)), attempt: 3 };
        assert_eq!(op.to_string().parse::<OperationId>().unwrap(), op);
        assert!("dep_x".parse::<RolloutId>().is_err());
        assert_eq!("shop@1.0".parse::<BuildLabel>().unwrap().to_string(), "shop@1.0");
        let cut = "hello".parse::<Requirement>().unwrap_err().to_string();
        assert_eq!(cut, "`hello` is not of the form service>=version; quote it, the shell takes > for itself");
    }
}
