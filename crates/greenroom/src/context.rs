//! What every command shares: the server it asks, who asks, and how answers are shown.

use std::time::Duration;

use greenroom_api::client::{Call, Client};
use greenroom_api::views::Page as List;
use greenroom_domain::time::Span;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::credentials::Credentials;
use crate::error::{Exit, Failure};
use crate::output::{self, Page, Paint, When};
use crate::show;

pub const DEFAULT_SERVER: &str = "http://127.0.0.1:7800";

#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Server to ask [env: GREENROOM_SERVER] [default: the one last signed in to, else http://127.0.0.1:7800]
    #[arg(id = "global-server", long = "server", global = true, value_name = "URL")]
    pub server: Option<String>,
    /// Token to show instead of the one stored at sign-in [env: GREENROOM_TOKEN]
    #[arg(id = "global-token", long = "token", global = true, value_name = "TOKEN")]
    pub token: Option<String>,
    /// Print the API's view as JSON
    #[arg(id = "global-json", long = "json", global = true)]
    pub json: bool,
    /// Wait until what was asked for is done
    #[arg(id = "global-wait", long = "wait", global = true)]
    pub wait: bool,
    /// Longest time to wait: afterwards the exit code is 6
    #[arg(id = "global-timeout", long = "timeout", global = true, value_name = "TIME", default_value = "10m")]
    pub timeout: Span,
    /// Do not ask for confirmation
    #[arg(id = "global-yes", long = "yes", short = 'y', global = true)]
    pub yes: bool,
    /// Why: kept in the ledger with what is done
    #[arg(id = "global-reason", long = "reason", global = true, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Show what would happen; change nothing
    #[arg(id = "global-dry_run", long = "dry-run", global = true)]
    pub dry_run: bool,
    /// When to use colours
    #[arg(id = "global-color", long = "color", global = true, value_name = "WHEN", default_value = "auto")]
    pub color: When,
    /// Repeat a command whose outcome is unknown (exit code 7) with the key it named
    #[arg(id = "global-key", long = "key", global = true, value_name = "KEY")]
    pub key: Option<String>,
}

/// One command's surroundings.
pub struct Context {
    pub global: Global,
    pub client: Client,
    pub server: String,
}

impl Context {
    pub fn new(mut global: Global) -> Result<Self, Failure> {
        // read here and not by the grammar, which would show them as required in the usage of a mistake
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        global.server = global.server.or_else(|| variable("GREENROOM_SERVER"));
        global.token = global.token.or_else(|| variable("GREENROOM_TOKEN"));
        let credentials = if global.server.is_some() && global.token.is_some() { Credentials::default() } else { Credentials::load()? };
        let server = global.server.clone().or_else(|| credentials.server.clone()).unwrap_or_else(|| DEFAULT_SERVER.to_owned());
        let server = server.trim_end_matches('/').to_owned();
        if !server.starts_with("http://") && !server.starts_with("https://") {
            return Err(Failure::usage(format!("`{server}` is no server's address")).hint("write it as https://HOST or http://HOST:PORT"));
        }
        let token = global.token.clone().or_else(|| credentials.servers.get(&server).map(|l| l.token.clone()));
        let client = Client::new(&server, token, |time| Box::pin(tokio::time::sleep(time)))?.with_key(global.key.clone());
        Ok(Self { global, client, server })
    }

    pub fn page(&self) -> Page {
        Page::new(self.global.color)
    }

    pub fn timeout(&self) -> Duration {
        self.global.timeout.as_std()
    }

    /// Shows one answer: as it came with `--json`, else as `human` puts it.
    pub fn present<T: Serialize>(&self, answer: &T, human: impl FnOnce(&mut Page, &T)) {
        if self.global.json {
            return output::json(answer);
        }
        let mut page = self.page();
        human(&mut page, answer);
        page.print();
    }

    /// Asks and shows.
    pub async fn show<T: DeserializeOwned>(&self, call: Call<T>, human: impl FnOnce(&mut Page, &T)) -> Result<(), Failure> {
        let raw: Value = self.client.send(&call.answering()).await?;
        if self.global.json {
            output::json(&raw);
            return Ok(());
        }
        let mut page = self.page();
        human(&mut page, &self.read(raw)?);
        page.print();
        Ok(())
    }

    fn read<T: DeserializeOwned>(&self, raw: Value) -> Result<T, Failure> {
        serde_json::from_value(raw)
            .map_err(|error| Failure::new(Exit::Internal, format!("{} gave an answer that cannot be read: {error}", self.server)).hint("is the server of this version?"))
    }

    /// Asks for a whole list, or its first `limit`, and shows it.
    pub async fn list<T: DeserializeOwned>(&self, call: Call<List<T>>, limit: Option<usize>, human: impl FnOnce(&mut Page, &[T])) -> Result<(), Failure> {
        let call: Call<List<Value>> = call.answering();
        let items = match limit {
            Some(limit) if limit <= 500 => self.client.send(&call.query("limit", limit.max(1))).await?.items,
            Some(limit) => self.client.all(call).await?.into_iter().take(limit).collect(),
            None => self.client.all(call).await?,
        };
        if self.global.json {
            output::json(&json!({ "items": items }));
            return Ok(());
        }
        let items: Vec<T> = self.read(Value::Array(items))?;
        let mut page = self.page();
        human(&mut page, &items);
        page.print();
        Ok(())
    }

    /// Commands. With `--dry-run` shows what would happen, and there is no answer.
    pub async fn order<T: DeserializeOwned>(&self, call: Call<T>) -> Result<Option<T>, Failure> {
        if !self.global.dry_run {
            return Ok(Some(self.client.send(&call).await?));
        }
        let preview = self.client.preview(call).await?;
        self.present(&preview, |page, preview| {
            if preview.would.is_empty() {
                page.line(Paint::Plain, "nothing would change");
                return;
            }
            page.line(Paint::Plain, "this would stand in the log:");
            for event in &preview.would {
                page.pieces(&[(Paint::Accent, "  + "), (Paint::Plain, &event.summary)]);
            }
            let waits = show::waits(preview);
            if !waits.is_empty() {
                page.line(Paint::Plain, "and then it would wait, until nothing of this holds any more:");
                page.reasons(2, &waits);
            }
        });
        Ok(None)
    }

    /// Commands and shows the answer.
    pub async fn act<T: Serialize + DeserializeOwned>(&self, call: Call<T>, human: impl FnOnce(&mut Page, &T)) -> Result<(), Failure> {
        if let Some(answer) = self.order(call).await? {
            self.present(&answer, human);
        }
        Ok(())
    }

    /// Commands and says in one line that it is done.
    pub async fn done<T: Serialize + DeserializeOwned>(&self, call: Call<T>, what: impl AsRef<str>) -> Result<(), Failure> {
        self.act(call, |page, _| page.line(Paint::Plain, what)).await
    }
}
