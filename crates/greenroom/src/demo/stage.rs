//! Setting the stage: programs, a directory, the server as a child, the people, and how their commands are shown.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};

use super::clear;
use crate::commands::demo::Demo;
use crate::output;

/// Everyone signs in with this; the server listens on this machine only.
pub const PASSWORD: &str = "greenroom-demo";
/// Who plays, and in which roles.
pub const PEOPLE: [(&str, &[&str]); 7] = [
    ("ada", &["admin"]),
    ("eva", &["engineer", "deployer"]),
    ("axel", &["approver"]),
    ("rosa", &["release-manager"]),
    ("rick", &["release-manager"]),
    ("pia", &["product-owner"]),
    ("otto", &["on-call"]),
];
pub const ENVIRONMENTS: [&str; 5] = ["development", "integration", "test", "staging", "production"];
/// Lines that are shown of a long answer, from its beginning and its end.
const HEAD: usize = 45;
const TAIL: usize = 8;
/// Anything in the story happens within this time.
const PATIENCE: Duration = Duration::from_secs(90);

pub struct Stage {
    pub dir: PathBuf,
    pub url: String,
    pub port: u16,
    pub fast: bool,
    programs: PathBuf,
    program: PathBuf,
    server: Option<Child>,
    pub http: reqwest::Client,
    chapter: u32,
}

/// What a command left.
pub struct Output {
    pub code: i32,
    /// Notes and progress, then the answer.
    pub text: String,
    /// The answer alone.
    pub answer: String,
}

impl Output {
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.answer).with_context(|| format!("not JSON: {}", self.text))
    }
}

impl Stage {
    pub async fn set(options: &Demo) -> Result<Self> {
        let root = root()?;
        let program = std::env::current_exe()?;
        let programs = if options.prebuilt { program.parent().context("no directory")?.to_owned() } else { build(&root, &program).await? };
        for name in ["shop-web", "catalog", "shop-check"] {
            ensure!(programs.join(name).exists(), "`{}` is not built: run `cargo build --release --workspace`", programs.join(name).display());
        }
        let dir = std::path::absolute(&options.dir)?;
        clear::port(options.port)?;
        clear::dir(&dir).await?;
        for port in clear::service_ports(options.port) {
            clear::port(port)?;
        }
        copy(&root.join("examples/shop"), &dir.join("shop"), &|text| at_ports(text, options))?;
        fs::create_dir_all(dir.join("shop-tokens"))?;
        fs::create_dir_all(dir.join("bin"))?;
        for name in ["shop-web", "catalog", "shop-check"] {
            fs::copy(programs.join(name), dir.join("bin").join(name))?;
        }
        Ok(Self {
            url: format!("http://127.0.0.1:{}", options.port),
            port: options.port,
            fast: options.fast,
            programs: dir.join("bin"),
            dir,
            program,
            server: None,
            http: reqwest::Client::new(),
            chapter: 0,
        })
    }

    /// The first that runs: from here on there is something to strike.
    pub async fn open(&mut self) -> Result<()> {
        self.chapter("A server, a ledger, and the first person");
        self.say("$ greenroom serve --data demo-data");
        let token = self.serve(&[]).await?.context("the server printed no first-start token")?;
        self.type_as("ada", &["login", "--name", "ada", "--first-token", &token]).await?;
        self.say("   it works once:");
        let again = self.expect("eve", &["login", "--name", "eve", "--first-token", &token], 8).await?;
        ensure!(again.text.contains("it was used"), "a first token that was used is refused, and it is said why");
        Ok(())
    }

