//! crate open-feature-ofrep, unchanged, through the OpenFeature Rust SDK: one request per evaluation.
//!
//! This provider reports every answer as static, and turns every 400 into an invalid context; so that is all it can tell.

mod connect;

use std::collections::HashMap;

use anyhow::{Context as _, Result, bail, ensure};
use open_feature::{Client, EvaluationContext, EvaluationErrorCode as Code, OpenFeature, StructValue, Value as FeatureValue};
use open_feature_ofrep::{OfrepOptions, OfrepProvider};
use reqwest::header::{AUTHORIZATION, HeaderMap};
use serde_json::{Map, Value, json};

use self::connect::connect;

/// The data plane under test.
struct Plane {
    described: Value,
    model: Value,
    http: reqwest::Client,
}

impl Plane {
    fn of_environment() -> Result<Self> {
        let described = serde_json::from_str(&std::env::var("PLANE")?)?;
        let model = serde_json::from_slice(&std::fs::read(std::env::var("PLANE_MODEL")?)?)?;
        Ok(Self { described, model, http: reqwest::Client::new() })
    }

    fn said(&self, name: &str) -> &str {
        self.described[name].as_str().unwrap_or_default()
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let response = self.http.post(format!("{}{path}", self.said("control"))).json(body).send().await?.error_for_status()?;
        let text = response.text().await?;
        Ok(if text.is_empty() { Value::Null } else { serde_json::from_str(&text)? })
    }
}

/// As someone without a token of the environment, or with none at all; or by another header.
async fn connect_with(api: &mut OpenFeature, plane: &Plane, name: &str, headers: HeaderMap) -> Result<Client> {
    let options = OfrepOptions { base_url: plane.said("address").to_owned(), headers, ..OfrepOptions::default() };
    api.set_named_provider(name, OfrepProvider::new(options).await.map_err(|error| anyhow::anyhow!("{error:?}"))?).await;
    Ok(api.create_named_client(name))
}

fn ann() -> EvaluationContext {
    EvaluationContext::default().with_targeting_key("ann").with_custom_field("plan", "gold")
}

fn is<T: PartialEq + std::fmt::Debug>(given: T, expected: T) -> Result<()> {
    ensure!(given == expected, "{given:?} instead of {expected:?}");
    Ok(())
}

async fn boolean(client: &Client, key: &str, context: &EvaluationContext) -> Result<bool, Code> {
    client.get_bool_value(key, Some(context), None).await.map_err(|error| error.code)
}

async fn every_type_arrives_as_it_is(client: &Client) -> Result<()> {
    let ann = ann();
    is(boolean(client, "boolean", &ann).await, Ok(true))?;
    is(client.get_string_value("string", Some(&ann), None).await.map_err(|error| error.code), Ok("say \"grüezi\"\n".to_owned()))?;
    is(client.get_int_value("integer", Some(&ann), None).await.map_err(|error| error.code), Ok(9_007_199_254_740_991))?;
    is(client.get_float_value("float", Some(&ann), None).await.map_err(|error| error.code), Ok(0.25))?;
    is(client.get_float_value("whole-float", Some(&ann), None).await.map_err(|error| error.code), Ok(10.0))?;
    let object = client.get_struct_value::<StructValue>("object", Some(&ann), None).await.map_err(|error| error.code);
    let fields: HashMap<String, FeatureValue> = object.map_err(|code| anyhow::anyhow!("{code}"))?.fields;
    is(fields.get("dark"), Some(&FeatureValue::Bool(true)))?;
    is(fields.get("sizes"), Some(&FeatureValue::Array(vec![FeatureValue::Int(1), FeatureValue::Float(2.5)])))
}

async fn keys_and_contexts(client: &Client) -> Result<()> {
    let details = client.get_bool_details("shop/checkout/new", Some(&ann()), None).await.map_err(|error| anyhow::anyhow!("{error:?}"))?;
    is((details.value, details.variant.as_deref()), (true, Some("on")))?;
    is(boolean(client, "shop:50%", &ann()).await, Ok(true))?;
    let basic = EvaluationContext::default().with_targeting_key("ann").with_custom_field("plan", "basic");
    is(boolean(client, "shop/checkout/new", &basic).await, Ok(false))?;
    is(boolean(client, "held", &ann()).await, Ok(false))?;
    for (seats, expected) in [(10, "many"), (9, "few")] {
        let context = ann().with_custom_field("seats", seats);
        is(client.get_string_value("seats", Some(&context), None).await.map_err(|error| error.code), Ok(expected.to_owned()))?;
    }
    Ok(())
}

