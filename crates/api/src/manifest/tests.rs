use super::*;

fn file(text: &str) -> Vec<File> {
    vec![File { file: "a.yaml".to_owned(), text: text.to_owned() }]
}

fn refused(text: &str) -> Problem {
    *parse(&file(text)).expect_err("must be refused")
}

fn environment(spec: &str) -> String {
    format!("apiVersion: greenroom/v1\nkind: Environment\nmetadata:\n  name: production\nspec:\n{spec}")
}

#[track_caller]
fn expect(text: &str, place: &str, path: Option<&str>, message: &str, remedy: &str) {
    let problem = refused(text);
    let reason = &problem.reasons[0];
    assert_eq!((problem.detail.as_str(), reason.path.as_deref(), reason.message.as_str(), reason.remedy.as_str()), (place, path, message, remedy));
    assert_eq!(problem.code, Code::Invalid);
}

#[test]
fn reads_all_kinds() {
    let all = parse(&file(include_str!("testdata/shop.yaml"))).unwrap_or_else(|p| panic!("{}", p.excerpt.unwrap_or_default()));
    let subjects: Vec<String> = all.iter().map(|p| p.manifest.subject()).collect();
    assert_eq!(subjects, ["environment/production", "service/catalog", "policy/into-production", "feature/express-checkout", "cohort/staff", "attribute/mail"]);
    let Manifest::Feature { spec, .. } = &all[3].manifest else { panic!() };
    assert_eq!(spec.variants.values().collect::<Vec<_>>(), [&json!(false), &json!(true)]);
}

#[test]
fn a_typo_in_a_field_shows_the_field_and_what_was_meant() {
    let text = environment("  porpose: production\n  targets: []\n");
    expect(&text, "a.yaml:6:3", Some("spec.porpose"), "unknown field `porpose`", "did you mean `purpose`?");
    let shown = refused(&text).excerpt.unwrap();
    assert_eq!(shown, " --> a.yaml:6:3\n  |\n4 |   name: production\n5 | spec:\n6 |   porpose: production\n  |   ^^^^^^^ unknown field `porpose`\n  = did you mean `purpose`?");
}

#[test]
fn a_missing_field_is_named_with_its_path() {
    expect(&environment("  purpose: production\n"), "a.yaml:5:1", Some("spec.targets"), "field `targets` is missing", "");
    let nested = environment("  purpose: production\n  targets:\n    - name: one\n      driver: process\n      address: x\n    - name: two\n      driver: process\n");
    expect(&nested, "a.yaml:11:7", Some("spec.targets[1].address"), "field `address` is missing", "");
    expect(
        "apiVersion: greenroom/v1\nmetadata: {name: x}\n",
        "a.yaml:1:1",
        Some("kind"),
        "field `kind` is missing",
        "known kinds: Environment, Service, Policy, Feature, Cohort, Attribute",
    );
}

#[test]
fn what_was_expected_is_said_in_the_words_of_whoever_wrote_the_file() {
    let message = |spec: &str| refused(&environment(spec)).reasons[0].message.clone();
    let target = |more: &str| format!("  purpose: production\n  targets:\n    - {{ name: one, driver: process, address: x, {more} }}\n");
    assert_eq!(message("  purpose: production\n  targets: one\n"), "expected a list, as `[…]` or lines that begin with `- `");
    assert_eq!(message("  purpose: production\n  targets: [one]\n"), "expected fields, as `name: value`");
    assert_eq!(message(&target("wave: many")), "expected a whole number, not negative and not too large");
    assert_eq!(message(&target("endpoints: { web: here }")), "expected an address and a port, as 127.0.0.1:7800");
}

#[test]
fn a_wrong_type_is_shown_where_it_stands() {
    let text = environment("  purpose: production\n  targets:\n    - name: [one]\n      driver: process\n      address: x\n");
    let problem = refused(&text);
    assert_eq!(problem.detail, "a.yaml:8:13");
    assert_eq!(problem.reasons[0].path.as_deref(), Some("spec.targets[0].name"));
    let text = environment("  purpose: production\n  targets:\n    - { name: one, driver: process, address: x, wave: -1 }\n");
    let problem = refused(&text);
    assert_eq!(problem.detail, "a.yaml:8:55");
    assert_eq!(problem.reasons[0].path.as_deref(), Some("spec.targets[0].wave"));
}