    /// Starts the server; gives the first-start token if it printed one.
    pub async fn serve(&mut self, env: &[(&str, &str)]) -> Result<Option<String>> {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.dir.join("server.log"))?;
        let path = format!("{}:{}", self.programs.display(), std::env::var("PATH").unwrap_or_default());
        let mut child = Command::new(&self.program)
            .args(["serve", "--data"])
            .arg(self.dir.join("data"))
            .args(["--listen", &format!("127.0.0.1:{}", self.port)])
            .current_dir(&self.dir)
            .env("PATH", path)
            .env("SHOP_HOME", &self.dir)
            .env("SHOP_CUSTOMERS", self.dir.join("shop/data/customers.csv"))
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("no output")?).lines();
        let mut token = None;
        let mut listens = false;
        while let Some(line) = tokio::time::timeout(PATIENCE, lines.next_line()).await?? {
            if let Some(at) = line.find("gr_first_") {
                token = line.get(at..).map(str::to_owned);
                break;
            }
            listens |= line.contains("listens on");
            if listens && self.server_known() {
                break;
            }
        }
        if !listens && token.is_none() {
            bail!("the server did not start: {}", last_words(&self.dir.join("server.log")));
        }
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        self.server = Some(child);
        Ok(token)
    }

    /// Whether somebody has joined already, so that no token is printed.
    fn server_known(&self) -> bool {
        self.dir.join("people/ada").exists()
    }

    /// `kill -9`.
    pub async fn kill_server(&mut self) -> Result<()> {
        if let Some(mut child) = self.server.take() {
            child.kill().await?;
        }
        Ok(())
    }

    /// Waits until the server has ended by itself, as at a failpoint.
    pub async fn server_dies(&mut self) -> Result<()> {
        let Some(mut child) = self.server.take() else { bail!("no server runs") };
        tokio::time::timeout(PATIENCE, child.wait()).await.context("the server did not end at its failpoint")??;
        Ok(())
    }

    pub fn chapter(&mut self, title: &str) {
        self.chapter += 1;
        output::raw(format!("\n━━ {} · {title}\n", self.chapter).as_bytes());
    }

    pub fn say(&self, text: &str) {
        output::raw(format!("{text}\n").as_bytes());
    }

    /// Types a command as `person`, shows it and what it printed, and expects exit code 0.
    pub async fn type_as(&self, person: &str, args: &[&str]) -> Result<Output> {
        self.expect(person, args, 0).await
    }

    /// Types a command and expects an exit code.
    pub async fn expect(&self, person: &str, args: &[&str], code: i32) -> Result<Output> {
        let shown: Vec<String> = args.iter().map(|a| if a.contains([' ', '>', '*', '#']) { format!("'{a}'") } else { shorten(a) }).collect();
        self.say(&format!("{person} $ greenroom {}", shown.join(" ")));
        let output = self.quietly(person, args).await?;
        let lines: Vec<&str> = output.text.lines().collect();
        for (i, line) in lines.iter().enumerate() {
            // a long answer is told by how it begins and ends
            match (lines.len() > HEAD + TAIL, i) {
                (true, HEAD) => self.say(&format!("   … {} more lines", lines.len() - HEAD - TAIL)),
                (true, _) if i > HEAD && i < lines.len() - TAIL => {}
                _ => self.say(format!("   {line}").trim_end()),
            }
        }
        ensure!(output.code == code, "`greenroom {}` ended with {}, not {code}", shown.join(" "), output.code);
        if !self.fast {
            tokio::time::sleep(Duration::from_millis(700)).await;
        }
        Ok(output)
    }

    /// A command without a word.
    pub async fn quietly(&self, person: &str, args: &[&str]) -> Result<Output> {
        let mut child = Command::new(&self.program)
            .args(args)
            .current_dir(&self.dir)
            .env("GREENROOM_CONFIG_DIR", self.dir.join("people").join(person))
            .env("GREENROOM_SERVER", &self.url)
            .env("GREENROOM_PASSWORD", PASSWORD)
            .env("NO_COLOR", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            let _ = stdin.write_all(format!("{PASSWORD}\n").as_bytes()).await;
        }
        let output = tokio::time::timeout(PATIENCE * 2, child.wait_with_output()).await.with_context(|| format!("`greenroom {}` did not end", args.join(" ")))??;
        let answer = String::from_utf8_lossy(&output.stdout).into_owned();
        let text = format!("{}{answer}", String::from_utf8_lossy(&output.stderr));
        Ok(Output { code: output.status.code().unwrap_or(-1), text, answer })
    }

    /// An answer of the API as eva sees it.
    pub async fn view(&self, args: &[&str]) -> Result<Value> {
        let mut all = args.to_vec();
        all.push("--json");
        let output = self.quietly("eva", &all).await?;
        ensure!(output.code == 0, "`greenroom {}`: {}", args.join(" "), output.text);
        output.json()
    }

    /// Waits, with a word, until `holds` gives a value.
    pub async fn until<T>(&self, what: &str, mut holds: impl AsyncFnMut(&Self) -> Result<Option<T>>) -> Result<T> {
        let started = Instant::now();
        loop {
            if let Some(found) = holds(self).await? {
                self.say(&format!("   … {what} ({:.1} s)", started.elapsed().as_secs_f32()));
                return Ok(found);
            }
            if started.elapsed() >= PATIENCE {
                for args in [&["status"][..], &["log"]] {
                    self.say(&self.quietly("eva", args).await?.text);
                }
                bail!("waited {} s in vain: {what}", PATIENCE.as_secs());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Version and pending state of a service in an environment.
    pub async fn cell(&self, environment: &str, service: &str) -> Result<(Option<String>, Option<Value>, bool, Option<String>)> {
        let board = self.view(&["status", "--env", environment]).await?;
        let cell = board["services"].as_array().into_iter().flatten().find(|r| r["service"] == service).map(|r| r["cells"][0].clone()).unwrap_or_default();
        let text = |v: &Value| v.as_str().map(str::to_owned);
        Ok((text(&cell["version"]), Some(cell["pending"].clone()).filter(|p| !p.is_null()), cell["verified"] == true, text(&cell["exposure"])))
    }

    /// Waits until `service` runs `version`, verified, in `environment`.
    pub async fn until_live(&self, environment: &str, service: &str, version: &str) -> Result<()> {
        self.until(&format!("{service} {version} is live in {environment}"), async |stage: &Self| {
            let (runs, pending, verified, _) = stage.cell(environment, service).await?;
            Ok((runs.as_deref() == Some(version) && verified && pending.is_none()).then_some(()))
        })
        .await
    }

    pub fn endpoint(&self, environment: &str, service: &str) -> String {
        let row = ENVIRONMENTS.iter().position(|e| *e == environment).map_or(1, |i| i + 1);
        let column = if service == "catalog" { 1 } else { 2 };
        let offset = u16::try_from(row * 10 + column).unwrap_or(0);
        format!("http://127.0.0.1:{}", self.port + offset)
    }

    /// Process ids of what serves in `environment`, by service, as the driver wrote them down and as they live.
    pub fn processes(&self, environment: &str) -> Result<BTreeMap<String, Vec<i64>>> {
        let mut all = BTreeMap::new();
        for service in ["catalog", "shop-web"] {
            let dir = self.dir.join("data/run").join(environment).join("services").join(service);
            let mut pids = Vec::new();
            for record in fs::read_dir(dir)?.flatten().filter(|f| f.path().extension().is_some_and(|e| e == "json")) {
                let record: Value = serde_json::from_str(&fs::read_to_string(record.path())?).unwrap_or_default();
                pids.extend(record["process"]["pid"].as_i64().filter(|pid| clear::alive(*pid)));
            }
            pids.sort_unstable();
            all.insert(service.to_owned(), pids);
        }
        Ok(all)
    }

    pub fn token(&self, environment: &str) -> Result<String> {
        Ok(fs::read_to_string(self.dir.join("shop-tokens").join(environment))?.trim().to_owned())
    }

    pub fn farewell(&self) {
        self.say(&format!(
            "\nEverything runs on; Ctrl-C stops it.\n  control plane   {}   (openapi.json, metrics)\n  people          {}, password {PASSWORD}",
            self.url,
            PEOPLE.map(|(n, _)| n).join(", ")
        ));
        for environment in ENVIRONMENTS {
            self.say(&format!("  {environment:<15} {}/   catalog {}/products", self.endpoint(environment, "shop-web"), self.endpoint(environment, "catalog")));
        }
        // as it was started: nobody has installed it yet
        let program = std::env::current_dir().ok().and_then(|here| self.program.strip_prefix(here).ok()).unwrap_or(&self.program).display();
        self.say(&format!("\n  {program} --server {} login --name eva\n  {program} status          (the server is remembered)", self.url));
    }

    /// Stops all that the demo started, and waits until it is gone: server, services and proxies.
    pub async fn strike(&mut self) -> Result<()> {
        if let Some(mut server) = self.server.take() {
            // what it has begun it may finish
            if let Some(pid) = server.id() {
                clear::end(pid);
            }
            if tokio::time::timeout(clear::GRACE, server.wait()).await.is_err() {
                server.kill().await?;
            }
        }
        clear::stop_all(&self.dir).await
    }
}

/// What the server said before it ended.
fn last_words(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let said = text.lines().rev().find_map(|line| line.strip_prefix("error: "));
    said.map_or_else(|| format!("see {}", log.display()), |said| format!("{said} (see {})", log.display()))
}

/// The checkout that holds the example shop.
fn root() -> Result<PathBuf> {
    let here = std::env::current_dir()?;
    let found = here.ancestors().find(|dir| dir.join("examples/shop/shop-web.yaml").exists());
    found.map(Path::to_owned).context("the example shop is not here: run the demo inside a checkout of Greenroom")
}

async fn build(root: &Path, program: &Path) -> Result<PathBuf> {
    output::raw("building the example shop …\n".as_bytes());
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    // together with the server, so that nothing that is built already is built with other features
    let status = Command::new(cargo).args(["build", "--release", "--quiet", "-p", "greenroom", "-p", "shop", "--bins"]).current_dir(root).kill_on_drop(true).status().await?;
    ensure!(status.success(), "the example shop could not be built");
    let beside = program.parent().context("no directory")?;
    Ok(beside.to_owned())
}

/// Manifests as they are, on the demo's ports, and with shorter times if wanted.
fn at_ports(text: &str, options: &Demo) -> String {
    let mut text = text.to_owned();
    for row in 1..=5_u16 {
        for column in 1..=2_u16 {
            let offset = row * 10 + column;
            text = text.replace(&format!("127.0.0.1:{}", 7800 + offset), &format!("127.0.0.1:{}", options.port + offset));
        }
    }
    if options.fast {
        text = text.replace("soak: 2s", "soak: 200ms").replace("min_stable: 500ms", "min_stable: 200ms");
    }
    text.replace("file:../../../../../target/release/", "file:../../../../bin/")
}

fn copy(from: &Path, to: &Path, change: &dyn Fn(&str) -> String) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            if entry.file_name() != "src" && entry.file_name() != "tests" {
                copy(&entry.path(), &target, change)?;
            }
        } else if entry.path().extension().is_some_and(|e| e == "yaml") {
            fs::write(target, change(&fs::read_to_string(entry.path())?))?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

fn shorten(word: &str) -> String {
    if word.starts_with("gr_") && word.len() > 20 { format!("{}…", word.chars().take(14).collect::<String>()) } else { word.to_owned() }
}
