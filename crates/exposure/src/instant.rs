//! A strict reader of RFC 3339 instants. Rules compare instants, so an offset is converted and a missing one refused.

use std::fmt;

/// A point on the UTC time line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instant {
    /// Since 1970-01-01T00:00:00Z.
    seconds: i64,
    nanos: u32,
}

impl Instant {
    /// `None` for anything but a full RFC 3339 date-time. Digits beyond nanoseconds are cut.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut rest = Reader(text.as_bytes());
        let (year, month, day) = (rest.number(4)?, rest.after(b'-')?.number(2)?, rest.after(b'-')?.number(2)?);
        if !matches!(rest.next()?, b'T' | b't' | b' ') {
            return None;
        }
        let (hour, minute, second) = (rest.number(2)?, rest.after(b':')?.number(2)?, rest.after(b':')?.number(2)?);
        let nanos = if rest.0.first() == Some(&b'.') { rest.after(b'.')?.fraction()? } else { 0 };
        let offset = match rest.next()? {
            b'Z' | b'z' => 0,
            sign @ (b'+' | b'-') => {
                let (hours, minutes) = (rest.number(2)?, rest.after(b':')?.number(2)?);
                if hours > 23 || minutes > 59 {
                    return None;
                }
                (hours * 3_600 + minutes * 60) * if sign == b'-' { -1 } else { 1 }
            }
            _ => return None,
        };
        // A leap second is the second after it; RFC 3339 allows 60.
        let within = (1..=12).contains(&month) && (1..=days_in(year, month)).contains(&day);
        if !rest.0.is_empty() || !within || hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let seconds = days_since_epoch(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - offset;
        Some(Self { seconds, nanos })
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn after(&mut self, wanted: u8) -> Option<&mut Self> {
        (self.next()? == wanted).then_some(self)
    }

    fn digit(&mut self) -> Option<i64> {
        let byte = self.next()?;
        byte.is_ascii_digit().then(|| i64::from(byte - b'0'))
    }

    fn number(&mut self, digits: usize) -> Option<i64> {
        (0..digits).try_fold(0, |number, _| Some(number * 10 + self.digit()?))
    }

    fn fraction(&mut self) -> Option<u32> {
        let mut nanos = self.digit()? as u32 * 100_000_000;
        let mut unit = 10_000_000;
        while self.0.first().is_some_and(u8::is_ascii_digit) {
            nanos += self.digit()? as u32 * unit;
            unit /= 10;
        }
        Some(nanos)
    }
}

const fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Howard Hinnant's `days_from_civil`, "chrono-Compatible Low-Level Date Algorithms".
const fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}", self.seconds, self.nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Option<String> {
        Instant::parse(text).map(|instant| instant.to_string())
    }

    #[test]
    fn instants_are_read_exactly() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", "0.000000000"),
            ("2026-11-23T12:00:00Z", "1795435200.000000000"),
            ("2026-11-23t14:00:00.5+02:00", "1795435200.500000000"),
            ("2000-02-29T23:59:60Z", "951868800.000000000"),
            ("1969-12-31T23:59:59.123456789123Z", "-1.123456789"),
            ("0000-01-01T00:00:00Z", "-62167219200.000000000"),
        ] {
            assert_eq!(shown(text).as_deref(), Some(seconds), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "2026-11-23",
            "2026-11-23T12:00:00",
            "2026-11-23T12:00Z",
            "2026-13-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-11-23T24:00:00Z",
            "2026-11-23T12:00:00.Z",
            "2026-11-23T12:00:00+0200",
            "2026-11-23T12:00:00Zx",
            "26-11-23T12:00:00Z",
            "2026-11-23T12:00:00+24:00",
            "1795435200",
            "２026-11-23T12:00:00Z",
        ] {
            assert_eq!(shown(text), None, "{text}");
        }
    }

    #[test]
    fn order_is_that_of_time() {
        let earlier = Instant::parse("2026-11-23T12:00:00+01:00");
        assert!(earlier < Instant::parse("2026-11-23T12:00:00Z"));
        assert!(Instant::parse("1969-12-31T23:59:59.9Z") < Instant::parse("1970-01-01T00:00:00Z"));
    }
}
