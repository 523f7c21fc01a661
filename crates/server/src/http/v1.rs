//! Version 1 of the control plane's API, one file a resource.
#![allow(clippy::needless_pass_by_value, reason = "the table hands each handler its parsed request to keep")]

mod board;
mod builds;
mod deployments;
mod features;
mod imports;
mod ledger;
mod manifests;
mod people;
mod releases;
mod usage;

use greenroom_access::Resource;
use greenroom_api::Problem;
use greenroom_api::problem::Code;
use greenroom_api::views::Page;
use greenroom_domain::id::Name;
use greenroom_domain::refusal::where_listed;
use greenroom_domain::state::State;
use schemars::JsonSchema;
use serde::Deserialize;

use super::routes::Routes;

/// Every route below `/api/v1`.
#[must_use]
pub fn routes() -> Routes {
    let routes = Routes::default();
    let routes = people::routes(routes);
    let routes = manifests::routes(routes);
    let routes = imports::routes(routes);
    let routes = features::routes(routes);
    let routes = usage::routes(routes);
    let routes = builds::routes(routes);
    let routes = deployments::routes(routes);
    let routes = releases::routes(routes);
    let routes = board::routes(routes);
    ledger::routes(routes)
}

/// Where a page begins and how long it is.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Paging {
    /// At most 500; 100 unless given.
    pub limit: Option<usize>,
    pub cursor: Option<String>,
}

/// No query at all.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoQuery {}

/// How long a page is.
///
/// # Errors
/// `invalid` unless it is 1 to 500.
pub(super) fn limit(asked: Option<usize>) -> Result<usize, Problem> {
    let limit = asked.unwrap_or(100);
    if limit == 0 || limit > 500 {
        return Err(Problem::new(Code::Invalid, "limit is 1 to 500").detail("in the query"));
    }
    Ok(limit)
}

/// Cuts a page out of `items`, which are in a stable order by `key`.
fn page<T>(items: impl Iterator<Item = T>, paging: &Paging, key: impl Fn(&T) -> String) -> Result<Page<T>, Problem> {
    let limit = limit(paging.limit)?;
    let mut items = items;
    if let Some(cursor) = &paging.cursor
        && !items.any(|item| key(&item) == *cursor)
    {
        return Err(Problem::new(Code::Invalid, "the list goes on from something that is no longer in it").detail("start again without the cursor"));
    }
    let page: Vec<T> = items.by_ref().take(limit).collect();
    let next = items.next().and_then(|_| page.last().map(&key));
    Ok(Page { items: page, next })
}

/// The environment as policies see it.
///
/// # Errors
/// `not-found`.
fn environment(state: &State, name: &Name) -> Result<Resource, Problem> {
    let found = state.environments.get(name).ok_or_else(|| missing("environment", name))?;
    Ok(Resource::Environment { name: name.clone(), purpose: found.spec.purpose })
}

fn missing(kind: &str, name: impl std::fmt::Display) -> Problem {
    Problem::new(Code::NotFound, format!("there is no {kind} `{name}`")).detail(where_listed(kind).unwrap_or_default())
}
