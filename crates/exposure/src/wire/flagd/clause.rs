//! Clauses as JsonLogic that means the same in every implementation, or the reason why there is none.

use serde_json::{Value, json};

use super::Reader;
use crate::model::{AttributeType, Clause, Op, Scalar, TARGETING_KEY, Test};

impl Reader<'_> {
    /// All of `when`.
    pub(super) fn all(&mut self, when: &[Clause]) -> Value {
        match when {
            [one] => self.clause(one),
            several => json!({"and": several.iter().map(|one| self.clause(one)).collect::<Vec<_>>()}),
        }
    }

    fn clause(&mut self, clause: &Clause) -> Value {
        let logic = match clause {
            Clause::Cohort(name) => return self.cohort(name),
            Clause::Share(share) => Err(format!("`{clause}` divides by `{}`, which no generation of flagd's `fractional` agrees with", share.algorithm)),
            Clause::Test(test) => self.test(test).map_err(|because| format!("`{clause}`: {because}")),
            Clause::Not(test) => self.test(test).map(|logic| json!({"!": [logic]})).map_err(|because| format!("`{clause}`: {because}")),
        };
        logic.unwrap_or_else(|because| {
            self.refuse(because);
            Value::Null
        })
    }

    fn cohort(&mut self, name: &str) -> Value {
        if !self.evaluators.contains_key(name) {
            let source = self.snapshot.cohorts().named(name).map(|(_, cohort)| cohort.model());
            let mut groups: Vec<Value> = Vec::new();
            for group in source.iter().flat_map(|source| &source.any_of) {
                groups.push(if group.is_empty() { Value::Bool(true) } else { self.all(group) });
            }
            if groups.is_empty() {
                groups.push(Value::Bool(false));
            }
            self.evaluators.insert(name.to_owned(), json!({"or": groups}));
        }
        json!({"$ref": name})
    }

    fn test(&mut self, test: &Test) -> Result<Value, String> {
        let name = test.attribute.as_str();
        if name.is_empty() || name.contains('.') || name.starts_with('$') {
            return Err("flagd reads the dots of a name as steps into an object, and keeps `$` for itself".to_owned());
        }
        if test.ignore_case {
            return Err("flagd cannot ignore case".to_owned());
        }
        let var = json!({"var": name});
        // true of text alone: whatever is joined to text is text; some cannot join what is missing
        let text = json!({"and": [{"!==": [var, null]}, {"===": [{"cat": [var]}, var]}]});
        let any = |each: &dyn Fn(&str) -> Value| {
            let each = test.values.iter().filter_map(|value| if let Scalar::Text(value) = value { Some(each(value)) } else { None });
            json!({"or": each.collect::<Vec<_>>()})
        };
        let texts = test.values.iter().all(|value| matches!(value, Scalar::Text(_)));
        let logic = match test.op {
            Op::In if texts => json!({"in": [var, test.values]}),
            Op::NotIn if texts && self.is_text(name) => json!({"and": [text, {"!": [{"in": [var, test.values]}]}]}),
            Op::NotIn if texts => return Err(format!("flagd cannot tell what is neither text nor missing: declare `{name}` as text")),
            Op::In | Op::NotIn => return Err("implementations differ in what equals a number or a boolean".to_owned()),
            Op::StartsWith => json!({"and": [text, any(&|value| json!({"starts_with": [var, value]}))]}),
            Op::EndsWith => json!({"and": [text, any(&|value| json!({"ends_with": [var, value]}))]}),
            Op::Contains => json!({"and": [text, any(&|value| json!({"in": [value, var]}))]}),
            Op::Present => json!({"!==": [var, null]}),
            Op::Absent => json!({"===": [var, null]}),
            Op::Eq | Op::Lt | Op::Le | Op::Gt | Op::Ge => return Err("flagd reads text and booleans as numbers, where we do not".to_owned()),
            Op::SemverEq | Op::SemverLt | Op::SemverLe | Op::SemverGt | Op::SemverGe => {
                return Err("flagd takes `v1.2`, or the number 1.2, for a version, where we do not".to_owned());
            }
            Op::Before | Op::After | Op::Regex | Op::Cidr => return Err(format!("flagd has no `{}`", test.op)),
        };
        Ok(if name == TARGETING_KEY { keyed(test.op, &logic, &var, &text) } else { logic })
    }

    /// Whether callers are to send text as this attribute; says so, since flagd's answers rest on it.
    fn is_text(&mut self, name: &str) -> bool {
        let declared = self.snapshot.attribute(name).is_some_and(|declared| !matches!(declared, AttributeType::Number | AttributeType::Boolean));
        if declared {
            let note = format!("`{name}` is declared as text: where a caller sends anything else, flagd's answer may be another");
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
        declared || name == TARGETING_KEY
    }
}

/// An empty targeting key is none, and one that is not text is none either.
fn keyed(op: Op, logic: &Value, var: &Value, text: &Value) -> Value {
    match op {
        Op::Absent => json!({"!": [{"and": [text, {"!!": [var]}]}]}),
        Op::Present => json!({"and": [text, {"!!": [var]}]}),
        _ => json!({"and": [{"!!": [var]}, logic]}),
    }
}
