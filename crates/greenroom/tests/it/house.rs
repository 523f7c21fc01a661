//! A server with somebody who may do everything.

use std::process::Output;

use crate::program::{Program, greenroom, text};

const ENVIRONMENTS: &str = "apiVersion: greenroom/v1
kind: Environment
metadata: { name: test }
spec: { purpose: test, policies: [careful], targets: [{ name: t, driver: command, address: a }] }
---
apiVersion: greenroom/v1
kind: Policy
metadata: { name: careful }
spec: { rules: [{ decision: { role: approver } }] }
---
apiVersion: greenroom/v1
kind: Feature
metadata: { name: search }
spec: { type: boolean, variants: { \"on\": true, \"off\": false }, \"off\": \"off\" }
";
const SERVICE: &str = "apiVersion: greenroom/v1
kind: Service
metadata: { name: web }
spec: { components: [app], recipes: { command: { apply: [\"false\"], observe: [\"false\"] } } }
";

/// A server with an admin who may do everything, and a directory with manifests applied as set `here`.
pub struct House {
    pub dir: tempfile::TempDir,
    pub server: Program,
}

impl House {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data").display().to_string();
        let server = Program::start(&dir.path().join("home"), &["serve", "--data", &data, "--listen", "127.0.0.1:0"], 1);
        let house = Self { dir, server };
        let first = house.server.said.split_whitespace().find(|word| word.starts_with("gr_first_")).expect("a token").to_owned();
        house.done(&["login", "--server", &format!("http://{}", house.server.address), "--name", "ada", "--first-token", &first]);
        house.done(&["preset", "solo"]);
        house.done(&["person", "roles", "ada", "admin", "engineer", "deployer", "release-manager"]);
        house.write("environments.yaml", ENVIRONMENTS);
        house.write("service.yaml", SERVICE);
        house.done(&["apply", "--set", "here", "-f", &house.at("environments.yaml"), "-f", &house.at("service.yaml")]);
        house
    }

    pub fn at(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.dir.path().join(name), text).unwrap();
    }

    pub fn run(&self, args: &[&str]) -> Output {
        greenroom(&self.dir.path().join("home"), args).output().expect("the binary runs")
    }

    #[track_caller]
    pub fn done(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", text(&output));
        text(&output)
    }

    #[track_caller]
    pub fn refused(&self, args: &[&str], exit: i32) -> String {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(exit), "{args:?}: {}", text(&output));
        text(&output)
    }
}