async fn every_error_that_it_can_tell(api: &mut OpenFeature, plane: &Plane, client: &Client) -> Result<()> {
    is(boolean(client, "nowhere", &ann()).await, Err(Code::FlagNotFound))?;
    is(boolean(client, "string", &ann()).await, Err(Code::ParseError))?;
    is(boolean(client, "broken", &ann()).await, Err(Code::InvalidContext))?;
    is(boolean(client, "quarter", &EvaluationContext::default()).await, Err(Code::InvalidContext))?;
    let far = ann().with_custom_field("seats", 9_007_199_254_740_993_i64);
    is(boolean(client, "boolean", &far).await, Err(Code::InvalidContext))?;
    let as_someone = |token: &str| Ok::<_, anyhow::Error>(HeaderMap::from_iter([(AUTHORIZATION, format!("Bearer {token}").parse()?)]));
    for (name, headers) in [("nobody", HeaderMap::new()), ("stranger", as_someone("stranger")?), ("forbidden", as_someone(plane.said("forbidden"))?)] {
        let client = connect_with(api, plane, name, headers).await?;
        ensure!(matches!(boolean(&client, "boolean", &ann()).await, Err(Code::General(_))), "{name} is let in");
    }
    let client = connect_with(api, plane, "api-key", HeaderMap::from_iter([("x-api-key".parse()?, plane.said("token").parse()?)])).await?;
    is(boolean(&client, "boolean", &ann()).await, Ok(true))
}

async fn people_get_what_the_library_gives_them(plane: &Plane, client: &Client) -> Result<()> {
    let person = |n: usize| {
        let mut person = Map::from_iter([("targetingKey".to_owned(), json!(format!("user-{n}"))), ("plan".to_owned(), json!(if n % 3 == 0 { "gold" } else { "basic" }))]);
        if n % 4 != 0 {
            person.insert("seats".to_owned(), json!(n % 20));
        }
        person
    };
    let people: Vec<Map<String, Value>> = (0..2_000).map(person).collect();
    let expected = plane.post("/evaluate", &json!({ "callers": people })).await?;
    for (person, expected) in people.iter().zip(expected.as_array().context("no answers")?) {
        let mut context = EvaluationContext::default();
        for (name, value) in person {
            context = match value {
                Value::String(key) if name == "targetingKey" => context.with_targeting_key(key.as_str()),
                Value::String(text) => context.with_custom_field(name.as_str(), text.as_str()),
                other => context.with_custom_field(name.as_str(), other.as_i64().context("a number")?),
            };
        }
        for key in ["colour", "seats"] {
            let details = client.get_string_details(key, Some(&context), None).await.map_err(|error| anyhow::anyhow!("{key} for {person:?}: {error:?}"))?;
            is((json!(details.value), json!(details.variant)), (expected[key]["value"].clone(), expected[key]["variant"].clone()))?;
        }
        is(boolean(client, "after-quarter", &context).await.ok(), expected["after-quarter"]["value"].as_bool())?;
    }
    Ok(())
}

async fn a_change_counts_and_a_restart_is_survived(plane: &Plane, client: &Client) -> Result<()> {
    let mut next = plane.model.clone();
    next["revision"] = json!(42);
    next["features"]["boolean"]["default"] = json!("off");
    plane.post("/change", &next).await?;
    is(boolean(client, "boolean", &ann()).await, Ok(false))?;
    plane.post("/stop", &Value::Null).await?;
    ensure!(matches!(boolean(client, "boolean", &ann()).await, Err(Code::General(_))), "there is nobody to answer");
    plane.post("/start", &Value::Null).await?;
    is(boolean(client, "boolean", &ann()).await, Ok(false))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let (plane, mut api) = (Plane::of_environment()?, OpenFeature::default());
    let client = connect(&mut api, plane.said("address"), plane.said("token")).await?;
    let outcomes = [
        ("every type arrives as it is", every_type_arrives_as_it_is(&client).await),
        ("keys and contexts", keys_and_contexts(&client).await),
        ("every error that it can tell", every_error_that_it_can_tell(&mut api, &plane, &client).await),
        ("2,000 people get what the library gives them", people_get_what_the_library_gives_them(&plane, &client).await),
        ("a change counts, and a restart is survived", a_change_counts_and_a_restart_is_survived(&plane, &client).await),
    ];
    let mut failed = 0;
    for (name, outcome) in outcomes {
        match outcome {
            Ok(()) => println!("ok      {name}"),
            Err(error) => {
                println!("FAILED  {name}: {error:#}");
                failed += 1;
            }
        }
    }
    if failed > 0 {
        bail!("{failed} failed");
    }
    Ok(())
}
