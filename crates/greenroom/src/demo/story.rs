//! The story: a build travels dark to production, then the business releases it. Each step checks what it shows.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::eyes::{Customers, Listener, ask, shown};
use super::stage::{ENVIRONMENTS, PEOPLE, Stage};

pub(super) const FEATURE: &str = "express-checkout";
/// Keys that are asked for by name, so that who is in and who is out can be compared.
const KEYS: usize = 10_000;
/// The release that grows in four stages, each when a person says so.
const EVENING: &str = "express-evening";

pub async fn tell(stage: &mut Stage) -> Result<()> {
    people(stage).await?;
    manifests(stage).await?;
    first_builds(stage).await?;
    let customers = Customers::come(["shop-web", "catalog"].iter().map(|s| format!("{}/version", stage.endpoint("production", s))).collect());
    newer_builds(stage).await?;
    let before = dark(stage).await?;
    let listener = release(stage).await?;
    rollback(stage, listener).await?;
    by_itself(stage).await?;
    let half = grow(stage).await?;
    broken(stage).await?;
    crash(stage, &half).await?;
    record(stage, before).await?;
    let served = customers.leave().await.context("customers of the stable addresses")?;
    stage.say(&format!("\nThroughout, customers of production's stable addresses were served {served} times, and not one request failed."));
    Ok(())
}

pub(super) async fn people(stage: &mut Stage) -> Result<()> {
    stage.chapter("People and their duties");
    stage.type_as("ada", &["preset", "team"]).await?;
    for (name, roles) in PEOPLE.iter().skip(1) {
        let mut args = vec!["person", "add", name, "--password"];
        for role in *roles {
            args.extend(["--role", role]);
        }
        stage.type_as("ada", &args).await?;
        let signed_in = stage.quietly(name, &["login", "--name", name]).await?;
        ensure!(signed_in.code == 0, "{name} cannot sign in: {}", signed_in.text);
    }
    Ok(())
}

pub(super) async fn manifests(stage: &mut Stage) -> Result<()> {
    stage.chapter("Environments, services, checks, policies, features: applied as a plan");
    stage.type_as("ada", &["apply", "-f", "shop", "--dry-run"]).await?;
    stage.type_as("ada", &["apply", "-f", "shop", "--yes"]).await?;
    let again = stage.type_as("ada", &["apply", "-f", "shop", "--yes"]).await?;
    ensure!(again.text.contains("unchanged") || again.text.contains("nothing"), "applying again must change nothing");
    let wrong = stage.dir.join("wrong.yaml");
    std::fs::write(&wrong, "apiVersion: greenroom/v1\nkind: Environment\nmetadata: { name: qa }\nspec:\n  purpose: tset\n  targets: []\n")?;
    stage.say("   a wrong manifest is refused whole, at its place:");
    let refused = stage.quietly("ada", &["apply", "-f", "wrong.yaml", "--set", "qa", "--yes"]).await?;
    stage.say(&refused.text.lines().map(|l| format!("   {l}")).collect::<Vec<_>>().join("\n"));
    ensure!(refused.code != 0 && refused.text.contains("wrong.yaml:5"), "a wrong manifest must be refused with file and line");
    for environment in ENVIRONMENTS {
        let made = stage.quietly("ada", &["token", "create", "sdk", "--env", environment, "--title", &format!("shop in {environment}"), "--json"]).await?;
        let secret = made.json()?["secret"].as_str().context("no secret")?.to_owned();
        std::fs::write(stage.dir.join("shop-tokens").join(environment), secret)?;
    }
    stage.say("   (the shop gets an SDK token for each environment: it reads that environment's exposure and nothing else)");
    Ok(())
}

pub(super) async fn register(stage: &Stage, service: &str, version: &str) -> Result<()> {
    stage.type_as("eva", &["build", "register", "-f", &format!("shop/builds/{service}/{version}/build.yaml")]).await?;
    Ok(())
}

