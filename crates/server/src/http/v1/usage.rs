//! How much features are evaluated.

use greenroom_access::Action;
use greenroom_api::problem::Code;
use greenroom_api::{Problem, views};
use greenroom_domain::id::FeatureKey;
use greenroom_ledger::UsageRow;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Paging, missing, page};
use crate::engine::usage::{KEPT, day_of};
use crate::http::routes::{Asked, Params, Routes};
use crate::view::usage::Book;

pub fn routes(routes: Routes) -> Routes {
    routes.survey("/usage", Action::FeaturesRead, "How much each feature is evaluated, by whom, and which are not any more", all).read(
        "/features/{key}/usage",
        Action::FeaturesRead,
        "How much one feature is evaluated, and by whom",
        one,
    )
}

/// Of all features.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct UsageQuery {
    /// Days to look back, today included; 30 unless given.
    days: Option<i32>,
    /// Only those that nobody evaluated in these days.
    stale: bool,
    limit: Option<usize>,
    cursor: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct DaysQuery {
    /// Days to look back, today included; 30 unless given.
    days: Option<i32>,
}

fn all(asked: &Asked<'_>, _: &Params, list: UsageQuery) -> Result<views::Page<views::FeatureUsage>, Problem> {
    let rows = rows(asked, list.days)?;
    let book = Book::new(asked.look.state, &rows);
    let features = asked.look.state.features.keys().map(|key| book.of(key)).filter(|usage| usage.stale || !list.stale);
    page(features, &Paging { limit: list.limit, cursor: list.cursor }, |usage| usage.feature.to_string())
}

fn one(asked: &Asked<'_>, params: &Params, days: DaysQuery) -> Result<views::FeatureUsage, Problem> {
    let key: FeatureKey = params.get("key")?;
    if !asked.look.state.features.contains_key(&key) {
        return Err(missing("feature", key));
    }
    Ok(Book::new(asked.look.state, &rows(asked, days.days)?).of(&key))
}

/// What is in the ledger's side table and what is still on its way there.
fn rows(asked: &Asked<'_>, days: Option<i32>) -> Result<Vec<UsageRow>, Problem> {
    let days = days.unwrap_or(30);
    if !(1..=KEPT).contains(&days) {
        return Err(Problem::new(Code::Invalid, format!("days is 1 to {KEPT}")).detail("in the query"));
    }
    let today = day_of(asked.look.now);
    let kept = asked.look.engine.reader.usage(today - days + 1, today);
    let mut rows = kept.map_err(|error| Problem::new(Code::StorageUnavailable, error.to_string()).detail(error.remedy()))?;
    rows.extend(asked.look.engine.usage.held(asked.look.now));
    Ok(rows)
}
