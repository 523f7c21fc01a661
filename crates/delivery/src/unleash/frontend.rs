//! Answers for web pages and apps, which ask: the features that are on for one caller.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use greenroom_exposure::wire::unleash::{Asker, NONCE, write_shown};
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value};

use super::{Instance, failed, found, unchanged};
use crate::DataPlane;
use crate::feeds::unix_now;
use crate::ofrep::reply::Refusal;
use crate::ofrep::tag;
use crate::once;

const CURRENT_TIME: &str = "currentTime";
/// A generous guess at the bytes of one feature's answer.
const PER_FEATURE: usize = 128;

/// The context is in the query: `userId=ann&properties[plan]=gold`.
pub(super) async fn by_query(State(plane): State<Arc<DataPlane>>, RawQuery(query): RawQuery, headers: HeaderMap) -> Result<Response, Refusal> {
    let (mut context, mut properties) = (Map::new(), Map::new());
    for (name, value) in query.iter().flat_map(|query| query.split('&')).filter_map(|pair| Some((decoded(pair.split('=').next()?), decoded(pair.split_once('=')?.1)))) {
        let before = match name.strip_prefix("properties[").and_then(|name| name.strip_suffix(']')) {
            Some(property) => properties.insert(property.to_owned(), value.into()),
            None => context.insert(name.clone(), value.into()),
        };
        if before.is_some() {
            return Ok(failed(StatusCode::BAD_REQUEST, "BadDataError", &format!("`{name}` is given twice")));
        }
    }
    context.insert("properties".to_owned(), properties.into());
    plane.answer(&headers, context)
}

/// The context is the body, or in it.
pub(super) async fn by_body(State(plane): State<Arc<DataPlane>>, headers: HeaderMap, body: Body) -> Result<Response, Refusal> {
    plane.let_in(&headers)?;
    let body = plane.body(&headers, body).await?;
    let mut context: Map<String, Value> = match if body.is_empty() { Ok(Map::new()) } else { once::read(&body) } {
        Ok(context) => context,
        Err(error) => return Ok(failed(StatusCode::BAD_REQUEST, "BadDataError", &error.to_string())),
    };
    match context.remove("context") {
        None | Some(Value::Null) => plane.answer(&headers, context),
        Some(Value::Object(context)) => plane.answer(&headers, context),
        Some(_) => Ok(failed(StatusCode::BAD_REQUEST, "BadDataError", "`context` is not an object")),
    }
}

impl DataPlane {
    fn answer(&self, headers: &HeaderMap, context: Map<String, Value>) -> Result<Response, Refusal> {
        let scope = self.let_in(headers)?;
        let published = self.published(&scope)?;
        let (snapshot, asked) = (published.snapshot(), published.asked_of_unleash());
        let mut asker = Asker::new(context);
        let instance = Instance::of(&scope, headers);
        self.presence.fetched(&scope.environment, instance.id, &instance.name, published.revision(), true);
        self.presence.is_page(&scope.environment, instance.id);

        let by_asker = tag::Asker::by(&scope, |canonical| asker.write_canonical(canonical, &asked.names)).tag(&published);
        let passing = [CURRENT_TIME, NONCE].into_iter().any(|name| asked.names.contains(name));
        if !passing && tag::known(headers, &by_asker) {
            return Ok(unchanged(&by_asker));
        }
        if passing {
            asker = asker.or(CURRENT_TIME, now()).or(NONCE, RandomState::new().hash_one(0_u8).to_string());
        }
        let asker = asker.with_numbers(&asked.numbers);
        let mut body = Vec::with_capacity(64 + PER_FEATURE * snapshot.len());
        body.extend_from_slice(b"{\"toggles\":[");
        let begin = body.len();
        for answer in snapshot.evaluate_all(&asker) {
            if write_shown(&mut body, &answer) {
                body.push(b',');
            }
        }
        body.truncate(body.len().saturating_sub(usize::from(body.len() > begin)));
        body.extend_from_slice(b"]}");
        // where the time or chance has decided, the same caller may be answered otherwise
        let tag = if asker.has_passed() { tag::Asker::by(&scope, |canonical| canonical.extend_from_slice(&body)).tag(&published) } else { by_asker };
        Ok(if tag::known(headers, &tag) { unchanged(&tag) } else { found(body, &tag) })
    }
}

/// As forms are: `+` is a blank.
fn decoded(text: &str) -> String {
    crate::ofrep::decoded(&text.replace('+', " ")).unwrap_or_else(|| text.to_owned())
}

/// As an RFC 3339 instant.
fn now() -> String {
    let seconds = unix_now();
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3_600, rest / 60 % 60, rest % 60)
}

/// Howard Hinnant's `civil_from_days`, "chrono-Compatible Low-Level Date Algorithms", for days since 1970.
const fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, after) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (year_of_era + days / 146_097 * 400 + after, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_dates() {
        assert_eq!([0, 59, 11_016, 20_819].map(date), [(1970, 1, 1), (1970, 3, 1), (2000, 2, 29), (2027, 1, 1)]);
    }

    #[test]
    fn queries_are_decoded() {
        assert_eq!(["a+b", "gr%C3%BCn", "50%", "%ff"].map(decoded), ["a b", "grün", "50%", "%ff"]);
    }
}
