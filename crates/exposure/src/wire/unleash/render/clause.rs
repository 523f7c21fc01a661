//! Clauses as what one strategy can ask, in disjunctive form: any of these, each all of its parts.

use std::net::IpAddr;

use ipnet::IpNet;

use super::part::{ADDRESS, All, Any, Slot, listed, single};
use super::{MAX_STRATEGIES, Reader, group, pattern};
use crate::model::{Algorithm, AttributeType, Clause, Op, Scalar, TARGETING_KEY, Test, WHOLE};
use crate::program::EXACT;
use crate::version::Version;
use crate::wire::unleash::{Constraint, NONCE, Roll, Stickiness};

/// The instant that SDKs compare dates with.
const NOW: &str = "currentTime";
const HOST: &str = "applicationHostname";

/// Whether a clause shall hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Held,
    Broken,
}

/// When a caller has an attribute.
enum Given {
    Always,
    /// As a text, which a strategy can ask in several ways.
    AsText(String),
    If(Constraint),
    Unclear,
}

impl Reader<'_, '_> {
    /// Callers for whom all of `when` hold.
    pub(super) fn all(&mut self, when: &[Clause]) -> Any {
        let mut any = vec![All::default()];
        for clause in when {
            let more = self.clause(clause, Wanted::Held);
            any = self.and(&any, &more);
        }
        any
    }

    /// Callers for whom some of `when` does not hold.
    pub(super) fn none(&mut self, when: &[Clause]) -> Any {
        when.iter().flat_map(|clause| self.clause(clause, Wanted::Broken)).collect()
    }

    pub(super) fn and(&mut self, one: &Any, other: &Any) -> Any {
        if one.len() * other.len() > MAX_STRATEGIES {
            self.too_many();
            return Any::new();
        }
        let mut both = Any::new();
        for pair in one.iter().flat_map(|one| other.iter().map(move |other| one.and(other))) {
            match pair {
                Ok(all) => both.extend(all),
                Err(because) => self.refuse(because),
            }
        }
        both
    }

    fn clause(&mut self, clause: &Clause, wanted: Wanted) -> Any {
        let any = match (clause, wanted) {
            (Clause::Cohort(name), wanted) => return self.cohort(name, wanted),
            (Clause::Share(share), Wanted::Held) => {
                let roll = Stickiness::of(&share.attribute);
                return match share.algorithm {
                    Algorithm::Unleash => self.roll(&share.salt, share.share / (WHOLE / 100), &roll),
                    algorithm => {
                        self.refuse(format!("`{clause}` divides by `{algorithm}`, which Unleash SDKs do not know"));
                        Any::new()
                    }
                };
            }
            (Clause::Share(_), Wanted::Broken) => Err("those it gives nothing are a share, and strategies cannot leave a share out".to_owned()),
            (Clause::Test(test), wanted) | (Clause::Not(test), wanted) => {
                let negated = matches!(clause, Clause::Not(_));
                self.test(test, if negated == (wanted == Wanted::Held) { Wanted::Broken } else { Wanted::Held })
            }
        };
        any.unwrap_or_else(|because| {
            self.refuse(format!("`{clause}`: {because}"));
            Any::new()
        })
    }

    fn cohort(&mut self, name: &str, wanted: Wanted) -> Any {
        let Some(cohort) = self.wire.cohorts.get(name) else { return Any::new() };
        let groups = &cohort.any_of;
        let mut left = vec![All::default()];
        let mut any = Any::new();
        for (at, group) in groups.iter().enumerate() {
            if wanted == Wanted::Broken {
                let outside = self.none(group);
                left = self.and(&left, &outside);
                continue;
            }
            let inside = self.all(group);
            let segment = match inside.as_slice() {
                [All { constraints, segments, present, slot: None }] if segments.is_empty() && present.is_empty() && !constraints.is_empty() => {
                    self.wire.segments.get(&(name, at)).map(|id| (*id, constraints.clone()))
                }
                _ => None,
            };
            match segment {
                Some(segment) => any.push(All { segments: vec![segment], ..All::default() }),
                None => any.extend(inside),
            }
        }
        if wanted == Wanted::Broken { left } else { any }
    }

