//! Follows an environment and prints what becomes of one feature for one user, until it is interrupted:
//! `cargo run --release -p greenroom-sdk --example watch -- URL TOKEN KEY FEATURE USER`

#![expect(clippy::print_stdout, reason = "a program to look at")]

use anyhow::{Context as _, Result};
use greenroom_sdk::exposure::Pairs;
use greenroom_sdk::{Greenroom, Options};

#[tokio::main]
async fn main() -> Result<()> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let [url, token, key, feature, user] = given.as_slice() else {
        anyhow::bail!("usage: watch URL TOKEN KEY FEATURE USER");
    };
    let greenroom = Greenroom::connect(Options::new(url, token, key).build("watch", env!("CARGO_PKG_VERSION"))).await.context("these options cannot be right")?;
    let caller = Pairs { targeting_key: Some(user), attributes: &[] };
    let mut state = greenroom.state();
    loop {
        let contact = state.borrow_and_update().contact.clone();
        match greenroom.evaluate(feature, &caller) {
            Ok(answer) => println!("{contact:?}: {} ({}) because {:?}", answer.value, answer.variant, answer.reason),
            Err(why) => println!("{contact:?}: {why}"),
        }
        tokio::select! {
            changed = state.changed() => changed?,
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    greenroom.close().await;
    Ok(())
}
