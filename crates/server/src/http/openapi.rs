//! The OpenAPI 3.1 document, from the table of routes and the schemas of the wire types.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::Route;
use super::routes::JSON;

/// The document as it is served at `/openapi.json` and committed.
#[must_use]
pub fn document() -> Value {
    let mut generator = SchemaSettings::draft2020_12()
        .with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        })
        .into_generator();
    let mut paths: Map<String, Value> = Map::new();
    for route in super::table() {
        let operation = operation(&route, &mut generator);
        let path = paths.entry(format!("{}{}", greenroom_api::PREFIX, route.path)).or_insert_with(|| json!({}));
        if let Some(path) = path.as_object_mut() {
            path.insert(route.method.to_lowercase(), operation);
        }
    }
    let problem = generator.subschema_for::<greenroom_api::Problem>();
    let schemas = generator.take_definitions(true);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Greenroom",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Deployment and release, kept apart and linked. Every command takes `Idempotency-Key` and `?dry_run=true` and answers `Greenroom-Seq`; every read takes `Greenroom-After`.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "gr_<kind>_…"}},
            "responses": {"Problem": {"description": "Why not: every reason, with what would help", "content": {"application/problem+json": {"schema": problem}}}}
        },
        "security": [{"token": []}]
    })
}

fn operation(route: &Route, generator: &mut schemars::SchemaGenerator) -> Value {
    let mut parameters: Vec<Value> = route
        .path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| json!({"name": name.trim_start_matches('*'), "in": "path", "required": true, "schema": {"type": "string"}}))
        .collect();
    // a read may wait for an event; a command may be repeated, or only be tried
    match (route.method, route.action) {
        (_, "") => {}
        ("GET", _) => parameters.push(json!({"name": greenroom_api::AFTER_HEADER, "in": "header", "required": false, "schema": {"type": "integer", "minimum": 0}})),
        _ => {
            parameters.push(json!({"name": greenroom_api::IDEMPOTENCY_HEADER, "in": "header", "required": false, "schema": {"type": "string", "minLength": 1, "maxLength": 200}}));
            parameters.push(json!({"name": "dry_run", "in": "query", "required": false, "schema": {"type": "boolean", "default": false}}));
        }
    }
    if let Some(query) = route.query {
        let schema = query(generator);
        parameters.push(json!({"name": "query", "in": "query", "required": false, "style": "form", "explode": true, "schema": schema}));
    }
    let schema = (route.response)(generator);
    let content: Map<String, Value> = route
        .media
        .iter()
        .map(|media| {
            let schema = if *media == JSON { schema.clone().to_value() } else { json!({"type": "string"}) };
            ((*media).to_owned(), json!({"schema": schema}))
        })
        .collect();
    let mut operation = json!({
        "operationId": operation_id(route),
        "summary": route.summary,
        "x-greenroom-action": route.action,
        "parameters": parameters,
        "responses": {
            // a command may make something (201) or begin something (202)
            if route.method == "GET" || route.action.is_empty() { "200" } else { "2XX" }: {"description": "Done", "content": content},
            "default": {"$ref": "#/components/responses/Problem"}
        }
    });
    if let (Some(request), Some(object)) = (route.request, operation.as_object_mut()) {
        object.insert("requestBody".to_owned(), json!({"content": {"application/json": {"schema": request(generator)}}}));
    }
    if let (true, Some(object)) = (route.action.is_empty(), operation.as_object_mut()) {
        object.insert("security".to_owned(), json!([]));
    }
    operation
}

fn operation_id(route: &Route) -> String {
    let words = route.path.split('/').filter(|p| !p.is_empty()).map(|p| p.trim_matches(['{', '}', '*']).replace('-', "_"));
    std::iter::once(route.method.to_lowercase()).chain(words).collect::<Vec<_>>().join("_")
}