    /// Callers who have the attribute.
    pub(super) fn present(&mut self, attribute: &str) -> Any {
        match self.given(attribute) {
            Given::Always => vec![All::default()],
            Given::AsText(name) => vec![All { present: vec![name], ..All::default() }],
            Given::If(constraint) => vec![constraint.into()],
            Given::Unclear => Any::new(),
        }
    }

    /// Callers who do not.
    pub(super) fn absent(&mut self, attribute: &str) -> Any {
        match self.given(attribute) {
            Given::Always | Given::Unclear => Any::new(),
            Given::AsText(name) => any_of(vec![pattern::anything(&name)], Wanted::Broken),
            Given::If(constraint) => any_of(vec![constraint], Wanted::Broken),
        }
    }

    fn given(&mut self, attribute: &str) -> Given {
        if attribute == NONCE || attribute == NOW {
            return Given::Always;
        }
        let given = match self.name(attribute) {
            Ok(name) if !self.is_number(attribute) => Ok(Given::AsText(name)),
            Ok(name) if self.wire.snapshot.attribute(attribute) == Some(AttributeType::Number) => {
                self.note(format!("`{attribute}` is declared as a number: what is none counts as absent to Unleash SDKs"));
                Ok(Given::If(single(&name, "NUM_GTE", format!("-{EXACT}"))))
            }
            Ok(_) => Err(format!("SDKs cannot tell whether a number is given at all: declare `{attribute}` as a number")),
            Err(because) => Err(because),
        };
        given.unwrap_or_else(|because| {
            self.refuse(because);
            Given::Unclear
        })
    }

    fn test(&mut self, test: &Test, wanted: Wanted) -> Result<Any, String> {
        let attribute = test.attribute.as_str();
        match (test.op, wanted) {
            (Op::Present, Wanted::Held) | (Op::Absent, Wanted::Broken) => return Ok(self.present(attribute)),
            (Op::Present, Wanted::Broken) | (Op::Absent, Wanted::Held) => return Ok(self.absent(attribute)),
            (Op::In, _) if attribute == HOST => return hosts(test, wanted),
            _ => {}
        }
        let name = self.name(attribute)?;
        match test.op {
            Op::In => self.members(test, &name, wanted),
            Op::NotIn if wanted == Wanted::Held => {
                let (present, outside) = (self.present(attribute), self.members(test, &name, Wanted::Broken)?);
                Ok(self.and(&present, &outside))
            }
            Op::NotIn => {
                let mut any = self.absent(attribute);
                any.extend(self.members(test, &name, Wanted::Held)?);
                Ok(any)
            }
            Op::StartsWith => self.texts(test, &name, "STR_STARTS_WITH", wanted),
            Op::EndsWith => self.texts(test, &name, "STR_ENDS_WITH", wanted),
            Op::Contains => self.texts(test, &name, "STR_CONTAINS", wanted),
            Op::Cidr => self.networks(test, &name, wanted),
            Op::Eq => numbers(test, &name, "NUM_EQ", wanted),
            Op::Lt => numbers(test, &name, "NUM_LT", wanted),
            Op::Le => numbers(test, &name, "NUM_LTE", wanted),
            Op::Gt => numbers(test, &name, "NUM_GT", wanted),
            Op::Ge => numbers(test, &name, "NUM_GTE", wanted),
            Op::Before => self.instant(test, "DATE_BEFORE", wanted),
            Op::After => self.instant(test, "DATE_AFTER", wanted),
            op => {
                if self.is_number(attribute) {
                    return Err(format!("`{attribute}` is compared as a number elsewhere, and here as text"));
                }
                let constraint = |text: &str| match op {
                    Op::Regex => pattern::understood(text).map(|()| Constraint { case_insensitive: test.ignore_case, ..single(&name, "REGEX", text.to_owned()) }),
                    Op::SemverEq => version(&name, "SEMVER_EQ", text),
                    Op::SemverLt => version(&name, "SEMVER_LT", text),
                    Op::SemverLe => version(&name, "SEMVER_LTE", text),
                    Op::SemverGt => version(&name, "SEMVER_GT", text),
                    _ => version(&name, "SEMVER_GTE", text),
                };
                let constraints: Vec<Constraint> = test.values.iter().filter_map(text).map(constraint).collect::<Result<_, _>>()?;
                Ok(any_of(constraints, wanted))
            }
        }
    }

