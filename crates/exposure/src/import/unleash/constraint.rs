//! Constraints as clauses. Values are trimmed and empty ones dropped, as SDKs do.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Number;

use crate::instant::Instant;
use crate::model::{Clause, Op, Scalar, TARGETING_KEY, Test};
use crate::program::EXACT;
use crate::version::Version;
use crate::wire::unleash::{Constraint, Segment, Toggle};

/// The instant that dates are compared with.
const NOW: &str = "currentTime";

/// Our name for what a context of Unleash's calls `name`.
pub(super) fn attribute(name: &str) -> &str {
    if name == "userId" { TARGETING_KEY } else { name }
}

/// The attributes that some constraint compares as numbers.
pub(super) fn numbers(toggles: &BTreeMap<String, Toggle>, segments: &BTreeMap<i64, Segment>) -> BTreeSet<String> {
    let of_strategies = toggles.values().flat_map(|toggle| &toggle.strategies).flat_map(|strategy| &strategy.constraints);
    let of_segments = segments.values().filter_map(|segment| segment.constraints.as_ref()).flatten();
    of_strategies.chain(of_segments).filter(|constraint| constraint.operator.starts_with("NUM_")).map(|constraint| attribute(&constraint.context_name).to_owned()).collect()
}

/// Clauses that hold together where all constraints do; `None` if they never can.
pub(super) fn all(constraints: &[Constraint], numbers: &BTreeSet<String>) -> Result<Option<Vec<Clause>>, String> {
    let mut clauses = Vec::new();
    for constraint in constraints {
        match one(constraint, numbers).map_err(|because| format!("constraint on `{}`: {because}", constraint.context_name))? {
            Condition::Always => {}
            // the rest is read all the same, for what may be wrong with it
            Condition::Never => return Ok(None),
            Condition::If(clause) => clauses.push(clause),
            Condition::When(instant, clause) => clauses.extend([instant, clause]),
        }
    }
    Ok(Some(clauses))
}

enum Condition {
    Always,
    Never,
    If(Clause),
    /// Only for callers who give this.
    When(Clause, Clause),
}

fn one(constraint: &Constraint, numbers: &BTreeSet<String>) -> Result<Condition, String> {
    use Op::{After, Before, Cidr, Contains, EndsWith, Eq, Ge, Gt, In, Le, Lt, Regex, SemverEq, SemverGe, SemverGt, SemverLe, SemverLt, StartsWith};
    let name = attribute(&constraint.context_name);
    let number = numbers.contains(name);
    let test = |op, values: Vec<Scalar>, ignore_case| Test { attribute: name.to_owned(), op, values, ignore_case };
    let texts = |op| {
        if number && op != In {
            return Err("it is compared as a number elsewhere, and here as text".to_owned());
        }
        let values = clean(&constraint.values).flat_map(|text| if op == In { members(text, number) } else { vec![text.into()] });
        Ok(test(op, values.collect(), constraint.case_insensitive && op != In))
    };
    let comparison = |op| {
        let text = value(constraint)?;
        Ok(test(op, vec![Scalar::Number(exact(text).ok_or_else(|| format!("`{text}` is no number within ±(2^53−1)"))?)], false))
    };
    let version = |op| {
        let text = value(constraint)?;
        Version::parse(text).map(|_| test(op, vec![text.into()], false)).ok_or_else(|| format!("`{text}` is not a semantic version"))
    };
    let date = |op| {
        let text = value(constraint)?;
        if name != NOW {
            return Err(format!("SDKs disagree on dates of other attributes than `{NOW}`"));
        }
        Instant::parse(text).map(|_| test(op, vec![text.into()], false)).ok_or_else(|| format!("`{text}` is not an RFC 3339 instant with its offset"))
    };
    let operator = constraint.operator.as_str();
    let test = match operator {
        "IN" | "NOT_IN" => texts(In),
        "STR_STARTS_WITH" => texts(StartsWith),
        "STR_ENDS_WITH" => texts(EndsWith),
        "STR_CONTAINS" => texts(Contains),
        "NUM_EQ" => comparison(Eq),
        "NUM_LT" => comparison(Lt),
        "NUM_LTE" => comparison(Le),
        "NUM_GT" => comparison(Gt),
        "NUM_GTE" => comparison(Ge),
        "DATE_BEFORE" => date(Before),
        "DATE_AFTER" => date(After),
        "SEMVER_EQ" => version(SemverEq),
        "SEMVER_LT" => version(SemverLt),
        "SEMVER_LTE" => version(SemverLe),
        "SEMVER_GT" => version(SemverGt),
        "SEMVER_GTE" => version(SemverGe),
        "REGEX" => value(constraint).map(|pattern| test(Regex, vec![pattern.into()], constraint.case_insensitive)),
        "IN_CIDR" => Ok(test(Cidr, networks(clean(&constraint.values)), false)),
        unknown => Err(format!("operator `{unknown}` is not known")),
    }?;
    let negated = constraint.inverted != (operator == "NOT_IN");
    Ok(match (test.values.is_empty(), negated) {
        (true, true) => Condition::Always,
        (true, false) => Condition::Never,
        (false, true) if name == NOW => Condition::When(Clause::test(NOW, Op::Present, Vec::<Scalar>::new()), Clause::Not(test)),
        (false, true) => Condition::If(Clause::Not(test)),
        (false, false) => Condition::If(Clause::Test(test)),
    })
}

fn clean(values: &[String]) -> impl Iterator<Item = &str> {
    values.iter().map(|text| text.trim()).filter(|text| !text.is_empty())
}

/// A member of a list as text, and as a number where the attribute is one.
pub(super) fn members(text: &str, number: bool) -> Vec<Scalar> {
    let number = exact(text).filter(|_| number).map(Scalar::Number);
    std::iter::once(text.into()).chain(number).collect()
}

/// Networks and addresses; what is neither holds for no one.
pub(super) fn networks<'t>(texts: impl Iterator<Item = &'t str>) -> Vec<Scalar> {
    texts.filter(|text| text.parse::<IpNet>().is_ok() || text.parse::<IpAddr>().is_ok()).map(Scalar::from).collect()
}

fn value(constraint: &Constraint) -> Result<&str, String> {
    constraint.value.as_deref().map(str::trim).filter(|text| !text.is_empty()).ok_or_else(|| format!("`{}` needs a `value`", constraint.operator))
}

fn exact(text: &str) -> Option<Number> {
    match text.parse::<i64>() {
        Ok(whole) if whole.unsigned_abs() <= EXACT as u64 => Some(whole.into()),
        Ok(_) => None,
        Err(_) => text.parse::<f64>().ok().filter(|number| number.abs() <= EXACT).and_then(Number::from_f64),
    }
}
