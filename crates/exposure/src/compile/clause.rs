//! Clauses: values are read by the type that their operator works on, once.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use regex::{Regex, RegexBuilder};

use super::Scope;
use crate::bucket::Bucketer;
use crate::fold::{self, FoldedWords, Needle};
use crate::hash::{Word, Words};
use crate::instant::Instant;
use crate::model::{self, Algorithm, AttributeType, Op, Scalar, TARGETING_KEY, WHOLE};
use crate::program::{Affixes, Clause, Comparison, EXACT, Kind, Members, Networks, OwnedVersion, Set, Share, Subject, Test};
use crate::version::Version;

/// Bytes of a pattern, and bytes that it may compile into: a pattern such as `(\w{50}){50}` is refused, not built.
const MAX_PATTERN: usize = 512;
const MAX_PROGRAM: usize = 1 << 20;

/// Values up to which a list is compared one by one.
const FEW: usize = 4;

/// Appends all clauses of a rule or group; shares last, since they cost most and are only worth asking when all else
/// holds. `after` is how many steps follow them before the next rule or group.
pub(super) fn all<T>(steps: &mut Vec<T>, as_step: impl Fn(Clause) -> T, when: &[model::Clause], rule: u16, after: usize, scope: Scope<'_>) -> Result<(), String> {
    let next = u32::try_from(steps.len() + when.len() + after).map_err(|_| format!("more than {} clauses", u32::MAX))?;
    let mut clauses = Vec::with_capacity(when.len());
    for (at, source) in when.iter().enumerate() {
        let at = u16::try_from(at).map_err(|_| format!("more than {} clauses", u16::MAX))?;
        clauses.push(Clause { kind: one(source, scope)?, at, rule, next, skip: next });
    }
    clauses.sort_by_key(|clause| matches!(clause.kind, Kind::Share(_)));
    steps.extend(clauses.into_iter().map(as_step));
    Ok(())
}

fn one(source: &model::Clause, scope: Scope<'_>) -> Result<Kind, String> {
    match source {
        model::Clause::Cohort(name) => match scope.cohorts.map(|cohorts| cohorts.named(name)) {
            Some(Some((_, cohort))) if cohort.fault.is_some() => Err(format!("cohort `{name}` is not valid")),
            Some(Some((id, _))) => Ok(Kind::Cohort(id)),
            Some(None) => Err(format!("there is no cohort `{name}`")),
            None => Err(format!("a cohort may not name another, here `{name}`: repeat its clauses")),
        },
        model::Clause::Share(share) => {
            Ok(Kind::Share(Share { subject: bucketed(&share.attribute, scope)?, bucketer: Bucketer::new(share.algorithm, &share.salt, 0), below: below(share)? }))
        }
        model::Clause::Test(test) => {
            declared(test, scope)?;
            Ok(Kind::Test(subject(&test.attribute, scope), compile(test)?))
        }
        model::Clause::Not(test) => {
            declared(test, scope)?;
            Ok(Kind::Not(subject(&test.attribute, scope), compile(test)?))
        }
    }
}

fn subject(attribute: &str, scope: Scope<'_>) -> Subject {
    if attribute == TARGETING_KEY { Subject::TargetingKey } else { Subject::Attribute(scope.names.shared(attribute)) }
}

/// The subject of a share or split, which only text can be.
pub(super) fn bucketed(attribute: &str, scope: Scope<'_>) -> Result<Subject, String> {
    match scope.attributes.get(attribute) {
        Some(AttributeType::Number | AttributeType::Boolean) => Err(format!("attribute `{attribute}` is not declared as text, so callers cannot be divided by it")),
        _ => Ok(subject(attribute, scope)),
    }
}

/// The first bucket outside.
fn below(share: &model::Share) -> Result<u32, String> {
    let of = share.share;
    match share.algorithm {
        _ if of > WHOLE => Err(format!("a share of {of} is more than {WHOLE}, which is everyone")),
        Algorithm::M3 => Ok(of),
        Algorithm::Unleash if of.is_multiple_of(WHOLE / 100) => Ok(of / (WHOLE / 100)),
        Algorithm::Unleash => Err(format!("`{}` knows whole percents only: a share of {of} is none", share.algorithm)),
        Algorithm::UnleashVariant => Err(format!("`{}` divides variants, not shares", share.algorithm)),
    }
}

