//! Why a user gets what they get.

use greenroom_api::client::call;
use greenroom_api::views::Explained;
use greenroom_domain::id::{FeatureKey, Name};
use greenroom_domain::time::At;
use serde_json::{Map, Value};

use crate::context::Context;
use crate::error::Failure;
use crate::output::{Page, Paint, instant};

#[derive(Debug, clap::Args)]
pub struct Explain {
    /// Key of the feature
    feature: FeatureKey,
    /// Environment
    #[arg(long, value_name = "ENV")]
    env: Name,
    /// The user: their targeting key
    #[arg(long = "for", value_name = "USER")]
    user: Option<String>,
    /// What else is known of the user; true, 5 and "5" are a boolean, a number and a text
    #[arg(long, value_name = "KEY=VALUE", value_parser = attribute)]
    attribute: Vec<(String, Value)>,
    /// Answer for this instant instead of now, as 2026-12-01T14:00:00Z
    #[arg(long, value_name = "TIME")]
    at: Option<At>,
}

fn attribute(text: &str) -> Result<(String, Value), String> {
    let (key, value) = text.split_once('=').ok_or("write it as KEY=VALUE")?;
    let value = serde_json::from_str(value).ok().filter(|v: &Value| !v.is_object() && !v.is_array() && !v.is_null()).unwrap_or_else(|| Value::String(value.to_owned()));
    Ok((key.to_owned(), value))
}

impl Explain {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let attributes: Map<String, Value> = self.attribute.into_iter().collect();
        let more = (!attributes.is_empty()).then(|| Value::Object(attributes));
        let call = call::explain().query("feature", &self.feature).query("environment", &self.env).maybe("for", self.user.as_ref()).maybe("context", more).maybe("at", self.at);
        let user = self.user.unwrap_or_else(|| "someone unknown".to_owned());
        context.show(call, |page, answer| show(page, answer, &user)).await
    }
}

fn show(page: &mut Page, answer: &Explained, user: &str) {
    page.pieces(&[
        (Paint::Strong, answer.feature.as_str()),
        (Paint::Plain, &format!(" for {user} in {}: ", answer.environment)),
        (Paint::Accent, &answer.variant),
        (Paint::Dim, &format!("  {}", answer.value)),
    ]);
    page.fields(&[
        ("reason", answer.reason.clone()),
        ("rule", answer.rule.clone().unwrap_or_default()),
        ("release", answer.release.clone().unwrap_or_default()),
        ("blocked by", answer.blocked_by.clone().unwrap_or_default()),
        ("as of", format!("{} (revision {})", instant(answer.at), answer.revision)),
    ]);
    let steps = answer.trace.get("steps").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if !steps.is_empty() {
        page.heading("Step by step");
    }
    for step in steps {
        let text = |key: &str| step.get(key).and_then(Value::as_str).map(str::to_owned);
        let (mark, paint) = if step.get("matched") == Some(&Value::Bool(true)) { ("✔ ", Paint::Good) } else { ("✖ ", Paint::Dim) };
        let asked: Vec<String> = [text("feature"), text("rule"), text("clause")].into_iter().flatten().collect();
        let asked = if asked.is_empty() { String::new() } else { format!("{}: ", asked.join(", ")) };
        page.pieces(&[(Paint::Plain, "  "), (paint, mark), (Paint::Plain, &asked), (Paint::Dim, &text("why").unwrap_or_default())]);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn attributes_are_typed_as_written() {
        let value = |text| super::attribute(text).unwrap().1;
        assert_eq!([value("a=true"), value("a=5"), value("a=\"5\""), value("a=de=x"), value("a=")], [json!(true), json!(5), json!("5"), json!("de=x"), json!("")]);
        assert!(super::attribute("a").is_err());
    }
}
