//! From the model.

use serde_json::{Number, Value};

use super::{ALGORITHMS, ATTRIBUTE_TYPES, OPS, VALUE_TYPES, kind};
use crate::model::{AttributeType, Blocked, Clause, Cohort, Feature, Outcome, Rule, Scalar, Share, Split, TARGETING_KEY, Test};

#[inline]
pub(crate) fn put_number(out: &mut String, mut number: u64) {
    while number >= 64 {
        out.push(char::from((number & 63) as u8 | 64));
        number >>= 6;
    }
    out.push(char::from(number as u8));
}

#[inline]
pub(crate) fn put_text(out: &mut String, text: &str) {
    put_number(out, text.len() as u64);
    out.push_str(text);
}

pub(crate) fn put_declared(out: &mut String, declared: AttributeType) {
    put_one_of(out, &ATTRIBUTE_TYPES, declared);
}

pub(crate) fn put_feature(out: &mut String, feature: &Feature) {
    put_list(out, &feature.prerequisites, |out, needed| {
        put_text(out, &needed.feature);
        put_list(out, &needed.variants, |out, name| put_text(out, name));
    });
    put_one_of(out, &VALUE_TYPES, feature.r#type);
    put_text(out, &feature.off);
    put_text(out, &feature.default);
    put_blocked(out, feature.killed.as_ref());
    put_blocked(out, feature.dark.as_ref());
    put_number(out, feature.variants.len() as u64);
    for (name, value) in &feature.variants {
        put_text(out, name);
        put_value(out, value);
    }
    put_number(out, feature.claims.len() as u64);
    put_number(out, feature.baseline.len() as u64);
    feature.claims.iter().chain(&feature.baseline).for_each(|rule| put_rule(out, rule));
}

pub(crate) fn put_cohort(out: &mut String, cohort: &Cohort) {
    put_number(out, cohort.version);
    put_number(out, cohort.internal.into());
    put_list(out, &cohort.any_of, |out, group| put_list(out, group, put_clause));
}

fn put_list<T>(out: &mut String, list: &[T], put: impl Fn(&mut String, &T)) {
    put_number(out, list.len() as u64);
    list.iter().for_each(|one| put(out, one));
}

/// By its place among all.
fn put_one_of<T: PartialEq + Copy>(out: &mut String, all: &[T], one: T) {
    put_number(out, all.iter().position(|other| *other == one).unwrap_or(all.len()) as u64);
}

fn put_blocked(out: &mut String, blocked: Option<&Blocked>) {
    match blocked {
        None => put_number(out, 0),
        Some(Blocked { release: None, blocked_by }) => {
            put_number(out, 1);
            put_text(out, blocked_by);
        }
        Some(Blocked { release: Some(release), blocked_by }) => {
            put_number(out, 2);
            put_text(out, release);
            put_text(out, blocked_by);
        }
    }
}

fn put_rule(out: &mut String, rule: &Rule) {
    put_number(out, u64::from(rule.release.is_some()) | u64::from(rule.blocked.is_some()) << 1);
    put_text(out, &rule.name);
    rule.release.iter().chain(&rule.blocked).for_each(|text| put_text(out, text));
    put_list(out, &rule.when, put_clause);
    match &rule.then {
        Outcome::Variant(name) => {
            put_number(out, 0);
            put_text(out, name);
        }
        Outcome::Split(Split { salt, algorithm, attribute, weights }) => {
            put_number(out, 1);
            put_text(out, salt);
            put_one_of(out, &ALGORITHMS, *algorithm);
            put_attribute(out, attribute);
            put_list(out, weights, |out, (name, weight)| {
                put_text(out, name);
                put_number(out, u64::from(*weight));
            });
        }
    }
}

fn put_clause(out: &mut String, clause: &Clause) {
    match clause {
        Clause::Test(test) => {
            put_number(out, 0);
            put_test(out, test);
        }
        Clause::Not(test) => {
            put_number(out, 1);
            put_test(out, test);
        }
        Clause::Cohort(name) => {
            put_number(out, 2);
            put_text(out, name);
        }
        Clause::Share(Share { salt, share, algorithm, attribute }) => {
            put_number(out, 3);
            put_text(out, salt);
            put_number(out, u64::from(*share));
            put_one_of(out, &ALGORITHMS, *algorithm);
            put_attribute(out, attribute);
        }
    }
}

fn put_test(out: &mut String, test: &Test) {
    put_attribute(out, &test.attribute);
    put_one_of(out, &OPS, test.op);
    put_number(out, test.ignore_case.into());
    put_list(out, &test.values, |out, value| match value {
        Scalar::Boolean(value) => put_number(out, if *value { kind::TRUE } else { kind::FALSE }),
        Scalar::Number(number) => put_json_number(out, number),
        Scalar::Text(text) => {
            put_number(out, kind::TEXT);
            put_text(out, text);
        }
    });
}

/// The targeting key is what most are.
fn put_attribute(out: &mut String, attribute: &str) {
    if attribute == TARGETING_KEY {
        put_number(out, 0);
    } else {
        put_number(out, attribute.len() as u64 + 1);
        out.push_str(attribute);
    }
}

fn put_value(out: &mut String, value: &Value) {
    match value {
        Value::Null => put_number(out, kind::NULL),
        Value::Bool(value) => put_number(out, if *value { kind::TRUE } else { kind::FALSE }),
        Value::Number(number) => put_json_number(out, number),
        Value::String(text) => {
            put_number(out, kind::TEXT);
            put_text(out, text);
        }
        Value::Array(list) => {
            put_number(out, kind::LIST);
            put_list(out, list, put_value);
        }
        Value::Object(object) => {
            put_number(out, kind::OBJECT);
            put_number(out, object.len() as u64);
            for (name, value) in object {
                put_text(out, name);
                put_value(out, value);
            }
        }
    }
}

fn put_json_number(out: &mut String, number: &Number) {
    let (of, bits) = match (number.as_u64(), number.as_i64()) {
        (Some(positive), _) => (kind::POSITIVE, positive),
        (None, Some(negative)) => (kind::NEGATIVE, negative.unsigned_abs()),
        (None, None) => (kind::FLOAT, number.as_f64().unwrap_or_default().to_bits().swap_bytes()),
    };
    put_number(out, of);
    put_number(out, bits);
}