/// Through development, integration, test and staging: asked for once, carried on by policy.
async fn travel(stage: &Stage, version: &str) -> Result<()> {
    stage.type_as("eva", &["deploy", &format!("catalog@{version}"), &format!("shop-web@{version}"), "--to", "development", "--wait"]).await?;
    for environment in ["integration", "test", "staging"] {
        for service in ["catalog", "shop-web"] {
            stage.until_live(environment, service, version).await?;
        }
    }
    Ok(())
}

/// Into production: asked for by one person, approved by another.
pub(super) async fn enter(stage: &Stage, builds: &[&str]) -> Result<()> {
    let mut args = vec!["deploy"];
    args.extend(builds);
    args.extend(["--to", "production"]);
    stage.type_as("eva", &args).await?;
    let open = stage.view(&["deployment", "list"]).await?;
    let number = open["items"][0]["number"].as_u64().context("no deployment")?.to_string();
    stage.type_as("eva", &["status", "--env", "production"]).await?;
    stage.type_as("axel", &["decide", "deployment", &number, "go", "--as", "approver", "--note", "checked the evidence"]).await?;
    for build in builds {
        let (service, version) = build.split_once('@').context("not a build")?;
        stage.until_live("production", service, version).await?;
    }
    Ok(())
}

pub(super) async fn first_builds(stage: &mut Stage) -> Result<()> {
    stage.chapter("The first builds travel to production");
    for service in ["catalog", "shop-web"] {
        register(stage, service, "1.0.0").await?;
    }
    stage.say("   an admin administers, and does not deploy:");
    stage.expect("ada", &["deploy", "shop-web@1.0.0", "--to", "development"], 8).await?;
    travel(stage, "1.0.0").await?;
    enter(stage, &["catalog@1.0.0", "shop-web@1.0.0"]).await?;
    stage.type_as("eva", &["status"]).await?;
    Ok(())
}

async fn newer_builds(stage: &mut Stage) -> Result<()> {
    stage.chapter("Newer builds that know express checkout");
    for service in ["catalog", "shop-web"] {
        register(stage, service, "1.1.0").await?;
    }
    stage.say("   the same again changes nothing; other content under the same version is refused:");
    register(stage, "shop-web", "1.1.0").await?;
    let pages = "pages=shop/builds/shop-web/1.0.0/pages.html";
    stage.expect("eva", &["build", "register", "shop-web", "1.1.0", "--artifact", "server=bin/shop-web", "--artifact", pages, "--commit", "abc123"], 5).await?;
    travel(stage, "1.1.0").await?;
    stage.type_as("eva", &["check", "list", "--env", "test"]).await?;
    evidence(stage).await?;
    enter(stage, &["catalog@1.1.0", "shop-web@1.1.0"]).await
}

