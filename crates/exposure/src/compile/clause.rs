//! Clauses: values are read by the type that their operator works on, once.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use regex::{Regex, RegexBuilder};

use super::{Bench, Scope};
use crate::bucket::Bucketer;
use crate::fold::{self, FoldedWords, Needle};
use crate::hash::{Packed, Words};
use crate::instant::Instant;
use crate::model::{Algorithm, AttributeType, Op, TARGETING_KEY, WHOLE};
use crate::program::{Clause, Comparison, EXACT, Kind, Members, Names, Networks, OwnedVersion, Set, Share, Span, Subject, Test};
use crate::source::{self, Malformed, Reader, Scalar};
use crate::version::Version;

/// Bytes of a pattern, and bytes that it may compile into: a pattern such as `(\w{50}){50}` is refused, not built.
const MAX_PATTERN: usize = 512;
const MAX_PROGRAM: usize = 1 << 20;

/// Values up to which a list is compared one by one.
const FEW: usize = 4;

/// How many clauses there are, whose they are, and how many steps follow them before the next rule or group.
pub(super) struct Place {
    pub count: usize,
    pub rule: u16,
    pub after: usize,
}

/// Reads all clauses of a rule or group and appends them; shares last, since they cost most and are only worth asking
/// when all else holds. What is at fault is read as well, to the end.
pub(super) fn all<T>(
    steps: &mut Vec<T>,
    bench: &mut Bench,
    as_step: impl Fn(Clause) -> T,
    from: &mut Reader<'_>,
    Place { count, rule, after }: Place,
    scope: Scope<'_>,
) -> Result<Result<(), String>, Malformed> {
    let next = u32::try_from(steps.len() + count + after).unwrap_or(u32::MAX);
    let (mut shares, mut fault) = (Vec::new(), None);
    for place in 0..count {
        let start = from.at();
        let source = from.clause()?;
        bench.clauses.push(Span { start: start as u32, end: from.at() as u32 });
        if fault.is_some() {
            continue;
        }
        let clause = match (u16::try_from(place), one(&source, &mut bench.names, scope)) {
            (Ok(at), Ok(kind)) => Clause { kind, at, rule, next, skip: next },
            (_, Err(message)) => {
                fault = Some(message);
                continue;
            }
            (Err(_), _) => {
                fault = Some(format!("more than {} clauses", u16::MAX));
                continue;
            }
        };
        if matches!(clause.kind, Kind::Share(_)) { shares.push(clause) } else { steps.push(as_step(clause)) }
    }
    steps.extend(shares.into_iter().map(as_step));
    Ok(fault.map_or(Ok(()), Err))
}

fn one(source: &source::Clause<'_>, names: &mut Arc<Names>, scope: Scope<'_>) -> Result<Kind, String> {
    match source {
        source::Clause::Cohort(name) => match scope.cohorts.map(|cohorts| cohorts.named(name)) {
            Some(Some((_, cohort))) if cohort.fault.is_some() => Err(format!("cohort `{name}` is not valid")),
            Some(Some((id, _))) => Ok(Kind::Cohort(id)),
            Some(None) => Err(format!("there is no cohort `{name}`")),
            None => Err(format!("a cohort may not name another, here `{name}`: repeat its clauses")),
        },
        source::Clause::Share(share) => {
            let subject = bucketed(share.attribute, names, scope)?;
            Ok(Kind::Share(Share { subject, bucketer: Bucketer::new(share.algorithm, share.salt, 0), below: below(share)? }))
        }
        source::Clause::Test(test) => {
            declared(test, scope)?;
            Ok(Kind::Test(Names::subject(names, test.attribute), compile(test)?))
        }
        source::Clause::Not(test) => {
            declared(test, scope)?;
            Ok(Kind::Not(Names::subject(names, test.attribute), compile(test)?))
        }
    }
}

/// The subject of a share or split, which only text can be.
pub(super) fn bucketed(attribute: &str, names: &mut Arc<Names>, scope: Scope<'_>) -> Result<Subject, String> {
    match scope.attributes.get(attribute) {
        Some(AttributeType::Number | AttributeType::Boolean) => Err(format!("attribute `{attribute}` is not declared as text, so callers cannot be divided by it")),
        _ => Ok(Names::subject(names, attribute)),
    }
}