    fn members(&mut self, test: &Test, name: &str, wanted: Wanted) -> Result<Any, String> {
        if test.ignore_case {
            return Err("SDKs do not ignore case in a list".to_owned());
        }
        if test.values.iter().any(|value| matches!(value, Scalar::Boolean(_))) {
            return Err("SDKs write a boolean as text, each in its own way".to_owned());
        }
        let number = self.is_number(&test.attribute);
        // of an attribute that is a number, a text that reads as one has become one
        let reads = |value: &str| number && value.trim().parse::<f64>().is_ok();
        let texts: Vec<String> = test.values.iter().filter_map(text).filter(|value| !reads(value)).map(clean).collect::<Result<_, _>>()?;
        let equal = test.values.iter().filter_map(|value| if let Scalar::Number(number) = value { Some(single(name, "NUM_EQ", number.to_string())) } else { None });
        let constraints: Vec<Constraint> = (!texts.is_empty()).then(|| listed(name, "IN", texts)).into_iter().chain(equal).collect();
        Ok(any_of(constraints, wanted))
    }

    fn texts(&mut self, test: &Test, name: &str, operator: &str, wanted: Wanted) -> Result<Any, String> {
        if self.is_number(&test.attribute) {
            return Err(format!("`{}` is compared as a number elsewhere, and here as text", test.attribute));
        }
        let values: Vec<String> = test.values.iter().filter_map(text).map(clean).collect::<Result<_, _>>()?;
        if test.ignore_case {
            if !values.iter().all(|value| value.is_ascii()) {
                return Err("SDKs compare lower case, which is another thing beyond ASCII".to_owned());
            }
            self.note(format!("`{}` ignoring case: SDKs compare lower case, which differs for a few letters beyond ASCII, such as ſ and İ", test.attribute));
        }
        Ok(any_of(vec![Constraint { case_insensitive: test.ignore_case, ..listed(name, operator, values) }], wanted))
    }

    fn networks(&mut self, test: &Test, name: &str, wanted: Wanted) -> Result<Any, String> {
        if self.is_number(&test.attribute) {
            return Err(format!("`{}` is compared as a number elsewhere, and here as text", test.attribute));
        }
        let values: Vec<String> = test.values.iter().filter_map(text).map(str::to_owned).collect();
        let address = |value: &String| value.parse::<IpNet>().map(|network| network.addr()).or_else(|_| value.parse::<IpAddr>());
        let addresses: Vec<IpAddr> = values.iter().filter_map(|value| address(value).ok()).collect();
        if addresses.iter().any(|address| address.is_ipv6() && address.to_canonical() != *address) {
            return Err("SDKs do not take an IPv4 address that is written as IPv6 for one".to_owned());
        }
        let v4 = addresses.iter().all(IpAddr::is_ipv4);
        if addresses.iter().any(IpAddr::is_ipv4) {
            self.note(format!("to SDKs an IPv4 address in `{}` that is written as IPv6 is in no IPv4 network", test.attribute));
        }
        if wanted == Wanted::Held && name == ADDRESS && v4 {
            return Ok(vec![Slot::Addresses(values).into()]);
        }
        Ok(any_of(vec![listed(name, "IN_CIDR", values)], wanted))
    }

    fn instant(&mut self, test: &Test, operator: &str, wanted: Wanted) -> Result<Any, String> {
        if test.attribute != NOW {
            return Err(format!("SDKs compare dates with `{NOW}` alone"));
        }
        let value = test.values.iter().filter_map(text).find(|value| is_plain_instant(value));
        let value = value.ok_or_else(|| "not every SDK reads this date: write it as `2026-01-31T12:00:00Z`".to_owned())?;
        self.note(format!("`{NOW}` is the clock of the application where its context gives none"));
        Ok(any_of(vec![single(NOW, operator, value.to_owned())], wanted))
    }

    /// What a context of Unleash's calls the attribute.
    pub(super) fn name(&mut self, attribute: &str) -> Result<String, String> {
        match attribute {
            TARGETING_KEY => Ok("userId".to_owned()),
            "" | "userId" | "properties" | "default" | "random" => Err(format!("a context of Unleash's has no attribute `{attribute}`")),
            NOW => Ok(NOW.to_owned()),
            HOST | NONCE => Err(format!("`{attribute}` is known to the SDK alone")),
            other if other.contains(['"', '\\']) => Err(format!("`{other}` has a quote or a backslash, which not every SDK reads")),
            "appName" | "environment" => {
                self.note(format!("`{attribute}` is what the SDK was set up with, unless the context says otherwise"));
                Ok(attribute.to_owned())
            }
            other => Ok(other.to_owned()),
        }
    }

