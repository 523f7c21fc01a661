//! Killed while time works for a release: it starts at its time and grows after its dwell, without a word from anybody.

use anyhow::{Context as _, Result, ensure};
use jiff::{SignedDuration, Timestamp, Unit};
use serde_json::{Value, json};

use super::super::stage::Stage;
use super::super::story;
use super::{releasing, restarted, value};

/// Before its time, and in the dwell of its first stage.
pub const KILLS: usize = 2;

pub async fn play(stage: &mut Stage) -> Result<()> {
    stage.chapter("Killed before a scheduled start, and in a dwell");
    let number = releasing::spare();
    let time = (Timestamp::now() + SignedDuration::from_secs(6)).round(Unit::Second)?;
    let (name, file) = releasing::planned(stage, number, &format!("mode: {{ scheduled: \"{time}\" }}"))?;
    let path = stage.dir.join(&file);
    let mut text = std::fs::read_to_string(&path)?;
    for (stage, dwelling) in [("cohort: staff, share: 100% }", "cohort: staff, share: 100%, dwell: 3s }"), ("dwell: 5s", "dwell: 500ms")] {
        ensure!(text.contains(stage), "the release that this one is made from has no stage with `{stage}`");
        text = text.replace(stage, dwelling);
    }
    std::fs::write(&path, text)?;
    stage.type_as("rosa", &["release", "plan", "-f", &file]).await?;
    story::go(stage, &name).await?;
    restarted(stage).await?;
    let feature = releasing::feature(number);
    stage.until("its time has come, and it started", async |stage: &Stage| Ok((value(stage, &feature, &story::staff()).await? == true).then_some(()))).await?;
    let dwells = Timestamp::now();
    restarted(stage).await?;
    let customer = json!({"targetingKey": "user-42"});
    // some see it in the stage before
    stage
        .until("after its dwells, everyone sees it", async |stage: &Stage| {
            Ok((story::state_of(stage, &name).await? == "exposed" && value(stage, &feature, &customer).await? == true).then_some(()))
        })
        .await?;
    let log = stage.view(&["log", "--subject", &format!("release/{name}")]).await?;
    let began: Vec<&Value> = log["items"].as_array().into_iter().flatten().filter(|e| e["kind"] == "release.stage_started").collect();
    ensure!(began.len() == 3 && began.iter().all(|e| e["actor"] == "system:clock"), "each of its stages begins once, and by itself: {began:?}");
    let at = |event: &Value| Ok::<Timestamp, anyhow::Error>(event["at"].as_str().context("an event has its time")?.parse()?);
    ensure!(at(began[0])? >= time && at(began[1])? > dwells, "it starts at its time, and grows after its dwell: {began:?}");
    Ok(())
}
