//! The board, what is dark, and explanations.

use greenroom_access::Action;
use greenroom_api::problem::Code;
use greenroom_api::{Problem, views};
use greenroom_domain::id::{FeatureKey, Name};
use greenroom_domain::time::At;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Paging, environment, missing, page};
use crate::http::routes::{Asked, Params, Routes};
use crate::view;

pub fn routes(routes: Routes) -> Routes {
    routes
        .survey("/board", Action::BoardRead, "Services × environments: what runs, what is on its way, and why it waits", board)
        .survey("/dark", Action::InsightsRead, "What is deployed and not released, since when, held by whom, at what cost", dark)
        .read("/explain", Action::Explain, "Which rule and which release decide what someone gets, now or then", explain)
}

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct BoardQuery {
    environment: Option<Name>,
}

fn board(asked: &Asked<'_>, _: &Params, query: BoardQuery) -> Result<views::Board, Problem> {
    if let Some(name) = &query.environment {
        environment(asked.look.state, name)?;
    }
    Ok(view::board::board(&asked.look, query.environment.as_ref()))
}

fn dark(asked: &Asked<'_>, _: &Params, paging: Paging) -> Result<views::Page<views::Dark>, Problem> {
    page(view::dark::dark(&asked.look).into_iter(), &paging, |d| format!("{}/{}", d.environment, d.name))
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ExplainQuery {
    feature: FeatureKey,
    environment: Name,
    /// The targeting key.
    #[serde(default)]
    r#for: Option<String>,
    /// More of the context, as a JSON object.
    #[serde(default)]
    context: Option<String>,
    #[serde(default)]
    at: Option<At>,
}

fn explain(asked: &Asked<'_>, _: &Params, query: ExplainQuery) -> Result<views::Explained, Problem> {
    let mut context: Map<String, Value> = match &query.context {
        Some(text) => serde_json::from_str(text).map_err(|e| Problem::new(Code::Invalid, format!("the context is not a JSON object: {e}")).detail("in the query, context"))?,
        None => Map::new(),
    };
    if let Some(key) = query.r#for {
        context.insert("targetingKey".to_owned(), Value::String(key));
    }
    let state = asked.look.state;
    view::explain::explain(&asked.look, &query.feature, &query.environment, &context, query.at).map_err(|problem| match problem.code {
        // what was never there is misspelt
        Code::NotFound if !state.environments.contains_key(&query.environment) => missing("environment", &query.environment),
        Code::NotFound if !state.features.contains_key(&query.feature) => missing("feature", &query.feature),
        _ => problem,
    })
}