/// The first bucket outside.
fn below(share: &source::Share<'_>) -> Result<u32, String> {
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
fn declared(test: &source::Test<'_>, scope: Scope<'_>) -> Result<(), String> {
    use AttributeType as Type;
    let known = scope.attributes.get(test.attribute).copied();
    let Some(declared) = known.or_else(|| (test.attribute == TARGETING_KEY).then_some(Type::String)) else {
        return Ok(());
    };
    let textual = !matches!(declared, Type::Number | Type::Boolean);
    let fits = match test.op {
        Op::Present | Op::Absent => true,
        Op::In | Op::NotIn => { test.values }.all(|value| match value {
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

fn compile(test: &source::Test<'_>) -> Result<Test, String> {
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
        Op::StartsWith if test.ignore_case => Ok(Test::StartsWithFolded(each(test, |text| Ok(fold::folded(text).into()))?)),
        Op::EndsWith if test.ignore_case => Ok(Test::EndsWithFolded(each(test, |text| Ok(fold::folded(text).into()))?)),
        Op::StartsWith => Ok(Test::StartsWith(each(test, |text| Ok(text.into()))?)),
        Op::EndsWith => Ok(Test::EndsWith(each(test, |text| Ok(text.into()))?)),
        Op::Contains if test.ignore_case => Ok(Test::ContainsFolded(each(test, |text| Ok(Needle::new(text)))?)),
        Op::Contains => Ok(Test::Contains(each(test, |text| Ok(text.into()))?)),
        Op::Regex => Ok(Test::Regex(each(test, |text| pattern(text, test.ignore_case))?)),
        Op::Cidr => Ok(Test::Address(Arc::new(networks(&each(test, network)?)))),
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

fn text<'a>(op: Op, value: &Scalar<'a>) -> Result<&'a str, String> {
    match value {
        Scalar::Text(text) => Ok(*text),
        other => Err(format!("`{op}` compares text, and {other} is none")),
    }
}

fn each<T>(test: &source::Test<'_>, read: impl Fn(&str) -> Result<T, String>) -> Result<Arc<[T]>, String> {
    test.values.map(|value| read(text(test.op, &value)?)).collect()
}

fn single<'a>(test: &source::Test<'a>) -> Result<Scalar<'a>, String> {
    let mut values = test.values;
    match (values.next(), values.len()) {
        (Some(value), 0) => Ok(value),
        _ => Err(format!("`{}` compares with one value, not {}", test.op, test.values.len())),
    }
}

fn exact(op: Op, value: &Scalar<'_>) -> Result<f64, String> {
    let Scalar::Number(number) = value else { return Err(format!("`{op}` compares numbers, and {value} is none")) };
    number.as_f64().filter(|number| number.abs() <= EXACT).ok_or_else(|| format!("{number} is beyond ±(2^53−1)"))
}

/// Few short texts, in no order.
fn few(test: &source::Test<'_>) -> Option<Arc<[Packed]>> {
    let mut few = [Packed::EMPTY; FEW];
    for (at, value) in test.values.enumerate() {
        let Scalar::Text(text) = value else { return None };
        *few.get_mut(at)? = Some(Packed::of(text)).filter(|packed| !packed.is_long())?;
    }
    few.get(..test.values.len()).filter(|_| !test.ignore_case).map(Arc::from)
}

fn members(test: &source::Test<'_>, wanted: bool) -> Result<Test, String> {
    if let Some(few) = few(test) {
        return Ok(Test::Few(few, wanted));
    }
    let (mut texts, mut numbers, mut yes, mut no) = (Vec::new(), Vec::new(), false, false);
    for value in test.values {
        match value {
            Scalar::Text(text) => texts.push(text),
            Scalar::Number(_) => numbers.push(exact(test.op, &value)?),
            Scalar::Boolean(true) => yes = true,
            Scalar::Boolean(false) => no = true,
        }
    }
    texts.sort_unstable();
    texts.dedup();
    if numbers.is_empty() && !yes && !no && !test.ignore_case {
        return Ok(Test::Many(Arc::new(Words::new(&texts)), wanted));
    }
    numbers.sort_unstable_by(f64::total_cmp);
    let texts = if test.ignore_case {
        let folded: BTreeSet<String> = texts.into_iter().map(fold::folded).collect();
        Set::Folded(FoldedWords::new(folded.into_iter().collect()))
    } else {
        Set::Exact(Words::new(&texts))
    };
    Ok(Test::In(Arc::new(Members { texts, numbers: numbers.into(), yes, no }), wanted))
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

fn number(test: &source::Test<'_>, comparison: Comparison) -> Result<Test, String> {
    Ok(Test::Number(comparison, exact(test.op, &single(test)?)?))
}

fn instant(test: &source::Test<'_>, comparison: Comparison) -> Result<Test, String> {
    let text = text(test.op, &single(test)?)?;
    let instant = Instant::parse(text).ok_or_else(|| format!("`{text}` is not an RFC 3339 instant with its offset"))?;
    Ok(Test::Instant(comparison, instant))
}

fn version(test: &source::Test<'_>, comparison: Comparison) -> Result<Test, String> {
    let text = text(test.op, &single(test)?)?;
    let Version { core, pre } = Version::parse(text).ok_or_else(|| format!("`{text}` is not a semantic version"))?;
    Ok(Test::Version(comparison, Arc::new(OwnedVersion { core, pre: pre.into() })))
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
