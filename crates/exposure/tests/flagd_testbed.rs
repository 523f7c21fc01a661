//! The evaluator examples of the flagd testbed 3.10.3 (Apache-2.0, open-feature/flagd-testbed), against features that the
//! importer took over. The testbed comes with a published crate, which cargo brings when the test runs. What the importer
//! refuses stands in `flagd-testbed/refused.txt`, with the reason.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use greenroom_exposure::model::ValueType;
use greenroom_exposure::{Json, Model, Snapshot, import};
use serde_json::{Map, Value};

const PACKAGE: &str = "open-feature-flagd";
const VERSION: &str = "0.3.0";
const REFUSED: &str = include_str!("flagd-testbed/refused.txt");

/// The folder of the examples and of the flags that they ask for.
fn testbed() -> PathBuf {
    let at = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("flagd-testbed-{VERSION}"));
    fs::create_dir_all(&at).unwrap();
    fs::write(at.join("lib.rs"), "").unwrap();
    let manifest = format!(
        "[workspace]\n[package]\nname = \"testbed\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[lib]\npath = \"lib.rs\"\n\
         [dependencies]\n{PACKAGE} = {{ version = \"={VERSION}\", default-features = false }}\n"
    );
    fs::write(at.join("Cargo.toml"), manifest).unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--format-version", "1", "--manifest-path"]).arg(at.join("Cargo.toml"));
    let done = cargo.output().unwrap_or_else(|error| panic!("cargo, which brings {PACKAGE}, cannot be run: {error}"));
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let metadata: Value = serde_json::from_slice(&done.stdout).unwrap();
    let package = metadata["packages"].as_array().unwrap().iter().find(|package| package["name"] == PACKAGE).unwrap();
    Path::new(package["manifest_path"].as_str().unwrap()).with_file_name("flagd-testbed").join("evaluator")
}

/// The texts of all scenarios, in the order of their names.
fn scenarios(testbed: &Path) -> Vec<String> {
    let mut paths: Vec<PathBuf> = fs::read_dir(testbed.join("gherkin")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read_to_string(path).unwrap()).collect()
}

/// Every example as its steps with the row filled in. The table of a step follows it as lines that begin with `|`.
fn examples(scenarios: &[String]) -> Vec<Vec<String>> {
    let mut examples = Vec::new();
    for text in scenarios {
        let (mut background, mut steps, mut rows): (Vec<&str>, Vec<&str>, Vec<Vec<&str>>) = Default::default();
        let (mut in_background, mut in_examples) = (false, false);
        let mut finish = |background: &[&str], steps: &mut Vec<&str>, rows: &mut Vec<Vec<&str>>| {
            let all = || background.iter().chain(steps.iter());
            match rows.split_first() {
                Some((names, rows)) => examples.extend(rows.iter().map(|row| {
                    let fill = |step: &&str| names.iter().zip(row).fold((*step).to_owned(), |step, (name, value)| step.replace(&format!("<{name}>"), value));
                    all().map(fill).collect::<Vec<_>>()
                })),
                None if !steps.is_empty() => examples.push(all().map(|step| (*step).to_owned()).collect()),
                None => {}
            }
            rows.clear();
        };
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', '@'])) {
            let scenario = line.starts_with("Scenario");
            if scenario || line.starts_with("Examples") {
                if (!in_examples || !rows.is_empty()) && (scenario || in_examples) {
                    finish(&background, &mut steps, &mut rows);
                }
                if scenario {
                    steps.clear();
                }
                (in_background, in_examples) = (false, !scenario);
            } else if line.starts_with("Background") {
                in_background = true;
            } else if in_examples {
                rows.push(line.trim_matches('|').split('|').map(str::trim).collect());
            } else if in_background {
                background.push(line);
            } else if !line.starts_with("Feature") && (!steps.is_empty() || line.starts_with("Given")) {
                steps.push(line);
            }
        }
        finish(&background, &mut steps, &mut rows);
    }
    examples
}

/// The parts of a step between quotes, where `\"` is none.
fn quoted(step: &str) -> Vec<String> {
    let hidden = step.replace("\\\"", "\u{1}");
    hidden.split('"').skip(1).step_by(2).map(|part| part.replace('\u{1}', "\"")).collect()
}

