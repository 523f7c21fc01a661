//! Checks against a service and with programs.

use std::collections::BTreeMap;
use std::path::Path;

use greenroom_domain::deployment::check::{CheckKind, CheckRun, CheckSpec, CommandCheck, HttpCheck, Outcome};
use greenroom_domain::time::Span;
use greenroom_drivers::check::{CheckContext, JUNIT, Ran, TEXT, run};

use crate::world::{World, digest_of, fresh_dir, name, op};

fn context(work: &Path, endpoints: BTreeMap<greenroom_domain::id::Name, std::net::SocketAddr>) -> CheckContext {
    CheckContext {
        environment: name("test"),
        service: name("web"),
        label: "web@1.0".parse().unwrap(),
        digest: digest_of(b"1.0"),
        op: Some(op(1)),
        endpoints,
        artifacts: [(name("server"), "/srv/web".to_owned())].into(),
        control: "http://127.0.0.1:1".into(),
        work: work.to_owned(),
    }
}

fn spec(run: CheckRun) -> CheckSpec {
    CheckSpec { name: name("smoke"), kind: CheckKind::Smoke, purposes: Vec::new(), run, requirements: Vec::new(), timeout: Span::secs(20) }
}

#[tokio::test(flavor = "multi_thread")]
async fn http() {
    let world = World::new();
    world.deploy("1.0", 1).await;
    let work = &world.place.dir;
    let ctx = context(work, [(name("web"), world.place.stable.unwrap())].into());
    let http = |path: &str| HttpCheck { path: path.into(), status: 200, contains: None, within: None };
    let ask = async |check: HttpCheck| run(&spec(CheckRun::Http(check)), &ctx).await;
    let good = ask(HttpCheck { contains: Some("1.0".into()), within: Some(Span::secs(10)), ..http("/") }).await;
    assert_eq!((good.outcome, good.evidence[0].0), (Outcome::Pass, TEXT), "{}", good.summary);
    assert!(String::from_utf8_lossy(&good.evidence[0].1).ends_with("1.0 0"));
    for (check, outcome, summary) in [
        (HttpCheck { status: 404, ..http("/") }, Outcome::Fail, "status 200, wanted 404"),
        (HttpCheck { contains: Some("2.0".into()), ..http("/") }, Outcome::Fail, "status 200, but the answer does not contain `2.0`"),
        (http("/{nope}"), Outcome::Error, "`{nope}` in `/{nope}` is not a placeholder here"),
    ] {
        let ran = ask(check).await;
        assert_eq!(ran.outcome, outcome, "{}", ran.summary);
        assert!(ran.summary.starts_with(summary), "{}", ran.summary);
    }
    let slow = ask(HttpCheck { within: Some(Span::millis(50)), ..http("/slow/200") }).await;
    assert!(slow.outcome == Outcome::Fail && slow.summary.ends_with("wanted 50ms"), "{}", slow.summary);
    let late = CheckSpec { timeout: Span::millis(100), ..spec(CheckRun::Http(http("/slow/20000"))) };
    assert_eq!(run(&late, &ctx).await.outcome, Outcome::Error);
    let nobody = context(work, [(name("web"), crate::world::free_address())].into());
    assert_eq!(run(&spec(CheckRun::Http(http("/"))), &nobody).await.outcome, Outcome::Error);
    assert_eq!(run(&spec(CheckRun::Http(http("/"))), &context(work, BTreeMap::new())).await.summary, "`web` has no stable address in test");
}

async fn sh(script: &str, junit: Option<&str>, timeout: Span) -> Ran {
    let argv = ["/bin/sh", "-c", script, "sh", "{work}", "{version}", "{server}", "{op}"].map(Into::into).into();
    let ctx = context(&fresh_dir(), BTreeMap::new());
    let ran = run(&CheckSpec { timeout, ..spec(CheckRun::Command(CommandCheck { argv, junit: junit.map(Into::into) })) }, &ctx).await;
    assert_eq!(std::fs::read_dir(&ctx.work).unwrap().count(), 0, "nothing is left of the run");
    std::fs::remove_dir(&ctx.work).unwrap();
    ran
}

#[tokio::test(flavor = "multi_thread")]
async fn programs() {
    const JUNIT_PASS: &str = "echo '<testsuite><testcase/></testsuite>' >\"$1/r.xml\"";
    const JUNIT_FAIL: &str = "echo '<testsuite><testcase><failure/></testcase></testsuite>' >r.xml";
    for (script, junit, outcome, summary) in [
        ("echo \"$2 $3 $GREENROOM_BUILD\"", None, Outcome::Pass, "exited with status 0"),
        ("echo one; echo two; exit 1", None, Outcome::Fail, "exited with status 1"),
        ("echo usage; exit 2", None, Outcome::Error, "exited with status 2"),
        ("kill -9 $$", None, Outcome::Error, "was killed by signal 9"),
        (JUNIT_PASS, Some("{work}/r.xml"), Outcome::Pass, "1 passed"),
        (JUNIT_FAIL, Some("r.xml"), Outcome::Fail, "1 failed"),
        ("echo '<testsuite/>' >r.xml", Some("r.xml"), Outcome::Inconclusive, "no test cases"),
        ("true", Some("r.xml"), Outcome::Error, "no JUnit file"),
        ("echo '<testsuite>' >r.xml", Some("r.xml"), Outcome::Error, "cannot understand the JUnit file"),
        ("echo '<testsuite><testcase/></testsuite>' >r.xml; exit 3", Some("r.xml"), Outcome::Error, "exited with status 3"),
    ] {
        let ran = sh(script, junit, Span::secs(20)).await;
        assert_eq!(ran.outcome, outcome, "{script}: {}", ran.summary);
        assert!(ran.summary.starts_with(summary), "{script}: {}", ran.summary);
        assert!(["/srv/web", "two", "usage"].iter().all(|word| !ran.summary.contains(word)), "{script}: its own words are evidence and no more: {}", ran.summary);
    }
    let said = sh("echo \"$2 $3 $GREENROOM_BUILD\"", None, Span::secs(20)).await;
    assert_eq!(said.evidence, [(TEXT, b"1.0 /srv/web web@1.0\n".to_vec())]);
    let kept = sh(&format!("{JUNIT_PASS}; head -c 200000 /dev/zero | tr '\\0' x"), Some("r.xml"), Span::secs(20)).await;
    let kinds: Vec<_> = kept.evidence.iter().map(|(kind, bytes)| (*kind, bytes.len())).collect();
    assert_eq!(kinds, [(JUNIT, 35), (TEXT, 64 << 10)]);
    let late = sh("sleep 60 & sleep 60", None, Span::millis(200)).await;
    assert_eq!((late.outcome, late.summary.as_str()), (Outcome::Error, "did not end within 200ms"));
}
