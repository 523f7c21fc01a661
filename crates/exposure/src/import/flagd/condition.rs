//! Conditions of JsonLogic as groups of our clauses: any of the groups, each all of its clauses.
//!
//! A missing attribute makes our clauses false but makes a negated condition true, so every negation says `absent` too.
//! JsonLogic compares loosely and we do not; where that can be seen by a caller, a note says so.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Number, Value};

use crate::model::{Clause, Cohort, Op, Scalar};
use crate::version::Version;

/// Any of these, each all of its clauses. None: nobody. An empty one: everyone.
pub(super) type Groups = Vec<Vec<Clause>>;

pub(super) const FRACTIONAL: &str = "`fractional` divides users otherwise than we do, so that people would change sides: plan a share of ours instead";

/// Groups that a condition may become.
const MAX_GROUPS: usize = 64;

/// How deep evaluators may name each other.
const MAX_DEPTH: usize = 256;

/// Reads the conditions of one flag, and gathers what it needs beside its rules.
pub(super) struct Reader<'f> {
    evaluators: Option<&'f Map<String, Value>>,
    pub cohorts: BTreeMap<String, Cohort>,
    pub notes: BTreeSet<String>,
    depth: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    True,
    False,
}

impl Wanted {
    const fn turned(self) -> Self {
        match self {
            Self::True => Self::False,
            Self::False => Self::True,
        }
    }
}

impl<'f> Reader<'f> {
    pub(super) const fn new(evaluators: Option<&'f Map<String, Value>>) -> Self {
        Self { evaluators, cohorts: BTreeMap::new(), notes: BTreeSet::new(), depth: 0 }
    }

    pub(super) fn note(&mut self, note: impl Into<String>) {
        self.notes.insert(note.into());
    }

    /// For whom `logic` is true.
    pub(super) fn condition(&mut self, logic: &Value) -> Result<Groups, String> {
        self.read(logic, Wanted::True)
    }

    fn read(&mut self, logic: &Value, wanted: Wanted) -> Result<Groups, String> {
        if self.depth >= MAX_DEPTH {
            return Err("its conditions are nested too deeply, or an evaluator names itself".to_owned());
        }
        self.depth += 1;
        let groups = self.operation(logic, wanted);
        self.depth -= 1;
        groups
    }

    fn operation(&mut self, logic: &Value, wanted: Wanted) -> Result<Groups, String> {
        let (operator, operands) = match logic {
            Value::Bool(value) => return Ok(if *value == (wanted == Wanted::True) { vec![Vec::new()] } else { Vec::new() }),
            Value::Object(object) => match object.iter().next() {
                Some(operation) if object.len() == 1 => operation,
                _ => return Err("a condition has exactly one operator".to_owned()),
            },
            other => return Err(format!("{other} is not a condition")),
        };
        if operator == "$ref" {
            return self.evaluator(operands, wanted);
        }
        let list = match operands {
            Value::Array(list) => list.as_slice(),
            one => std::slice::from_ref(one),
        };
        match (operator.as_str(), list) {
            ("!", [one]) => self.read(one, wanted.turned()),
            ("!!", [one]) => self.read(one, wanted),
            ("and" | "or", [_, ..]) => self.several(list, (operator == "and") == (wanted == Wanted::True), wanted),
            ("var", _) => {
                let attribute = attribute(logic)?;
                self.note(format!("a list or an object in `{attribute}` counts as false"));
                let empty = || [Scalar::Boolean(false), Scalar::Number(0.into()), Scalar::Text(String::new())];
                Ok(match wanted {
                    Wanted::True => vec![vec![Clause::test(attribute, Op::NotIn, empty())]],
                    Wanted::False => vec![vec![Clause::test(attribute.clone(), Op::In, empty())], vec![absent(attribute)]],
                })
            }
            ("==" | "===", [one, other]) => self.equal(operator, one, other, wanted),
            ("!=" | "!==", [one, other]) => self.equal(operator, one, other, wanted.turned()),
            ("<" | "<=" | ">" | ">=", [one, other]) => self.compare(operator, one, other, wanted),
            ("in", [one, Value::Array(values)]) => member(attribute(one)?, values, wanted),
            ("in", [Value::String(part), whole]) => affix(attribute(whole)?, Op::Contains, part, wanted),
            ("starts_with", [whole, Value::String(part)]) => affix(attribute(whole)?, Op::StartsWith, part, wanted),
            ("ends_with", [whole, Value::String(part)]) => affix(attribute(whole)?, Op::EndsWith, part, wanted),
            ("sem_ver", [one, Value::String(comparison), Value::String(version)]) => self.version(&attribute(one)?, comparison, version, wanted),
            ("fractional", _) => Err(FRACTIONAL.to_owned()),
            ("!" | "!!" | "and" | "or" | "==" | "===" | "!=" | "!==" | "<" | "<=" | ">" | ">=" | "in" | "starts_with" | "ends_with" | "sem_ver", _) => {
                Err(format!("`{operator}` has operands that our rules cannot say: {}", shortened(operands)))
            }
            _ => Err(format!("our rules have no `{operator}`")),
        }
    }

