//! The grammar: `greenroom NOUN VERB [NAME]`, with the verbs of every day on top. One file a noun or verb.

mod apply;
mod attribute;
mod build;
mod check;
mod completion;
mod dark;
mod decide;
pub mod demo;
mod deploy;
mod deployment;
mod environment;
mod erase;
mod evidence;
mod explain;
mod feature;
mod git;
mod hold;
mod import;
mod ledger;
mod log;
mod login;
mod logout;
mod person;
mod placement;
mod preset;
mod proxy;
mod relay;
mod release;
mod rollback;
mod rollout;
mod schema;
mod serve;
mod service;
mod status;
mod token;
mod whoami;

use std::str::FromStr;

use greenroom_domain::id::DeploymentId;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::context::{Context, Global};
use crate::error::{Exit, Failure};

/// Deploy builds and release features, apart from each other.
///
/// Deployment moves a build from one environment to the next; users see nothing. Release makes features available to
/// users. A release cannot start before the builds it needs run everywhere, and no rollback takes them away from under it.
#[derive(Debug, clap::Parser)]
#[command(name = "greenroom", version, max_term_width = 100, arg_required_else_help = true, after_help = EXITS)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

const EXITS: &str = "Exit codes:
  0 done · 1 failed · 2 usage · 3 refused, with reasons · 4 not found · 5 conflict
  6 still waiting · 7 outcome unknown, repeat with --key · 8 not signed in or not allowed
  9 unreachable, or cannot do it now · 10 internal";

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Run the control plane
    Serve(serve::Serve),
    /// Serve what a control plane has published, near those who ask
    Relay(Box<relay::Relay>),
    /// Watch a build and a release go all the way, in a minute and a directory of its own
    Demo(demo::Demo),
    /// Sign in, and remember it
    Login(login::Login),
    /// Forget the sign-in
    Logout,
    /// Say who you are to the server
    Whoami,
    /// Apply manifests: environments, services, policies, features, cohorts, attributes
    Apply(apply::Apply),
    /// Take over features and cohorts from another product
    #[command(subcommand)]
    Import(import::Import),
    /// Print the JSON Schema of manifests, for editors
    Schema,
    /// Deploy builds to an environment
    Deploy(deploy::Deploy),
    /// Go back to an earlier build of a service
    Rollback(rollback::Rollback),
    /// Show what runs where, what is on its way, and why it waits
    Status(status::Status),
    /// Show what is deployed and not released: since when, held by whom, at what cost
    Dark,
    /// Say why a user gets what they get, now or then
    Explain(explain::Explain),
    /// Show what happened, and who did it
    Log(log::Log),
    /// Record a go or no-go
    #[command(subcommand)]
    Decide(decide::Decide),
    /// Register builds and look at them
    #[command(subcommand)]
    Build(build::Build),
    /// Look at deployments, cancel them
    #[command(subcommand)]
    Deployment(deployment::Deployment),
    /// Give up on a rollout whose outcome nobody knows
    #[command(subcommand)]
    Rollout(rollout::Rollout),
    /// Take over what runs already
    #[command(subcommand)]
    Placement(placement::Placement),
    /// Record checks that ran elsewhere and look at results
    #[command(subcommand)]
    Check(check::Check),
    /// Fetch what a check left as evidence
    #[command(subcommand)]
    Evidence(evidence::Evidence),
    /// Look at environments
    #[command(subcommand)]
    Environment(environment::Environment),
    /// Look at services
    #[command(subcommand)]
    Service(service::Service),
    /// Look at features; take one from everyone at once
    #[command(subcommand)]
    Feature(feature::Feature),
    /// Look at what callers say of themselves, as far as it is declared
    #[command(subcommand)]
    Attribute(attribute::Attribute),
    /// Plan releases, start them, take them back
    #[command(subcommand)]
    Release(release::Release),
    /// Stop automation or people
    #[command(subcommand)]
    Hold(hold::Hold),
    /// Manage people and their roles
    #[command(subcommand)]
    Person(person::Person),
    /// Manage tokens of programs
    #[command(subcommand)]
    Token(token::Token),
    /// Choose how duties are shared
    Preset(preset::Preset),
    /// Verify the ledger, copy it
    #[command(subcommand)]
    Ledger(ledger::Ledger),
    /// Erase sealed texts; the ledger still verifies
    Erase(erase::Erase),
    /// Print a completion script
    Completion(completion::Completion),
    #[command(hide = true)]
    Proxy(proxy::Proxy),
}

impl Command {
    /// What cannot be shown in advance: by its name, if it is that. All else only looks, or asks through [`Context::order`]
    /// or with a plan of its own.
    const fn without_preview(&self) -> Option<&'static str> {
        match self {
            Self::Serve(_) => Some("serve"),
            Self::Relay(_) => Some("relay"),
            Self::Demo(_) => Some("demo"),
            Self::Proxy(_) => Some("proxy"),
            Self::Login(_) => Some("login"),
            Self::Logout => Some("logout"),
            Self::Ledger(ledger::Ledger::Backup(_)) => Some("ledger backup"),
            Self::Evidence(evidence::Evidence::Get { output: Some(_), .. }) => Some("evidence get --output"),
            Self::Whoami
            | Self::Apply(_)
            | Self::Import(_)
            | Self::Schema
            | Self::Deploy(_)
            | Self::Rollback(_)
            | Self::Status(_)
            | Self::Dark
            | Self::Explain(_)
            | Self::Log(_)
            | Self::Decide(_)
            | Self::Build(_)
            | Self::Deployment(_)
            | Self::Rollout(_)
            | Self::Placement(_)
            | Self::Check(_)
            | Self::Evidence(evidence::Evidence::Get { output: None, .. })
            | Self::Environment(_)
            | Self::Service(_)
            | Self::Feature(_)
            | Self::Attribute(_)
            | Self::Release(_)
            | Self::Hold(_)
            | Self::Person(_)
            | Self::Token(_)
            | Self::Preset(_)
            | Self::Ledger(ledger::Ledger::Verify)
            | Self::Erase(_)
            | Self::Completion(_) => None,
        }
    }
}