/// Refuses an operator or value that can never fit what the attribute was declared to be.
fn declared(test: &model::Test, scope: Scope<'_>) -> Result<(), String> {
    use AttributeType as Type;
    let known = scope.attributes.get(&test.attribute).copied();
    let Some(declared) = known.or_else(|| (test.attribute == TARGETING_KEY).then_some(Type::String)) else {
        return Ok(());
    };
    let textual = !matches!(declared, Type::Number | Type::Boolean);
    let fits = match test.op {
        Op::Present | Op::Absent => true,
        Op::In | Op::NotIn => test.values.iter().all(|value| match value {
            Scalar::Text(_) => textual,
            Scalar::Number(_) => declared == Type::Number,
            Scalar::Boolean(_) => declared == Type::Boolean,
        }),
        Op::StartsWith | Op::EndsWith | Op::Contains | Op::Regex => textual,
        Op::Eq | Op::Lt | Op::Le | Op::Gt | Op::Ge => declared == Type::Number,
        Op::Before | Op::After => declared == Type::Date,
        Op::SemverEq | Op::SemverLt | Op::SemverLe | Op::SemverGt | Op::SemverGe => declared == Type::Semver,
        Op::Cidr => declared == Type::Address,
    };
    if fits { Ok(()) } else { Err(format!("`{}` does not fit attribute `{}`, declared as {declared}", test.op, test.attribute)) }
}

fn compile(test: &model::Test) -> Result<Test, String> {
    let op = test.op;
    let cased = matches!(op, Op::In | Op::NotIn | Op::StartsWith | Op::EndsWith | Op::Contains | Op::Regex);
    if test.ignore_case && !cased {
        return Err(format!("`ignore_case` means nothing to `{op}`"));
    }
    match op {
        Op::Present | Op::Absent if !test.values.is_empty() => Err(format!("`{op}` takes no values")),
        Op::Present => Ok(Test::Present),
        Op::Absent => Ok(Test::Absent),
        _ if test.values.is_empty() => Err(format!("`{op}` needs a value")),
        Op::In => members(test, true),
        Op::NotIn => members(test, false),
        Op::StartsWith => Ok(Test::StartsWith(affixes(test)?)),
        Op::EndsWith => Ok(Test::EndsWith(affixes(test)?)),
        Op::Contains if test.ignore_case => Ok(Test::ContainsFolded(each(test, |text| Ok(Needle::new(text)))?)),
        Op::Contains => Ok(Test::Contains(each(test, |text| Ok(text.into()))?)),
        Op::Regex => Ok(Test::Regex(each(test, |text| pattern(text, test.ignore_case))?)),
        Op::Cidr => Ok(Test::Address(Box::new(networks(&each(test, network)?)))),
        Op::Eq => number(test, Comparison::Eq),
        Op::Lt => number(test, Comparison::Lt),
        Op::Le => number(test, Comparison::Le),
        Op::Gt => number(test, Comparison::Gt),
        Op::Ge => number(test, Comparison::Ge),
        Op::Before => instant(test, Comparison::Lt),
        Op::After => instant(test, Comparison::Gt),
        Op::SemverEq => version(test, Comparison::Eq),
        Op::SemverLt => version(test, Comparison::Lt),
        Op::SemverLe => version(test, Comparison::Le),
        Op::SemverGt => version(test, Comparison::Gt),
        Op::SemverGe => version(test, Comparison::Ge),
    }
}

fn text(op: Op, value: &Scalar) -> Result<&str, String> {
    match value {
        Scalar::Text(text) => Ok(text),
        other => Err(format!("`{op}` compares text, and {other} is none")),
    }
}

fn each<T>(test: &model::Test, read: impl Fn(&str) -> Result<T, String>) -> Result<Box<[T]>, String> {
    test.values.iter().map(|value| read(text(test.op, value)?)).collect()
}

fn single(test: &model::Test) -> Result<&Scalar, String> {
    match test.values.as_slice() {
        [value] => Ok(value),
        values => Err(format!("`{}` compares with one value, not {}", test.op, values.len())),
    }
}

fn exact(op: Op, value: &Scalar) -> Result<f64, String> {
    let Scalar::Number(number) = value else { return Err(format!("`{op}` compares numbers, and {value} is none")) };
    number.as_f64().filter(|number| number.abs() <= EXACT).ok_or_else(|| format!("{number} is beyond ±(2^53−1)"))
}

