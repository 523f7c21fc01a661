//! OpenFeature's context as ours: borrowed, except for instants, which rules compare as text.

use std::cell::OnceCell;

use greenroom_exposure::{Attribute, Context};
use open_feature::{EvaluationContext, EvaluationContextFieldValue as Field};

pub(super) struct Asked<'a> {
    context: &'a EvaluationContext,
    /// Instants of the context, written when a rule first asks for one.
    instants: OnceCell<Vec<(&'a str, String)>>,
}

impl<'a> Asked<'a> {
    pub(super) const fn new(context: &'a EvaluationContext) -> Self {
        Self { context, instants: OnceCell::new() }
    }

    fn instant(&self, name: &str) -> Option<&str> {
        let written = |(name, field): (&'a String, &'a Field)| match field {
            // UTC, whatever its offset was: RFC 3339
            Field::DateTime(at) => {
                let (seconds, nanos) = (at.unix_timestamp(), at.nanosecond());
                Some((name.as_str(), rfc3339(seconds, nanos)))
            }
            _ => None,
        };
        let instants = self.instants.get_or_init(|| self.context.custom_fields.iter().filter_map(written).collect());
        instants.iter().find(|(other, _)| *other == name).map(|(_, text)| text.as_str())
    }
}

impl Context for Asked<'_> {
    fn targeting_key(&self) -> Option<&str> {
        self.context.targeting_key.as_deref()
    }

    fn attribute(&self, name: &str) -> Option<Attribute<'_>> {
        Some(match self.context.custom_fields.get(name)? {
            Field::Bool(value) => Attribute::Boolean(*value),
            Field::Int(value) => Attribute::Number(*value as f64),
            Field::Float(value) => Attribute::Number(*value),
            Field::String(value) => Attribute::Text(value),
            Field::DateTime(_) => Attribute::Text(self.instant(name)?),
            Field::Struct(_) => Attribute::Compound,
        })
    }
}

/// Seconds since 1970 as an instant of the proleptic Gregorian calendar (H. Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms", `civil_from_days`).
fn rfc3339(seconds: i64, nanos: u32) -> String {
    let (days, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let since = days + 719_468;
    let (era, day_of_era) = (since.div_euclid(146_097), since.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let (day, month) = (day_of_year - (153 * shifted + 2) / 5 + 1, if shifted < 10 { shifted + 3 } else { shifted - 9 });
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_written_as_rules_read_them() {
        for (seconds, nanos, text) in [
            (0, 0, "1970-01-01T00:00:00.000000000Z"),
            (951_782_400, 1, "2000-02-29T00:00:00.000000001Z"),
            (1_709_251_199, 999_999_999, "2024-02-29T23:59:59.999999999Z"),
            (4_107_542_400, 0, "2100-03-01T00:00:00.000000000Z"),
            (-1, 0, "1969-12-31T23:59:59.000000000Z"),
        ] {
            assert_eq!(rfc3339(seconds, nanos), text);
        }
    }
}