pub fn run(cli: Cli) -> Result<(), Failure> {
    let Cli { global, command } = cli;
    if let Some(name) = command.without_preview().filter(|_| global.dry_run) {
        return Err(Failure::usage(format!("`{name}` has no preview: leave --dry-run out")));
    }
    match command {
        Command::Serve(serve) => return serve.run(),
        Command::Demo(demo) => return demo.run(&global),
        Command::Relay(relay) => return relay.run(&global),
        Command::Proxy(proxy) => return proxy.run(),
        Command::Ledger(ledger::Ledger::Backup(backup)) => return backup.run(&global),
        Command::Schema => return schema::run(),
        Command::Completion(completion) => return completion.run(),
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| Failure::new(Exit::Internal, format!("cannot start: {e}")))?;
    let result = runtime.block_on(async { ask(command, &Context::new(global)?).await });
    runtime.shutdown_background();
    result
}

async fn ask(command: Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::Login(login) => login.run(context).await,
        Command::Logout => logout::run(context).await,
        Command::Whoami => whoami::run(context).await,
        Command::Apply(apply) => apply.run(context).await,
        Command::Import(import) => import.run(context).await,
        Command::Deploy(deploy) => deploy.run(context).await,
        Command::Rollback(rollback) => rollback.run(context).await,
        Command::Status(status) => status.run(context).await,
        Command::Dark => dark::run(context).await,
        Command::Explain(explain) => explain.run(context).await,
        Command::Log(log) => log.run(context).await,
        Command::Decide(decide) => decide.run(context).await,
        Command::Build(build) => build.run(context).await,
        Command::Deployment(deployment) => deployment.run(context).await,
        Command::Rollout(rollout) => rollout.run(context).await,
        Command::Placement(placement) => placement.run(context).await,
        Command::Check(check) => check.run(context).await,
        Command::Evidence(evidence) => evidence.run(context).await,
        Command::Environment(environment) => environment.run(context).await,
        Command::Service(service) => service.run(context).await,
        Command::Feature(feature) => feature.run(context).await,
        Command::Attribute(attribute) => attribute.run(context).await,
        Command::Release(release) => release.run(context).await,
        Command::Hold(hold) => hold.run(context).await,
        Command::Person(person) => person.run(context).await,
        Command::Token(token) => token.run(context).await,
        Command::Preset(preset) => preset.run(context).await,
        Command::Ledger(ledger) => ledger.run(context).await,
        Command::Erase(erase) => erase.run(context).await,
        // these ask nobody
        Command::Serve(_) | Command::Demo(_) | Command::Relay(_) | Command::Proxy(_) | Command::Schema | Command::Completion(_) => Ok(()),
    }
}

/// One of the words that the API knows for `T`.
fn word<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(Value::String(text.to_owned())).map_err(|e| e.to_string())
}

/// `#142` or `142`.
fn number(text: &str) -> Result<u64, String> {
    text.trim_start_matches('#').parse().map_err(|_| format!("`{text}` is not a number like 142 or #142"))
}

/// A deployment as people type it: `#142`, `142`, or its id.
fn deployment_id(text: &str) -> Result<String, String> {
    let bare = text.trim_start_matches('#');
    if bare.parse::<u64>().is_ok() || bare.parse::<DeploymentId>().is_ok() { Ok(bare.to_owned()) } else { Err("write a number like 142 or #142, or an id like dep_…".to_owned()) }
}

/// How many of something; none is a number too.
fn count<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| "write a whole number, as 30".to_owned())
}

/// How many of something, one at least; or which, counted from 1.
fn some<T: FromStr + Default + PartialEq>(text: &str) -> Result<T, String> {
    text.parse().ok().filter(|n| *n != T::default()).ok_or_else(|| "write a whole number from 1 on".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_grammar_is_sound() {
        super::Cli::command().debug_assert();
    }

    /// An argument with the id of a global one would be read as that, and panic.
    #[test]
    fn no_argument_takes_the_place_of_a_global_one() {
        fn ids(command: &clap::Command, found: &mut Vec<String>) {
            found.extend(command.get_arguments().filter(|a| !a.is_global_set()).map(|a| a.get_id().to_string()));
            command.get_subcommands().for_each(|c| ids(c, found));
        }
        let mut found = Vec::new();
        ids(&super::Cli::command(), &mut found);
        assert!(found.len() > 50 && found.iter().all(|id| !id.starts_with("global-")), "{found:?}");
        assert!(super::Cli::command().get_arguments().filter(|a| a.is_global_set()).all(|a| a.get_id().as_str().starts_with("global-")));
    }
}
