//! The disk refuses writes, or the chain is broken: commands are refused and say why, everything else goes on.

use std::path::PathBuf;
use std::process::Command;

use futures_util::StreamExt as _;
use reqwest::Method;
use serde_json::json;

use crate::world::{Answer, World};

const BASELINE: &str = "/features/button/baseline";

/// A small memory disk, unmounted when dropped.
struct SmallDisk(PathBuf, #[expect(dead_code, reason = "lives as long as the disk")] tempfile::TempDir);

impl SmallDisk {
    /// `None` where mounting is not allowed.
    fn mount() -> Option<Self> {
        let root = tempfile::tempdir().unwrap();
        let at = root.path().join("disk");
        std::fs::create_dir(&at).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=16m", "tmpfs"]).arg(&at).output();
        let disk = Self(at, root);
        mounted.is_ok_and(|output| output.status.success()).then_some(disk)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).output();
    }
}

async fn set(world: &World, token: &str, variant: &str) -> Answer {
    world.put(token, BASELINE, &json!({"environment": "test", "variant": variant})).await
}

#[track_caller]
fn unavailable(answer: &Answer, says: &str, remedy: &str) {
    assert_eq!((answer.status.as_u16(), answer.code()), (503, "storage-unavailable"), "{answer:?}");
    let said = answer.body.to_string();
    assert!(said.contains(says) && said.contains(remedy), "{said}");
    assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_of_until_it_takes_writes_again() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("skipped: mounting a tmpfs is not allowed here");
        return;
    };
    let world = World::new_in(tempfile::tempdir_in(&disk.0).unwrap()).await;
    let eva = world.person("eva", &["engineer"]).await;
    let sdk = world.token("sdk", Some("test")).await;
    assert_eq!(set(&world, &eva, "on").await.status, 200);
    while world.evaluate(&sdk, "u").await.body["value"] != true {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.get("", "/readyz").await.status, 200);

    let ballast = disk.0.join("ballast");
    let mut file = std::fs::File::create(&ballast).unwrap();
    while std::io::Write::write_all(&mut file, &[7; 4096]).is_ok() {}
    let mut turn = 0;
    let refused = loop {
        turn += 1;
        let answer = set(&world, &eva, if turn % 2 == 0 { "on" } else { "off" }).await;
        if answer.status != 200 {
            break answer;
        }
    };
    unavailable(&refused, "no space left", "reads and exposure go on");
    unavailable(&world.get("", "/readyz").await, "no space left", "free space");
    assert_eq!(world.get("", "/healthz").await.status, 200);
    assert_eq!(world.get(&eva, "/features/button").await.status, 200, "reads go on");
    assert_eq!(world.evaluate(&sdk, "u").await.status, 200, "exposure goes on");
    let before = world.get(&eva, "/board").await.seq();

    // nobody sends a command: it finds out by itself
    std::fs::remove_file(&ballast).unwrap();
    drop(file);
    while world.get("", "/readyz").await.status != 200 {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.get(&eva, "/board").await.seq(), before, "finding out is no event");
    assert_eq!(set(&world, &eva, "on").await.status, 200);
    assert_eq!(world.post(&world.admin, "/ledger/verify", &json!({})).await.status, 200, "the chain is whole");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_added_to_a_broken_chain() {
    let mut world = World::new().await;
    let eva = world.person("eva", &["engineer"]).await;
    let sdk = world.token("sdk", Some("test")).await;
    let yaml = "apiVersion: greenroom/v1\nkind: Feature\nmetadata: { name: other, title: Unmistakable }\nspec: { type: boolean, variants: { \"on\": true, \"off\": false }, off: \"off\" }\n";
    assert_eq!(world.put(&world.admin, "/manifests/more", &json!({"documents": [{"file": "more.yaml", "text": yaml}]})).await.status, 200);
    assert_eq!(set(&world, &eva, "on").await.status, 200);
    // more than a start looks at
    let crowd = futures_util::stream::iter(0..1_100).map(|i| {
        let (world, name) = (&world, format!("p{i}"));
        async move { world.post(&world.admin, "/people", &json!({"name": name, "roles": []})).await.status }
    });
    assert!(crowd.buffer_unordered(64).all(async |status| status == 201).await);
    world.stop().await;
    let path = world.dir.path().join("data/greenroom.db");
    let mut bytes = std::fs::read(&path).unwrap();
    let places: Vec<usize> = bytes.windows(12).enumerate().filter(|(_, w)| *w == b"Unmistakable").map(|(at, _)| at).collect();
    assert!(!places.is_empty(), "the title stands in the file");
    places.iter().for_each(|at| bytes[*at] = b'u');
    std::fs::write(&path, bytes).unwrap();
    world.start().await;
    assert_eq!(world.get("", "/readyz").await.status, 200, "nobody has looked yet");
    let head = world.get(&eva, "/board").await.seq();

    unavailable(&world.post(&world.admin, "/ledger/verify", &json!({})).await, "the chain is broken at event", "restore a backup");
    unavailable(&world.get("", "/readyz").await, "the chain is broken at event", "restore a backup");
    unavailable(&set(&world, &eva, "off").await, "the chain is broken at event", "restore a backup");
    let kill = world.request(Method::POST, &eva, "/features/button/kill?dry_run=true").json(&json!({"environment": "test", "reason": "it hurts"}));
    unavailable(&world.send(kill).await, "the chain is broken at event", "restore a backup");
    assert_eq!(world.get(&eva, "/board").await.seq(), head, "nothing was added");
    assert_eq!(world.evaluate(&sdk, "u").await.body["value"], true, "exposure goes on");
}