    pub(super) fn roll(&mut self, salt: &str, percent: u32, by: &Stickiness) -> Any {
        match self.sticky(by).and_then(|()| group(salt)) {
            Ok(_) if percent == 0 => Any::new(),
            Ok(group) => vec![Slot::Share(Roll { group, percent, by: by.clone() }).into()],
            Err(because) => {
                self.refuse(because);
                Any::new()
            }
        }
    }

    /// Whether callers can be divided by this.
    pub(super) fn sticky(&mut self, by: &Stickiness) -> Result<(), String> {
        match by {
            Stickiness::By(attribute) if self.is_number(attribute) => Err(format!("`{attribute}` is a number, and callers are divided by text")),
            Stickiness::By(attribute) if attribute == NOW => Err(format!("callers are divided by `{NOW}`")),
            Stickiness::By(attribute) => self.name(attribute).map(drop),
            Stickiness::Random => {
                self.note(format!("`{NONCE}` stands for chance, which each SDK draws for itself"));
                Ok(())
            }
            Stickiness::Default => Ok(()),
        }
    }
}

/// Any of these constraints, or none of them.
fn any_of(constraints: Vec<Constraint>, wanted: Wanted) -> Any {
    match wanted {
        Wanted::Held => constraints.into_iter().map(All::from).collect(),
        Wanted::Broken => {
            let constraints = constraints.into_iter().map(|constraint| Constraint { inverted: !constraint.inverted, ..constraint }).collect();
            vec![All { constraints, ..All::default() }]
        }
    }
}

fn numbers(test: &Test, name: &str, operator: &str, wanted: Wanted) -> Result<Any, String> {
    match test.values.as_slice() {
        [Scalar::Number(number)] => Ok(any_of(vec![single(name, operator, number.to_string())], wanted)),
        _ => Err("it compares with no number".to_owned()),
    }
}

fn hosts(test: &Test, wanted: Wanted) -> Result<Any, String> {
    let values: Vec<String> = test.values.iter().filter_map(text).map(clean).collect::<Result<_, _>>()?;
    if wanted == Wanted::Broken || !test.ignore_case || values.iter().any(|host| host.contains(',') || !host.is_ascii()) {
        return Err("SDKs know the name of their host in one strategy alone, whatever its case".to_owned());
    }
    Ok(vec![Slot::Hosts(values).into()])
}

fn version(name: &str, operator: &str, value: &str) -> Result<Constraint, String> {
    let exact = Version::parse(value).is_some_and(|version| version.core.iter().all(|part| *part as f64 <= EXACT));
    if exact { Ok(single(name, operator, value.to_owned())) } else { Err("not every SDK holds a version of such numbers".to_owned()) }
}

fn text(value: &Scalar) -> Option<&str> {
    if let Scalar::Text(text) = value { Some(text) } else { None }
}

/// A member of a list as every SDK reads it.
fn clean(text: &str) -> Result<String, String> {
    let blank = |c: char| c.is_whitespace() || c == '\u{feff}';
    match text {
        "" => Err("SDKs leave an empty text out of a list".to_owned()),
        _ if text.starts_with(blank) || text.ends_with(blank) => Err(format!("some SDKs cut the blanks around `{text}`")),
        _ if text.ends_with('\\') => Err(format!("`{text}` ends in a backslash, which not every SDK reads")),
        _ => Ok(text.to_owned()),
    }
}

/// An instant that is read alike everywhere: to the second or millisecond, with its offset.
fn is_plain_instant(text: &str) -> bool {
    let fits = |form: &str| text.len() == form.len() && text.bytes().zip(form.bytes()).all(|(byte, form)| if form == b'0' { byte.is_ascii_digit() } else { byte == form });
    let leap = text.get(17..19) == Some("60");
    !leap && ["", ".000"].iter().any(|fraction| ["Z", "+00:00", "-00:00"].iter().any(|offset| fits(&format!("0000-00-00T00:00:00{fraction}{offset}"))))
}