    fn several(&mut self, list: &[Value], all: bool, wanted: Wanted) -> Result<Groups, String> {
        let mut groups = if all { vec![Vec::new()] } else { Vec::new() };
        for one in list {
            let mut more = self.read(one, wanted)?;
            if all {
                groups = both(&groups, &more)?;
            } else {
                groups.append(&mut more);
                bounded(groups.len())?;
            }
        }
        Ok(groups)
    }

    fn evaluator(&mut self, name: &Value, wanted: Wanted) -> Result<Groups, String> {
        let name = name.as_str().ok_or("`$ref` takes the name of an evaluator")?;
        let logic = self.evaluators.and_then(|all| all.get(name)).ok_or_else(|| format!("there is no evaluator `{name}`"))?;
        let groups = self.read(logic, wanted)?;
        // Cohorts do not name cohorts, and have stricter names than evaluators.
        let nested = groups.iter().flatten().any(|clause| matches!(clause, Clause::Cohort(_)));
        if wanted == Wanted::False || nested || !is_name(name) {
            return Ok(groups);
        }
        self.cohorts.insert(name.to_owned(), Cohort { version: 1, any_of: groups, internal: false });
        Ok(vec![vec![Clause::cohort(name)]])
    }

    fn equal(&mut self, operator: &str, one: &Value, other: &Value, wanted: Wanted) -> Result<Groups, String> {
        let (attribute, value) = match (attribute(one), attribute(other)) {
            (Ok(attribute), Err(_)) => (attribute, other),
            (Err(_), Ok(attribute)) => (attribute, one),
            (Ok(_), Ok(_)) => return Err("our rules do not compare attributes with each other".to_owned()),
            (Err(because), Err(_)) => return Err(because),
        };
        if operator.len() == 2 && !matches!(value, Value::String(text) if !text.trim().is_empty() && text.trim().parse::<f64>().is_err()) {
            self.note(format!("`{attribute}` must be of the same type as {}: nothing is converted", shortened(value)));
        }
        member(attribute, std::slice::from_ref(value), wanted)
    }

    fn compare(&mut self, operator: &str, one: &Value, other: &Value, wanted: Wanted) -> Result<Groups, String> {
        let (attribute, number, operator) = match (one, other) {
            (_, Value::Number(number)) => (attribute(one)?, number, operator),
            (Value::Number(number), _) => (attribute(other)?, number, mirrored(operator)),
            _ => return Err(format!("`{operator}` compares an attribute with a number in our rules")),
        };
        self.note(format!("`{attribute}` is compared as a number: text is not read as one"));
        let operator = if wanted == Wanted::True { operator } else { opposite(operator) };
        let clause = Clause::test(attribute.clone(), ordering(operator), [Scalar::Number(number.clone())]);
        // JsonLogic takes a missing attribute for 0.
        Ok(if zero_holds(operator, number) { vec![vec![clause], vec![absent(attribute)]] } else { vec![vec![clause]] })
    }

    fn version(&mut self, attribute: &str, comparison: &str, text: &str, wanted: Wanted) -> Result<Groups, String> {
        let Some(Version { core: [major, minor, _], .. }) = Version::parse(text) else {
            return Err(format!("`{text}` is not a whole semantic version such as `1.2.3`, and flagd completes callers' versions where we do not"));
        };
        if wanted == Wanted::False {
            return Err("our rules do not negate `sem_ver`: use the opposite comparison".to_owned());
        }
        self.note(format!("`{attribute}` must be a whole semantic version: `v1.2.3`, `1.2` and numbers are none"));
        let clause = |op, text: String| Clause::test(attribute, op, [text]);
        let below = |major: u64, minor: u64| clause(Op::SemverLt, format!("{major}.{minor}.0-0"));
        let from = |major: u64, minor: u64| clause(Op::SemverGe, format!("{major}.{minor}.0-0"));
        let single = |op| vec![vec![clause(op, text.to_owned())]];
        Ok(match comparison {
            "=" => single(Op::SemverEq),
            "!=" => vec![vec![clause(Op::SemverLt, text.to_owned())], vec![clause(Op::SemverGt, text.to_owned())]],
            "<" => single(Op::SemverLt),
            "<=" => single(Op::SemverLe),
            ">" => single(Op::SemverGt),
            ">=" => single(Op::SemverGe),
            "^" => vec![vec![from(major, 0), below(major.saturating_add(1), 0)]],
            "~" => vec![vec![from(major, minor), below(major, minor.saturating_add(1))]],
            other => return Err(format!("`sem_ver` does not know `{other}`")),
        })
    }
}