fn members(test: &model::Test, wanted: bool) -> Result<Test, String> {
    let (mut texts, mut numbers, mut yes, mut no) = (Vec::new(), Vec::new(), false, false);
    for value in &test.values {
        match value {
            Scalar::Text(text) => texts.push(text.as_str()),
            Scalar::Number(_) => numbers.push(exact(test.op, value)?),
            Scalar::Boolean(true) => yes = true,
            Scalar::Boolean(false) => no = true,
        }
    }
    texts.sort_unstable();
    texts.dedup();
    if numbers.is_empty() && !yes && !no && !test.ignore_case {
        return Ok(match texts.len() {
            0..=FEW => Test::Few(texts.into_iter().map(Word::new).collect(), wanted),
            _ => Test::Many(Box::new(Words::new(&texts)), wanted),
        });
    }
    numbers.sort_unstable_by(f64::total_cmp);
    let texts = if test.ignore_case {
        let folded: BTreeSet<String> = texts.into_iter().map(fold::folded).collect();
        Set::Folded(FoldedWords::new(folded.into_iter().collect()))
    } else {
        Set::Exact(Words::new(&texts))
    };
    Ok(Test::In(Box::new(Members { texts, numbers: numbers.into(), yes, no }), wanted))
}

fn affixes(test: &model::Test) -> Result<Affixes, String> {
    let list = each(test, |text| Ok(if test.ignore_case { fold::folded(text).into() } else { text.into() }))?;
    Ok(Affixes { fold: test.ignore_case, list })
}

fn pattern(text: &str, ignore_case: bool) -> Result<Regex, String> {
    if text.len() > MAX_PATTERN {
        return Err(format!("a pattern of {} bytes is longer than {MAX_PATTERN}", text.len()));
    }
    RegexBuilder::new(text).case_insensitive(ignore_case).size_limit(MAX_PROGRAM).dfa_size_limit(MAX_PROGRAM).build().map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => format!("pattern `{text}` is too big: use smaller repetitions"),
        // The parser draws the pattern over several lines; the last one says what is wrong.
        other => format!("pattern `{text}`: {}", other.to_string().lines().last().unwrap_or("not valid").trim()),
    })
}

fn number(test: &model::Test, comparison: Comparison) -> Result<Test, String> {
    Ok(Test::Number(comparison, exact(test.op, single(test)?)?))
}

fn instant(test: &model::Test, comparison: Comparison) -> Result<Test, String> {
    let text = text(test.op, single(test)?)?;
    let instant = Instant::parse(text).ok_or_else(|| format!("`{text}` is not an RFC 3339 instant with its offset"))?;
    Ok(Test::Instant(comparison, instant))
}

fn version(test: &model::Test, comparison: Comparison) -> Result<Test, String> {
    let text = text(test.op, single(test)?)?;
    let Version { core, pre } = Version::parse(text).ok_or_else(|| format!("`{text}` is not a semantic version"))?;
    Ok(Test::Version(comparison, Box::new(OwnedVersion { core, pre: pre.into() })))
}

/// A network, or an address for itself. An IPv4 network written the IPv6 way is an IPv4 network.
fn network(text: &str) -> Result<IpNet, String> {
    let not_valid = || format!("`{text}` is neither a network such as `10.0.0.0/8` nor an address");
    let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).map_err(|_| not_valid())?;
    match (network.addr().to_canonical(), network.prefix_len().checked_sub(96)) {
        (IpAddr::V4(address), Some(length)) if network.addr().is_ipv6() => IpNet::new(address.into(), length).map_err(|_| not_valid()),
        _ => Ok(network),
    }
}

fn networks(list: &[IpNet]) -> Networks {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for network in list {
        match network {
            IpNet::V4(net) => v4.push((u32::from(net.network()), u32::from(net.broadcast()))),
            IpNet::V6(net) => v6.push((u128::from(net.network()), u128::from(net.broadcast()))),
        }
    }
    Networks { v4: merged(v4), v6: merged(v6) }
}

/// Networks never overlap in part, so a range that starts inside another lies inside it.
fn merged<N: Copy + Ord>(mut ranges: Vec<(N, N)>) -> Box<[(N, N)]> {
    ranges.sort_unstable_by_key(|(first, last)| (*first, std::cmp::Reverse(*last)));
    ranges.dedup_by(|later, earlier| later.0 <= earlier.1);
    ranges.into()
}
