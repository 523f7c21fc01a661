//! Instants, lengths of time and shares as the ledger holds them. Nothing here reads a clock.

use std::fmt;
use std::ops::{Add, Sub};
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An instant, µs since 1970-01-01T00:00:00Z. As text: RFC 3339 in UTC with µs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct At(pub i64);

/// A length of time in µs, never negative. As text: `10m`, `1h30m`, `200ms`, `2d`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span(pub i64);

/// A share of an audience in parts of 100,000. As text: `10%` or `12.345%`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Share(u32);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    #[error("`{0}` is not an instant: use RFC 3339, like 2026-12-01T14:00:00Z")]
    At(String),
    #[error("`{0}` is not a length of time: use numbers with ms, s, m, h or d, like 10m or 1h30m")]
    Span(String),
    #[error("`{0}` is not a share: use 0% to 100%, with at most three decimals")]
    Share(String),
}

impl At {
    /// The last instant that has a text form; sums stop here, so that whatever is written can be read again.
    pub const LAST: At = At(253_402_207_200_000_000);

    #[must_use]
    pub fn since(self, earlier: At) -> Span {
        Span(self.0.saturating_sub(earlier.0).max(0))
    }
}

impl Add<Span> for At {
    type Output = At;
    fn add(self, span: Span) -> At {
        At(self.0.saturating_add(span.0).min(Self::LAST.0))
    }
}

impl Sub<Span> for At {
    type Output = At;
    fn sub(self, span: Span) -> At {
        At(self.0.saturating_sub(span.0))
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(t) => write!(f, "{t:.6}"),
            Err(_) => write!(f, "{}us", self.0),
        }
    }
}

impl fmt::Debug for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for At {
    type Err = TimeError;
    fn from_str(s: &str) -> Result<Self, TimeError> {
        s.parse::<jiff::Timestamp>().map(|t| At(t.as_microsecond())).map_err(|_| TimeError::At(s.into()))
    }
}

const UNITS: [(&str, i64); 5] = [("d", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1_000)];

impl Span {
    #[must_use]
    pub const fn secs(s: i64) -> Self {
        Self(s * 1_000_000)
    }
    #[must_use]
    pub const fn millis(ms: i64) -> Self {
        Self(ms * 1_000)
    }
    #[must_use]
    pub fn as_std(self) -> std::time::Duration {
        std::time::Duration::from_micros(self.0.max(0).unsigned_abs())
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = self.0;
        if left < 1_000 {
            return write!(f, "0s");
        }
        for (unit, size) in UNITS {
            if left >= size {
                write!(f, "{}{unit}", left / size)?;
                left %= size;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Span {
    type Err = TimeError;
    fn from_str(s: &str) -> Result<Self, TimeError> {
        let bad = || TimeError::Span(s.chars().take(40).collect());
        let mut rest = s;
        let mut total = 0_i64;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
            let (number, tail) = rest.split_at(digits);
            let unit_end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
            let (unit, next) = tail.split_at(unit_end);
            let size = UNITS.iter().find(|(u, _)| *u == unit).ok_or_else(bad)?.1;
            let n: i64 = number.parse().map_err(|_| bad())?;
            total = n.checked_mul(size).and_then(|x| total.checked_add(x)).ok_or_else(bad)?;
            rest = next;
        }
        if s.is_empty() { Err(bad()) } else { Ok(Span(total)) }
    }
}

impl Share {
    pub const ALL: Share = Share(100_000);
    pub const NONE: Share = Share(0);

    pub(crate) const fn all() -> Self {
        Self::ALL
    }
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde asks")]
    pub(crate) const fn is_all(&self) -> bool {
        self.0 == Self::ALL.0
    }

    /// The least number of `all` that is this share of them.
    #[must_use]
    pub fn of(self, all: u64) -> u64 {
        let parts = (u128::from(all) * u128::from(self.0)).div_ceil(u128::from(Self::ALL.0));
        u64::try_from(parts).unwrap_or(all)
    }

    /// `parts` of 100,000; `None` above the whole.
    #[must_use]
    pub const fn parts(parts: u32) -> Option<Self> {
        if parts <= 100_000 { Some(Self(parts)) } else { None }
    }
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.0 / 1_000, self.0 % 1_000);
        if part == 0 {
            return write!(f, "{whole}%");
        }
        let decimals = format!("{part:03}");
        write!(f, "{whole}.{}%", decimals.trim_end_matches('0'))
    }
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Share {
    type Err = TimeError;
    fn from_str(s: &str) -> Result<Self, TimeError> {
        let bad = || TimeError::Share(s.chars().take(40).collect());
        let number = s.trim().strip_suffix('%').ok_or_else(bad)?.trim_end();
        let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() || decimals.len() > 3 || !number.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
            return Err(bad());
        }
        let whole: u32 = whole.parse().map_err(|_| bad())?;
        let part: u32 = format!("{decimals:0<3}").parse().map_err(|_| bad())?;
        whole.checked_mul(1_000).and_then(|w| w.checked_add(part)).and_then(Share::parts).ok_or_else(bad)
    }
}

macro_rules! text_value {
    ($name:ident, $example:literal) => {
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
                json_schema!({ "type": "string", "examples": [$example] })
            }
        }
    };
}

text_value!(At, "2026-12-01T14:00:00Z");
text_value!(Span, "10m");
text_value!(Share, "12.5%");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_round_trip() {
        for s in ["10m", "1h30m", "200ms", "2d", "1m500ms"] {
            assert_eq!(s.parse::<Span>().unwrap().to_string(), s);
        }
        for s in ["0%", "10%", "12.345%", "0.5%", "100%"] {
            assert_eq!(s.parse::<Share>().unwrap().to_string(), s);
        }
        for bad in ["", "10", "m", "1x", "-1m"] {
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
        for bad in ["101%", "10", "-1%", "1.2345%", "100.001%", "%", "1.2.3%"] {
            assert!(bad.parse::<Share>().is_err(), "{bad}");
        }
        assert_eq!("2026-12-01T14:00:00Z".parse::<At>().unwrap().to_string(), "2026-12-01T14:00:00.000000Z");
    }

    #[test]
    fn sums_stay_within_what_has_a_text_form() {
        let far = At(0) + "99999999d".parse::<Span>().unwrap();
        assert_eq!(far, At::LAST);
        assert_eq!(far.to_string().parse::<At>().unwrap(), far);
    }
}