/// Whoever is in one group of each.
pub(super) fn both(ones: &Groups, others: &Groups) -> Result<Groups, String> {
    bounded(ones.len().saturating_mul(others.len()))?;
    Ok(ones.iter().flat_map(|one| others.iter().map(|other| [one.as_slice(), other.as_slice()].concat())).collect())
}

fn bounded(groups: usize) -> Result<(), String> {
    if groups <= MAX_GROUPS { Ok(()) } else { Err(format!("one of its conditions has more than {MAX_GROUPS} alternatives: simplify it")) }
}

fn attribute(logic: &Value) -> Result<String, String> {
    let operand = logic.as_object().filter(|object| object.len() == 1).and_then(|object| object.get("var"));
    let name = match operand {
        Some(Value::String(name)) => name,
        Some(Value::Array(list)) => match list.as_slice() {
            [Value::String(name)] => name,
            _ => return Err("an attribute with a default is none of ours: say what holds when it is missing".to_owned()),
        },
        _ => return Err(format!("{} is not an attribute of the caller", shortened(logic))),
    };
    match name.as_str() {
        "" => Err("the whole context is not an attribute".to_owned()),
        name if name.starts_with("$flagd") => Err(format!("`{name}` is known to flagd alone: plan dates and shares here")),
        name if name.contains('.') => Err(format!("`{name}` is nested, and our attributes are not")),
        name => Ok(name.to_owned()),
    }
}

fn absent(attribute: String) -> Clause {
    Clause::test(attribute, Op::Absent, Vec::<Scalar>::new())
}

fn member(attribute: String, values: &[Value], wanted: Wanted) -> Result<Groups, String> {
    let scalar = |value: &Value| match value {
        Value::String(text) => Ok(Scalar::Text(text.clone())),
        Value::Number(number) => Ok(Scalar::Number(number.clone())),
        Value::Bool(value) => Ok(Scalar::Boolean(*value)),
        other => Err(format!("our rules compare with text, numbers and booleans, not with {}", shortened(other))),
    };
    let values = values.iter().map(scalar).collect::<Result<Vec<_>, _>>()?;
    Ok(match wanted {
        Wanted::True if values.is_empty() => Vec::new(),
        Wanted::False if values.is_empty() => vec![Vec::new()],
        Wanted::True => vec![vec![Clause::test(attribute, Op::In, values)]],
        Wanted::False => vec![vec![Clause::test(attribute.clone(), Op::NotIn, values)], vec![absent(attribute)]],
    })
}

fn affix(attribute: String, op: Op, part: &str, wanted: Wanted) -> Result<Groups, String> {
    match wanted {
        Wanted::True => Ok(vec![vec![Clause::test(attribute, op, [part])]]),
        Wanted::False => Err(format!("our rules do not negate `{op}`: put the condition first and what else holds after it")),
    }
}

fn ordering(operator: &str) -> Op {
    match operator {
        "<" => Op::Lt,
        "<=" => Op::Le,
        ">" => Op::Gt,
        _ => Op::Ge,
    }
}

fn mirrored(operator: &str) -> &'static str {
    match operator {
        "<" => ">",
        "<=" => ">=",
        ">" => "<",
        _ => "<=",
    }
}

fn opposite(operator: &str) -> &'static str {
    match operator {
        "<" => ">=",
        "<=" => ">",
        ">" => "<=",
        _ => "<",
    }
}

fn zero_holds(operator: &str, number: &Number) -> bool {
    let number = number.as_f64().unwrap_or(f64::NAN);
    match operator {
        "<" => 0.0 < number,
        "<=" => 0.0 <= number,
        ">" => 0.0 > number,
        _ => 0.0 >= number,
    }
}

fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.len() <= 63 && name.bytes().next().is_some_and(plain) && name.bytes().all(|byte| plain(byte) || b"._-".contains(&byte))
}

/// For messages.
fn shortened(value: &Value) -> String {
    const SHOWN: usize = 60;
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", text.split_at(at).0),
        None => text,
    }
}
