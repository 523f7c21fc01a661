//! Killed while exposing and withdrawing: what was answered holds, and what was not can be asked again.

use std::fs;

use anyhow::{Result, ensure};
use serde_json::Value;

use super::super::eyes::shown;
use super::super::stage::Stage;
use super::super::story;
use super::{ANSWERED, killed, value};

/// Points that starting a release passes.
const EXPOSING: [&str; 4] = ["release-exposing", "before-publish", "after-publish", ANSWERED];
/// Points that withdrawing one passes; one for each that was started.
const WITHDRAWING: [&str; EXPOSING.len()] = ["release-withdrawing", "before-publish", "after-publish", ANSWERED];
pub const KILLS: usize = EXPOSING.len() + WITHDRAWING.len();

/// A feature for each release, so that none hides what another lost.
pub fn prepare(stage: &Stage) -> Result<()> {
    let features = (0..EXPOSING.len() + 1).map(|i| {
        let name = feature(i);
        format!(
            "---\napiVersion: greenroom/v1\nkind: Feature\nmetadata: {{ name: {name} }}\nspec: {{ type: boolean, variants: {{ \"on\": true, \"off\": false }}, off: \"off\" }}\n"
        )
    });
    Ok(fs::write(stage.dir.join("shop/launches.yaml"), features.collect::<String>())?)
}

pub fn feature(i: usize) -> String {
    format!("launched-{i}")
}

/// The release that the story plays, of another feature and of builds that are in production already.
pub fn planned(stage: &Stage, i: usize, mode: &str) -> Result<(String, String)> {
    let name = format!("launch-{i}");
    let file = story::planned(stage, &name, mode)?;
    let text = fs::read_to_string(stage.dir.join(&file))?;
    let text = text.replace(&format!("key: {}", story::FEATURE), &format!("key: {}", feature(i))).replace(">=1.1.0", ">=1.0.0");
    fs::write(stage.dir.join(&file), text)?;
    Ok((name, file))
}

pub async fn play(stage: &mut Stage) -> Result<()> {
    stage.chapter("Killed while exposing and withdrawing");
    let staff = story::staff();
    for (i, (exposing, withdrawing)) in EXPOSING.into_iter().zip(WITHDRAWING).enumerate() {
        let feature = feature(i);
        let (name, file) = planned(stage, i, "mode: manual")?;
        stage.type_as("rosa", &["release", "plan", "-f", &file]).await?;
        story::go(stage, &name).await?;
        asked(stage, "rosa", exposing, &["release", "start", &name], "planned", &["exposing"]).await?;
        stage.until("staff is served what was decided", async |stage: &Stage| Ok((value(stage, &feature, &staff).await? == true).then_some(()))).await?;
        asked(stage, "otto", withdrawing, &["release", "withdraw", &name], "exposing", &["withdrawing", "withdrawn"]).await?;
        stage.until("staff is served it no more", async |stage: &Stage| Ok((value(stage, &feature, &staff).await? == false).then_some(()))).await?;
        ensure!(shown(&stage.http, &stage.url, &stage.token("production")?, &feature, 100).await?.is_empty(), "withdrawn means off for everyone");
    }
    Ok(())
}

/// Types `command` about a release, killed at `point`. What was answered is so after the restart, with no second word;
/// what was not is so, or is as it was `before` and can be asked again.
async fn asked(stage: &mut Stage, person: &str, point: &str, command: &[&str; 3], before: &str, after: &[&str]) -> Result<()> {
    let [.., name] = command;
    let answered = killed(stage, person, point, command).await?;
    let known = stage.view(&["release", "show", name]).await?;
    let state = |view: &Value| view["state"].as_str().unwrap_or_default().to_owned();
    if let Some(answered) = answered {
        ensure!(after.contains(&state(&answered).as_str()), "`{}` was answered with {answered}", command.join(" "));
        ensure!(after.contains(&state(&known).as_str()), "`{}` was acknowledged at {point} and is lost: {known}", command.join(" "));
        let stage_of = |view: &Value| view["environments"][0]["stage"].clone();
        ensure!(stage_of(&known) == stage_of(&answered), "acknowledged at {point} was {answered}, and after it is {known}");
    } else if state(&known) == before {
        stage.type_as(person, command).await?;
    } else {
        ensure!(after.contains(&state(&known).as_str()), "killed at {point} it became {known}");
    }
    Ok(())
}

/// Evaluators that were in contact before the last kill have had their time to come back, or a deadline has passed.
pub async fn withdrawn(stage: &Stage) -> Result<()> {
    for i in 0..WITHDRAWING.len() {
        let name = format!("launch-{i}");
        stage.until(&format!("the withdrawal of {name} is effective"), async |stage: &Stage| Ok((story::state_of(stage, &name).await? == "withdrawn").then_some(()))).await?;
        ensure!(value(stage, &feature(i), &story::staff()).await? == false, "withdrawn means off");
    }
    Ok(())
}

/// The feature and the number that no release here has.
pub const fn spare() -> usize {
    EXPOSING.len()
}