#[test]
fn an_unknown_value_lists_the_known() {
    expect(
        &environment("  purpose: prod\n  targets: []\n"),
        "a.yaml:6:12",
        Some("spec.purpose"),
        "unknown value `prod`",
        "known values: `development`, `integration`, `test`, `staging`, `production`, `preview`",
    );
}

#[test]
fn a_wrong_length_of_time_says_how_it_is_written() {
    let text = "apiVersion: greenroom/v1\nkind: Policy\nmetadata: { name: p }\nspec:\n  rules:\n    - soak: 10 minutes\n";
    expect(text, "a.yaml:6:13", Some("spec.rules[0].soak"), "`10 minutes` is not a length of time", "use numbers with ms, s, m, h or d, like 10m or 1h30m");
}

#[test]
fn a_name_is_checked_where_it_stands() {
    let problem = refused("apiVersion: greenroom/v1\nkind: Cohort\nmetadata: { name: Our Staff }\nspec: { users: [a] }\n");
    assert_eq!(problem.detail, "a.yaml:3:19");
    assert_eq!(problem.reasons[0].path.as_deref(), Some("metadata.name"));
    assert!(problem.reasons[0].message.starts_with("`Our Staff` is not a name"));
}

#[test]
fn a_duplicate_key_is_an_error() {
    expect(&environment("  purpose: production\n  purpose: test\n  targets: []\n"), "a.yaml:7:3", Some("spec.purpose"), "key `purpose` stands here twice", "keep one");
}

#[test]
fn every_bad_document_is_reported() {
    let text =
        format!("{}---\n{}---\nkind: [\n---\n{}", environment("  purpose: x\n  targets: []\n"), environment("  purpose: test\n  targets: []\n"), environment("  targets: []\n"));
    let problem = refused(&text);
    assert_eq!(problem.reasons.len(), 3);
    assert_eq!(problem.title, "3 documents cannot be read");
    assert!(problem.detail.starts_with("a.yaml:6:12, a.yaml:1"), "{}", problem.detail);
    assert_eq!(problem.excerpt.unwrap().matches("-->").count(), 3);
}

#[test]
fn tabs_are_explained() {
    let problem = refused("apiVersion: greenroom/v1\nkind: Environment\nmetadata:\n\tname: x\n");
    assert!(problem.detail.starts_with("a.yaml:4:"), "{}", problem.detail);
    assert_eq!(problem.reasons[0].remedy, "indent with spaces; YAML allows no tabs there");
}

#[test]
fn aliases_work_but_bombs_do_not() {
    let shared = environment(
        "  purpose: production\n  targets:\n    - name: one\n      driver: process\n      address: &a somewhere\n    - name: two\n      driver: process\n      address: *a\n",
    );
    assert!(parse(&file(&shared)).is_ok());
    let mut bomb = String::from(
        "apiVersion: greenroom/v1\nkind: Feature\nmetadata: { name: f }\nspec:\n  type: object\n  off: a\n  variants:\n    a0: &a0 { x: [1, 2, 3, 4, 5, 6, 7, 8, 9] }\n",
    );
    for i in 1..12 {
        bomb.push_str(&format!("    a{i}: &a{i} {{ x: [{}] }}\n", vec![format!("*a{}", i - 1); 9].join(", ")));
    }
    let problem = refused(&bomb);
    assert_eq!(problem.reasons[0].remedy, "manifests are small: write out what the aliases stand for");
    let deep = format!("apiVersion: {}\n", "[".repeat(100_000));
    assert_eq!(refused(&deep).reasons.len(), 1);
}

