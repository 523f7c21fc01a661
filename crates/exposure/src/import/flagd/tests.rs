use serde_json::json;

use super::*;
use crate::{Json, Model, Snapshot};

fn import(flag: &Value) -> Imported {
    flagd(
        &json!({"flags": {"f": flag}, "$evaluators": {
            "staff": {"or": [{"ends_with": [{"var": "email"}, "@us.example"]}, {"===": [{"var": "role"}, "staff"]}]},
            "round": {"$ref": "round"},
        }})
        .to_string(),
    )
    .unwrap()
}

fn targeted(targeting: &Value) -> Imported {
    import(&json!({"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "off", "targeting": targeting}))
}

/// Variant for each context.
fn variants(imported: Imported, contexts: &[Value]) -> Vec<String> {
    assert_eq!(imported.refused, []);
    let mut model = Model::new("test", 1);
    model.cohorts = imported.cohorts.into_iter().map(|(name, cohort)| (name, cohort.into())).collect();
    model.features = imported.features.into_iter().map(|(key, feature)| (key, feature.into())).collect();
    let (snapshot, warnings) = Snapshot::compile(&model);
    assert!(warnings.is_empty(), "{warnings:?}");
    contexts.iter().map(|context| snapshot.evaluate("f", &Json(context.as_object().unwrap())).unwrap().variant().to_owned()).collect()
}

#[test]
fn a_negation_holds_where_the_attribute_is_missing() {
    let contexts = [json!({}), json!({"plan": "gold"}), json!({"plan": "free"})];
    for negated in [json!({"!=": [{"var": "plan"}, "gold"]}), json!({"!": {"in": [{"var": "plan"}, ["gold"]]}}), json!({"!": [{"===": ["gold", {"var": ["plan"]}]}]})] {
        assert_eq!(variants(targeted(&json!({"if": [negated, "on"]})), &contexts), ["on", "off", "on"]);
    }
    let young = targeted(&json!({"if": [{"!": {">=": [{"var": "age"}, 18]}}, "on"]}));
    assert_eq!(variants(young, &[json!({}), json!({"age": 17}), json!({"age": 18})]), ["on", "on", "off"]);
    let old = targeted(&json!({"if": [{"<": [18, {"var": "age"}]}, "on"]}));
    assert_eq!(variants(old, &[json!({}), json!({"age": 19}), json!({"age": 18})]), ["off", "on", "off"]);
}

#[test]
fn branches_answer_whom_they_are_entered_by() {
    let nested = json!({"if": [{"$ref": "staff"}, {"if": [{"var": "beta"}, "on", null]}, {"starts_with": [{"var": "email"}, "a"]}, "on", "off"]});
    let imported = targeted(&nested);
    assert_eq!(imported.cohorts["staff"].any_of.len(), 2);
    let contexts = [
        json!({"role": "staff", "beta": true}),
        json!({"email": "a@us.example"}),
        json!({"email": "a@them.example"}),
        json!({"email": "b@them.example", "beta": true}),
        json!({"role": "staff", "beta": 0}),
    ];
    assert_eq!(variants(imported, &contexts), ["on", "off", "on", "off", "off"]);
}

#[test]
fn what_does_not_carry_over_is_refused_with_its_reason() {
    let refused = |imported: Imported| {
        assert!(imported.features.is_empty() && imported.cohorts.is_empty());
        imported.refused.into_iter().next().unwrap().because
    };
    for (targeting, because) in [
        (json!({"fractional": [["on", 50], ["off", 50]]}), "`fractional` divides users"),
        (json!({"if": [{">": [{"var": "$flagd.timestamp"}, 1]}, "on"]}), "known to flagd alone"),
        (json!({"if": [{"==": [{"var": "user.name"}, "x"]}, "on"]}), "nested"),
        (json!({"if": [{"$ref": "round"}, "on"]}), "names itself"),
        (json!({"if": [{"$ref": "gone"}, "on"]}), "no evaluator `gone`"),
        (json!({"if": [{"!": {"starts_with": [{"var": "a"}, "b"]}}, "on"]}), "do not negate `starts_with`"),
        (json!({"if": [{"cat": ["a"]}, "on"]}), "no `cat`"),
        (json!({"if": [true, "blue"]}), "none of its variants"),
        (json!({"==": [1, 1]}), "name of a variant"),
        (json!({"if": [{"or": vec![json!({"===": [{"var": "a"}, 1]}); 65]}, "on"]}), "more than 64 alternatives"),
    ] {
        let given = refused(targeted(&targeting));
        assert!(given.contains(because), "{given}");
    }
    assert!(refused(import(&json!({"state": "DISABLED", "variants": {"on": true}, "defaultVariant": "on"}))).contains("disabled"));
    assert!(refused(import(&json!({"state": "ENABLED", "variants": {"on": true, "off": "no"}, "defaultVariant": "on"}))).contains("one type"));
    assert!(refused(import(&json!(7))).contains("state"));
}

#[test]
fn hostile_files_are_refused_in_bounds() {
    let deep = format!("{{\"flags\":{{\"f\":{}1{}}}}}", "[".repeat(10_000), "]".repeat(10_000));
    assert!(matches!(flagd(&deep), Err(Unreadable::Json(_))));
    assert!(matches!(flagd("{\"flags\":[]}"), Err(Unreadable::NoFlags)));
    assert!(matches!(flagd("nonsense"), Err(Unreadable::Json(_))));
    assert!(matches!(flagd(&" ".repeat(MAX_TEXT + 1)), Err(Unreadable::TooLarge(_))));
    let many: Vec<String> = (0..100_000).map(|n| n.to_string()).collect();
    let listed = targeted(&json!({"if": [{"in": [{"var": "plan"}, many]}, "on"]}));
    assert_eq!(variants(listed, &[json!({"plan": "99999"}), json!({"plan": "x"})]), ["on", "off"]);
    let wide = json!({"and": vec![json!({"or": [{"===": [{"var": "a"}, 1]}, {"===": [{"var": "b"}, 1]}]}); 40]});
    assert!(targeted(&json!({"if": [wide, "on"]})).refused[0].because.contains("alternatives"));
}

proptest::proptest! {
    /// Whatever stands in a flag, it is taken over or refused.
    #[test]
    fn nothing_panics(text in "\\PC{0,80}", logic in "(\\{\"(if|and|or|!|==|in|var|sem_ver|\\$ref|<)\":\\[?|\"on\"|1|null|\\]|\\}|,){0,12}") {
        let _ = flagd(&text);
        let _ = flagd(&format!("{{\"flags\":{{\"f\":{{\"state\":\"ENABLED\",\"variants\":{{\"on\":1}},\"defaultVariant\":\"on\",\"targeting\":{logic}}}}}}}"));
    }
}
