//! Values as OpenFeature has them. It knows no null: members and elements that are null are left out.

use open_feature::{StructValue, Value};
use serde_json::Map;

/// A number without a fraction, however it was written.
pub(super) fn integer(value: &serde_json::Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_f64().filter(|number| number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0).map(|number| number as i64))
}

pub(super) fn fields(object: &Map<String, serde_json::Value>) -> StructValue {
    StructValue { fields: object.iter().filter_map(|(name, value)| Some((name.clone(), read(value)?))).collect() }
}

fn read(value: &serde_json::Value) -> Option<Value> {
    Some(match value {
        serde_json::Value::Null => return None,
        serde_json::Value::Bool(value) => Value::Bool(*value),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(integer) => Value::Int(integer),
            None => Value::Float(number.as_f64()?),
        },
        serde_json::Value::String(text) => Value::String(text.clone()),
        serde_json::Value::Array(elements) => Value::Array(elements.iter().filter_map(read).collect()),
        serde_json::Value::Object(object) => Value::Struct(fields(object)),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_keep_their_shape() {
        let object = json!({"dark": true, "size": 3, "ratio": 0.5, "nothing": null, "list": [1, null, "a"], "in": {"deep": "er"}});
        let expected = StructValue::default()
            .with_field("dark", true)
            .with_field("size", 3)
            .with_field("ratio", 0.5)
            .with_field("list", Value::Array(vec![Value::Int(1), Value::String("a".to_owned())]))
            .with_field("in", StructValue::default().with_field("deep", "er"));
        assert_eq!(fields(object.as_object().unwrap()), expected);
    }

    #[test]
    fn an_integer_is_one_however_it_is_written() {
        assert_eq!([json!(10), json!(10.0), json!(-3), json!(0.5), json!(1e300), json!("10")].map(|value| integer(&value)), [Some(10), Some(10), Some(-3), None, None, None]);
    }
}