#[test]
fn kinds_that_enter_elsewhere_say_where() {
    let kind = |kind: &str| refused(&format!("apiVersion: greenroom/v1\nkind: {kind}\nmetadata: {{ name: x }}\nspec: {{}}\n")).reasons[0].clone();
    assert_eq!(kind("Release").remedy, "use `greenroom release plan -f FILE`");
    assert_eq!(kind("Hold").message, "manifests of kind `Hold` are not supported yet");
    assert_eq!(kind("Enviroment").remedy, "did you mean `Environment`?");
    assert_eq!(refused("apiVersion: v2\nkind: Service\n").reasons[0].remedy, "this version of Greenroom reads `greenroom/v1`");
}

#[test]
fn nothing_is_nothing() {
    assert!(parse(&file("")).unwrap().is_empty());
    assert!(parse(&file("# only words\n---\n---\n# and more\n")).unwrap().is_empty());
}

const RELEASE: &str = "apiVersion: greenroom/v1\nkind: Release\nmetadata: { name: launch, title: Launch, labels: { a: b } }\nspec:\n  features: [{ key: f, variant: \"on\" }]\n  mode: { scheduled: 2026-12-01T14:00:00Z }\n  stages:\n    - { name: ten, share: 10% }\n";

#[test]
fn a_release_plan_is_one_document() {
    let (name, spec) = parse_release("r.yaml", RELEASE).unwrap();
    assert_eq!((name.as_str(), spec.title.as_deref(), spec.labels.len(), spec.stages.len()), ("launch", Some("Launch"), 1, 1));
    let share = parse_release("r.yaml", &RELEASE.replace("10%", "110%")).unwrap_err();
    assert_eq!((share.detail.as_str(), share.reasons[0].path.as_deref()), ("r.yaml:8:27", Some("spec.stages[0].share")));
    assert_eq!(share.reasons[0].remedy, "use 0% to 100%, with at most three decimals");
    assert_eq!(share.reasons[0].subject, "release/launch");
    let two = parse_release("r.yaml", &format!("{RELEASE}---\n{RELEASE}")).unwrap_err();
    assert_eq!((two.detail.as_str(), two.title.as_str()), ("r.yaml:9:1", "a second release in one file"));
    assert!(parse_release("r.yaml", "# nothing\n").is_err());
    assert_eq!(parse_release("r.yaml", &environment("  purpose: test\n  targets: []\n")).unwrap_err().reasons[0].remedy, "apply it with `greenroom apply -f FILE`");
}

#[test]
fn what_the_domain_says_is_found_in_the_text() {
    let text = format!(
        "# first\n---\n{}",
        environment(
            "  purpose: production\n  targets:\n    - name: one\n      driver: process\n      address: x\n    - name: two\n      driver: process\n      address: x\n      endpoints: { shop.web: \"127.0.0.1:1\" }\n"
        )
    );
    let parsed = parse(&file(&text)).unwrap();
    let at = |path: &str| locate(&parsed, &Reason::new(ReasonCode::AddressTaken, "environment/production", "taken").remedy("take another").path(path)).unwrap();
    let place = at("spec.targets[1].address");
    assert_eq!((place.file.as_str(), place.line, place.column), ("a.yaml", 15, 16));
    assert!(place.excerpt.contains("15 |       address: x\n   |                ^ taken\n   = take another"), "{}", place.excerpt);
    assert_eq!(at("spec.targets[1].endpoints.shop.web").line, 16);
    assert_eq!(at("spec.targets[1].services[3]").line, 13);
    assert_eq!(at("spec.after").line, 7);
    assert!(locate(&parsed, &Reason::new(ReasonCode::Invalid, "service/other", "x")).is_none());
    assert_eq!(locate(&parsed, &Reason::new(ReasonCode::Invalid, "environment/production", "x")).unwrap().line, 6);
}

#[test]
fn excerpts_obey_no_text() {
    let problem = refused(&format!("apiVersion: greenroom/v1\nkind: \"x\u{1b}[31m{}\"\n", "y".repeat(400)));
    let shown = problem.excerpt.unwrap();
    assert!(!shown.lines().nth(2).unwrap().contains('\u{1b}'));
}

#[test]
fn the_schema_holds_every_kind_and_only_known_fields() {
    let schema = schema();
    assert_eq!(schema["oneOf"].as_array().unwrap().len(), 7);
    assert_eq!(schema["$defs"]["EnvironmentSpec"]["additionalProperties"], json!(false));
}