/// What a check wrote was kept as it was, and is there under its digest.
async fn evidence(stage: &Stage) -> Result<()> {
    let checks = stage.view(&["check", "list", "--env", "test", "--service", "shop-web"]).await?;
    let check = checks["items"].as_array().into_iter().flatten().find(|c| c["name"] == "requirements").context("the requirements were not checked")?;
    let digests: Vec<&str> = check["evidence"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut kept = Vec::new();
    for digest in digests {
        // the command compares the digest of what it got
        let got = stage.quietly("eva", &["evidence", "get", digest]).await?;
        ensure!(got.code == 0, "evidence {digest} is not there: {}", got.text);
        kept.push((digest, got.answer));
    }
    let (digest, _) = kept.iter().find(|(_, text)| text.contains("<testsuite") && text.contains("SHOP-1")).context("no JUnit file with the requirements was kept")?;
    stage.say("   the JUnit file that the check wrote, as it was:");
    stage.type_as("eva", &["evidence", "get", digest]).await?;
    Ok(())
}

async fn answer(stage: &Stage, environment: &str, context: Value) -> Result<Value> {
    ask(&stage.http, &stage.url, &stage.token(environment)?, FEATURE, &context).await
}

/// Gives a moment at which it was so.
async fn dark(stage: &mut Stage) -> Result<Timestamp> {
    stage.chapter("In production, and dark");
    stage.say(&format!(
        "customer $ curl {}/ofrep/v1/evaluate/flags/{FEATURE} -H \"authorization: Bearer $(cat shop-tokens/production)\" -d '{{\"context\":{{\"targetingKey\":\"user-42\"}}}}'",
        stage.url
    ));
    let found = answer(stage, "production", json!({"targetingKey": "user-42"})).await?;
    stage.say(&format!("   {found}"));
    ensure!(found["value"] == false && found["metadata"]["blocked_by"].is_string(), "the feature must be off for everyone, and say why");
    ensure!(shown(&stage.http, &stage.url, &stage.token("production")?, FEATURE, 200).await?.is_empty(), "nobody may be shown the feature");
    ensure!(answer(stage, "staging", json!({"targetingKey": "user-42"})).await?["value"] == true, "in staging engineers see it");
    stage.type_as("pia", &["dark"]).await?;
    let (_, _, _, exposure) = stage.cell("production", "shop-web").await?;
    ensure!(exposure.as_deref() == Some("dark"), "the board must say dark, not {exposure:?}");
    Ok(Timestamp::from_microsecond(Timestamp::now().as_microsecond())?)
}

/// One of our own people.
pub(super) fn staff() -> Value {
    json!({"targetingKey": "sam", "email": "sam@shop.example"})
}

async fn sees(stage: &Stage, context: &Value) -> Result<bool> {
    Ok(answer(stage, "production", context.clone()).await?["value"] == true)
}

/// Which of the fixed keys see the feature in production.
async fn everyone_in(stage: &Stage) -> Result<BTreeSet<usize>> {
    shown(&stage.http, &stage.url, &stage.token("production")?, FEATURE, KEYS).await
}

pub(super) async fn go(stage: &Stage, release: &str) -> Result<()> {
    stage.type_as("pia", &["decide", "release", release, "go", "--as", "product-owner"]).await?;
    stage.type_as("rick", &["decide", "release", release, "go", "--as", "release-manager"]).await?;
    Ok(())
}

/// Gives the application that listened.
async fn release(stage: &mut Stage) -> Result<Listener> {
    stage.chapter("The business releases it: staff, a tenth, everyone");
    stage.type_as("rosa", &["release", "plan", "-f", "shop/releases/express-launch.yaml"]).await?;
    stage.type_as("pia", &["release", "show", "express-launch"]).await?;
    let waits = stage
        .until("off for everyone, and the answer names the release that it waits for", async |stage: &Stage| {
            let found = answer(stage, "production", json!({"targetingKey": "user-42"})).await?;
            Ok((found["metadata"]["release"] == "express-launch").then_some(found))
        })
        .await?;
    stage.say(&format!("   {waits}"));
    ensure!(waits["value"] == false && waits["metadata"]["blocked_by"].is_string(), "the feature must be off for everyone, and say why");
    stage.say("   without its decisions it does not start:");
    stage.expect("rosa", &["release", "start", "express-launch"], 3).await?;
    go(stage, "express-launch").await?;
    let token = stage.token("production")?;
    let listener = Listener::listen(stage.http.clone(), stage.url.clone(), token.clone()).await?;
    stage.type_as("rosa", &["release", "start", "express-launch"]).await?;
    let staff = staff();
    stage
        .until("staff sees express checkout, customers do not", async |stage: &Stage| {
            let other = sees(stage, &json!({"targetingKey": "user-42"})).await?;
            Ok((sees(stage, &staff).await? && !other).then_some(()))
        })
        .await?;
    listener.cut();
    stage.say("   (the listening application loses its connection and comes back)");
    stage.type_as("rosa", &["release", "start", "express-launch"]).await?;
    let tenth = stage
        .until("a tenth of 10,000 customers sees it", async |stage: &Stage| {
            let all = everyone_in(stage).await?;
            Ok((!all.is_empty()).then_some(all))
        })
        .await?;
    // on a busy machine its dwell may end while the keys are counted; the release after it grows by hand, and is compared key by key
    if stage.view(&["release", "show", "express-launch"]).await?["environments"][0]["stage"] == "ten" {
        stage.say(&format!("   {} of {KEYS} fixed keys are in", tenth.len()));
        // the salt is drawn anew each time: five standard deviations
        ensure!((850..=1_150).contains(&tenth.len()), "a tenth of {KEYS} is not {}", tenth.len());
    }
    ensure!(sees(stage, &staff).await?, "staff stays in as it grows");
    stage.until("after its dwell, everyone sees it", async |stage: &Stage| Ok((everyone_in(stage).await?.len() == KEYS).then_some(()))).await?;
    ensure!(sees(stage, &staff).await?, "staff stays in as it grows");
    stage.type_as("pia", &["release", "show", "express-launch"]).await?;
    Ok(listener)
}

/// Of each stage and of the close one notice, in order, and nothing else, through the lost connection too. The close is
/// the last of them: a notice too many would have come before it.
async fn heard(stage: &Stage, listener: Listener) -> Result<()> {
    let log = stage.view(&["log", "--subject", "release/express-launch"]).await?;
    let steps = log["items"].as_array().into_iter().flatten().filter(|e| e["kind"] == "release.stage_started" || e["kind"] == "release.closed");
    let expected: Vec<u64> = steps.filter_map(|e| e["seq"].as_u64()).collect();
    ensure!(expected.len() == 4, "three stages and a close: {log}");
    stage
        .until("the listening application heard of each step once, and of nothing else", async |_: &Stage| {
            let heard = listener.heard();
            ensure!(expected.starts_with(&heard), "it heard {heard:?} of {expected:?}");
            Ok((heard == expected).then_some(()))
        })
        .await?;
    listener.leave();
    Ok(())
}

async fn rollback(stage: &mut Stage, listener: Listener) -> Result<()> {
    stage.chapter("Nothing is rolled back from under a release");
    let refused = stage.expect("eva", &["rollback", "shop-web", "--env", "production"], 3).await?;
    ensure!(refused.text.contains("express-launch") && refused.text.contains("everyone"), "a refused rollback names releases and share of users");
    stage.type_as("rosa", &["release", "close", "express-launch"]).await?;
    heard(stage, listener).await?;
    let refused = stage.expect("eva", &["rollback", "shop-web", "--env", "production"], 3).await?;
    ensure!(refused.text.contains("express-launch"), "closed releases go on binding");
    stage.say("   withdrawn first, then rolled back, as one operation; shown before it is done:");
    let shown_first = stage.type_as("eva", &["rollback", "shop-web", "--env", "production", "--withdraw-first", "--dry-run"]).await?;
    for word in [FEATURE, "express-launch", "everyone", "approver"] {
        ensure!(shown_first.text.contains(word), "the preview of a rollback must name {word}");
    }
    stage.say("   where nobody can be asked, it has to be said with --yes:");
    stage.expect("eva", &["rollback", "shop-web", "--env", "production", "--withdraw-first"], 2).await?;
    stage.type_as("eva", &["rollback", "shop-web", "--env", "production", "--withdraw-first", "--yes", "--reason", "the button is too green"]).await?;
    let number = stage.view(&["deployment", "list"]).await?["items"][0]["number"].to_string();
    stage.type_as("axel", &["decide", "deployment", &number, "go", "--as", "approver"]).await?;
    stage.until_live("production", "shop-web", "1.0.0").await?;
    ensure!(shown(&stage.http, &stage.url, &stage.token("production")?, FEATURE, 200).await?.is_empty(), "withdrawn means off for everyone");
    stage.type_as("eva", &["hold", "list"]).await?;
    Ok(())
}

pub(super) fn planned(stage: &Stage, name: &str, mode: &str) -> Result<String> {
    let text = std::fs::read_to_string(stage.dir.join("shop/releases/express-launch.yaml"))?;
    let text = text.replace("name: express-launch", &format!("name: {name}")).replace("mode: manual", mode);
    let file = format!("shop/releases/{name}.yaml");
    std::fs::write(stage.dir.join(&file), text)?;
    Ok(file)
}

pub(super) async fn state_of(stage: &Stage, release: &str) -> Result<String> {
    Ok(stage.view(&["release", "show", release]).await?["state"].as_str().unwrap_or_default().to_owned())
}

async fn by_itself(stage: &mut Stage) -> Result<()> {
    stage.chapter("Released by itself: the moment its builds are there, or at a time");
    let file = planned(stage, "express-again", "mode: on_deploy")?;
    stage.type_as("rosa", &["release", "plan", "-f", &file]).await?;
    go(stage, "express-again").await?;
    ensure!(state_of(stage, "express-again").await? == "armed", "it waits for its builds");
    let holds = stage.view(&["hold", "list"]).await?;
    for hold in holds["items"].as_array().into_iter().flatten() {
        stage.type_as("rosa", &["hold", "lift", &hold["number"].to_string()]).await?;
    }
    enter(stage, &["shop-web@1.1.0"]).await?;
    stage.until("the release started by itself", async |stage: &Stage| Ok((state_of(stage, "express-again").await? == "exposing").then_some(()))).await?;
    stage.say("   one feature is taken from everyone at once; that is never refused:");
    stage.type_as("otto", &["feature", "kill", FEATURE, "--env", "production", "--reason", "support is flooded", "--wait"]).await?;
    stage.type_as("otto", &["release", "withdraw", "express-again", "--wait"]).await?;
    stage.type_as("pia", &["feature", "restore", FEATURE, "--env", "production"]).await?;
    let soon = Timestamp::now() + SignedDuration::from_secs(8);
    let file = planned(stage, EVENING, &format!("mode: {{ scheduled: \"{soon:.0}\" }}"))?;
    by_hand(stage, &file)?;
    stage.type_as("rosa", &["release", "plan", "-f", &file]).await?;
    go(stage, EVENING).await?;
    stage.until("its time has come, and it started", async |stage: &Stage| Ok((state_of(stage, EVENING).await? == "exposing").then_some(()))).await?;
    Ok(())
}

/// Without dwell, and with a stage between a tenth and everyone.
fn by_hand(stage: &Stage, file: &str) -> Result<()> {
    let path = stage.dir.join(file);
    let (text, ten, half) = (std::fs::read_to_string(&path)?, "- { name: ten, share: 10%, dwell: 5s }", "- { name: ten, share: 10% }\n    - { name: half, share: 50% }");
    ensure!(text.contains(ten), "the release that the others are made from has no stage `ten`");
    Ok(std::fs::write(path, text.replace(ten, half))?)
}

/// The next stage, once what just happened was observed; gives who is in then.
async fn grown(stage: &Stage, name: &str, count: std::ops::RangeInclusive<usize>) -> Result<BTreeSet<usize>> {
    stage.type_as("rosa", &["release", "start", EVENING]).await?;
    let all = stage
        .until(&format!("stage {name} serves its share"), async |stage: &Stage| {
            let all = everyone_in(stage).await?;
            Ok(count.contains(&all.len()).then_some(all))
        })
        .await?;
    stage.say(&format!("   {} of {KEYS} fixed keys are in", all.len()));
    ensure!(sees(stage, &staff()).await?, "staff stays in as it grows");
    Ok(all)
}

/// Key by key: a pause and what follows it move nobody, and each stage holds all of the one before and more.
async fn grow(stage: &mut Stage) -> Result<BTreeSet<usize>> {
    stage.chapter("Everyone keeps their side as it grows: the same 10,000 customers, key by key");
    ensure!(everyone_in(stage).await?.is_empty() && sees(stage, &staff()).await?, "the first stage is staff alone");
    let tenth = grown(stage, "ten", 900..=1_100).await?;
    let (.., exposure) = stage.cell("production", "shop-web").await?;
    ensure!(exposure.as_deref() == Some("released to 10%"), "the board must say how far it is released, not {exposure:?}");
    stage.type_as("rosa", &["release", "pause", EVENING]).await?;
    ensure!(everyone_in(stage).await? == tenth, "a pause moved somebody");
    ensure!(sees(stage, &staff()).await?, "a pause took it from staff");
    stage.type_as("rosa", &["release", "resume", EVENING]).await?;
    ensure!(everyone_in(stage).await? == tenth, "going on moved somebody");
    stage.say("   paused and resumed: the very same keys");
    let half = grown(stage, "half", 4_800..=5_200).await?;
    ensure!(tenth.is_subset(&half) && tenth != half, "growing to a half moved somebody out");
    stage.say("   every key of the tenth is among them");
    Ok(half)
}

async fn broken(stage: &mut Stage) -> Result<()> {
    stage.chapter("A build that serves, and serves badly, takes itself back");
    let version = "1.2.1-broken-in-production";
    register(stage, "shop-web", version).await?;
    stage.type_as("eva", &["deploy", &format!("shop-web@{version}"), "--to", "development", "--wait"]).await?;
    for environment in ["integration", "test", "staging"] {
        stage.until_live(environment, "shop-web", version).await?;
    }
    stage.type_as("eva", &["deploy", &format!("shop-web@{version}"), "--to", "production"]).await?;
    let number = stage.view(&["deployment", "list"]).await?["items"][0]["number"].to_string();
    stage.type_as("axel", &["decide", "deployment", &number, "go", "--as", "approver"]).await?;
    stage
        .until("its smoke check failed, and the build before it is back", async |stage: &Stage| {
            let newest = stage.view(&["deployment", "list"]).await?["items"][0].clone();
            Ok((newest["motive"] == "rollback" && newest["urgency"] == "automatic" && newest["state"] == "live").then_some(()))
        })
        .await?;
    stage.until_live("production", "shop-web", "1.1.0").await?;
    stage.say("   the build is quarantined, and a hold keeps automation from trying again:");
    stage.type_as("eva", &["hold", "list"]).await?;
    stage.type_as("eva", &["build", "show", &format!("shop-web@{version}")]).await?;
    Ok(())
}

async fn crash(stage: &mut Stage, half: &BTreeSet<usize>) -> Result<()> {
    stage.chapter("kill -9 of the server");
    let before = stage.view(&["release", "show", EVENING]).await?["state"].clone();
    let processes = ENVIRONMENTS.iter().map(|e| stage.processes(e)).collect::<Result<Vec<_>>>()?;
    stage.say("$ kill -9 SERVER; greenroom serve --data demo-data");
    stage.kill_server().await?;
    stage.serve(&[]).await?;
    ensure!(stage.view(&["release", "show", EVENING]).await?["state"] == before, "nothing acknowledged may be lost");
    ensure!(everyone_in(stage).await? == *half, "what was exposed is exposed, to the same half");
    stage.until_live("production", "shop-web", "1.1.0").await?;
    let after = ENVIRONMENTS.iter().map(|e| stage.processes(e)).collect::<Result<Vec<_>>>()?;
    ensure!(after == processes, "services must be adopted, not restarted: {processes:?} became {after:?}");
    stage.say("   running services are the same processes as before, and the same half of the 10,000 is served; then the last stage:");
    stage
        .until("what runs was observed again", async |stage: &Stage| {
            Ok(stage.view(&["release", "show", EVENING]).await?["environments"][0]["missing"].as_array().is_some_and(Vec::is_empty).then_some(()))
        })
        .await?;
    let all = grown(stage, "all", KEYS..=KEYS).await?;
    ensure!(half.is_subset(&all) && *half != all, "growing to everyone moved somebody out");
    Ok(())
}

async fn record(stage: &mut Stage, before: Timestamp) -> Result<()> {
    stage.chapter("Who, what, when, why");
    let explain = ["explain", FEATURE, "--env", "production", "--for", "user-42"];
    stage.type_as("pia", &explain).await?;
    stage.say("   and before anything was released:");
    let before = before.to_string();
    let then = [&explain[..], &["--at", &before]].concat();
    stage.type_as("pia", &then).await?;
    let (now, then) = (stage.view(&explain).await?, stage.view(&then).await?);
    ensure!(now["value"] == true && now["release"] == EVENING, "what is served now is explained: {now}");
    ensure!(then["value"] == false && then["release"].is_null() && then["blocked_by"].is_string(), "what was served then is explained: {then}");
    ensure!(then["at"].as_str().and_then(|at| at.parse::<Timestamp>().ok()).is_some_and(|at| at.to_string() == before), "for that instant: {then}");
    stage.type_as("rosa", &["log", "-n", "15"]).await?;
    stage.type_as("ada", &["ledger", "verify"]).await?;
    Ok(())
}
