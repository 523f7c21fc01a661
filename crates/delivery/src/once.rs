//! JSON in which nothing is said twice: of two answers to one question, nobody can tell which was meant.

use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// As `serde_json` reads it.
///
/// # Errors
/// As there, and when an object has a name twice, at any depth.
pub(crate) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice::<Once>(body)?;
    serde_json::from_slice(body)
}

/// Any value, which is not kept.
struct Once;

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Once;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Once, E> {
        Ok(Once)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Once, E> {
        Ok(Once)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Once, E> {
        Ok(Once)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Once, E> {
        Ok(Once)
    }

    fn visit_str<E>(self, _: &str) -> Result<Once, E> {
        Ok(Once)
    }

    fn visit_unit<E>(self) -> Result<Once, E> {
        Ok(Once)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Once, A::Error> {
        while items.next_element::<Once>()?.is_some() {}
        Ok(Once)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Once, A::Error> {
        let mut names = HashSet::new();
        while let Some(name) = members.next_key::<String>()? {
            members.next_value::<Once>()?;
            if let Some(name) = names.replace(name) {
                return Err(A::Error::custom(format_args!("`{name}` is given twice")));
            }
        }
        Ok(Once)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_name_that_comes_twice_is_refused_at_any_depth() {
        for (body, name) in [(r#"{"a":1,"a":1}"#, "a"), (r#"{"a":[{"b":{}},{"c":null,"b":2.5,"c":"x"}]}"#, "c")] {
            let error = read::<Value>(body.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{name}` is given twice at line 1")), "{error}");
        }
        let well = r#"{"a":[{"b":true},{"b":-1}],"b":18446744073709551615}"#;
        assert_eq!(read::<Value>(well.as_bytes()).unwrap().to_string(), well);
        assert!(read::<Value>(b"{").is_err());
        assert!(read::<Value>(&vec![b'['; 10_000]).is_err(), "as deep as serde_json goes");
    }
}