fn typed(kind: &str, text: &str) -> Value {
    if kind == "String" { text.into() } else { serde_json::from_str(text).unwrap() }
}

const fn kind(of: ValueType) -> &'static str {
    match of {
        ValueType::Boolean => "Boolean",
        ValueType::String => "String",
        ValueType::Integer => "Integer",
        ValueType::Float => "Float",
        ValueType::Object => "Object",
    }
}

/// `Err` with what differs.
fn play(steps: &[String], snapshot: &Snapshot) -> Result<(), String> {
    let (mut context, mut key, mut wanted) = (Map::new(), String::new(), String::new());
    for step in steps {
        let parts = quoted(step);
        let check = |what: &str, given: Value, expected: Value| if given == expected { Ok(()) } else { Err(format!("{what} of `{key}`: {given}, not {expected}")) };
        let answer = snapshot.evaluate(&key, &Json(&context));
        let mismatch = snapshot.feature(&key).is_some_and(|feature| kind(feature.r#type) != wanted);
        if let Some((before, _)) = step.split_once("-flag with key") {
            wanted = before.rsplit(' ').next().unwrap().to_owned();
            key.clone_from(&parts[0]);
        } else if step.contains("containing a targeting key") {
            context.insert("targetingKey".to_owned(), parts[0].clone().into());
        } else if step.contains("containing a key") {
            context.insert(parts[0].clone(), typed(&parts[1], &parts[2]));
        } else if step.contains("error-code should be") {
            let code = if answer.is_none() {
                "FLAG_NOT_FOUND"
            } else if mismatch {
                "TYPE_MISMATCH"
            } else {
                ""
            };
            check("error", code.into(), parts[0].clone().into())?;
        } else if step.contains("details value should be") {
            let given = answer.ok_or("there is no answer")?.value().clone();
            check("value", given, typed(&wanted, &parts[0]))?;
        } else if step.contains("reason should be") {
            let reason = answer.ok_or("there is no answer")?.reason().as_str();
            check("reason", reason.into(), parts[0].clone().into())?;
        }
    }
    Ok(())
}

#[test]
fn every_accepted_example_passes_and_the_refused_are_listed() {
    let testbed = testbed();
    let imported = import::flagd(&fs::read_to_string(testbed.join("flags/testkit-flags.json")).unwrap()).unwrap();
    let refused: BTreeMap<&str, &str> = imported.refused.iter().map(|refused| (refused.feature.as_str(), refused.because.as_str())).collect();
    let mut model = Model::new("testbed", 1);
    model.cohorts = imported.cohorts.iter().map(|(name, cohort)| (name.clone(), cohort.clone().into())).collect();
    model.features = imported.features.iter().map(|(key, feature)| (key.clone(), feature.clone().into())).collect();
    let (snapshot, warnings) = Snapshot::compile(&model);
    assert!(warnings.is_empty(), "{warnings:?}");

    let (mut of_refused, mut differences): (BTreeMap<&str, usize>, Vec<String>) = Default::default();
    let examples = examples(&scenarios(&testbed));
    for steps in &examples {
        let key = steps.iter().find(|step| step.contains("-flag with key")).map(|step| quoted(step)[0].clone()).unwrap();
        let metadata = "its metadata is not taken over";
        let left_out = steps.iter().any(|step| step.contains("metadata should contain")) && imported.notes.iter().any(|note| note.ends_with(metadata));
        match refused.get_key_value(key.as_str()) {
            Some((key, _)) => *of_refused.entry(key).or_default() += 1,
            None if left_out => *of_refused.entry("metadata-flag").or_default() += 1,
            None => differences.extend(play(steps, &snapshot).err()),
        }
    }
    assert_eq!(differences, Vec::<String>::new());
    let mut list = String::new();
    for (key, count) in &of_refused {
        writeln!(list, "{count} {key}: {}", refused.get(key).unwrap_or(&"its metadata is not taken over")).unwrap();
    }
    assert_eq!(list, REFUSED, "left is what the importer refuses now");
    assert_eq!((examples.len(), of_refused.values().sum::<usize>()), (140, 91), "examples, and refused ones among them");
}
