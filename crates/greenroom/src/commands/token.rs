//! Tokens of programs.

use greenroom_api::client::call;
use greenroom_api::requests::CreateToken;
use greenroom_api::views;
use greenroom_domain::event::TokenKind;
use greenroom_domain::id::{Name, TokenId};
use greenroom_domain::time::Span;

use super::{person, word};
use crate::context::Context;
use crate::error::{Exit, Failure};
use crate::output::{Paint, cell, instant, now};
use crate::show::{self, list};

#[derive(Debug, clap::Subcommand)]
pub enum Token {
    /// Create a token; its secret is shown once
    Create {
        /// What it is for: sdk (a server that evaluates), web (a page or app that may only ask), relay, ci, pat or agent
        #[arg(value_parser = word::<TokenKind>)]
        kind: TokenKind,
        /// What people call it
        #[arg(long, default_value = "")]
        title: String,
        /// For sdk, web and relay: the one environment it reads
        #[arg(long, value_name = "ENV")]
        env: Option<Name>,
        /// For pat: whose it is [default: yours]
        #[arg(long, value_name = "PERSON")]
        person: Option<String>,
        /// It works for this long [default: 90d]
        #[arg(long, value_name = "TIME")]
        valid_for: Option<Span>,
    },
    /// List tokens, without their secrets
    List,
    /// Revoke a token
    Revoke {
        /// Its id
        #[arg(value_parser = id)]
        token: TokenId,
    },
}

fn id(text: &str) -> Result<TokenId, String> {
    text.parse().map_err(|_| "that is not the whole id of a token: copy it from `greenroom token list`".to_owned())
}

/// The server repeats its answer to a command that it has carried out before, but keeps no secret.
fn shown_before(made: &views::TokenCreated) -> Result<(), Failure> {
    if !made.secret.is_empty() {
        return Ok(());
    }
    let id = made.token.id;
    let failure = Failure::new(Exit::Conflict, format!("this token was created before, as {id}, and its secret is not shown again"));
    Err(failure.hint(format!("if it is lost: greenroom token revoke {id}, and create another one with another --key, or none")))
}

impl Token {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Create { kind, title, env, person, valid_for } => {
                let person = match person {
                    Some(person) => Some(person::find(context, &person).await?),
                    None => None,
                };
                let Some(made) = context.order(call::create_token(&CreateToken { kind, title, person, environment: env, valid_for })).await? else { return Ok(()) };
                shown_before(&made)?;
                context.present(&made, |page, made| {
                    page.line(Paint::Strong, &made.secret);
                    page.line(Paint::Dim, "keep it now: it is not shown again");
                    page.fields(&[
                        ("id", made.token.id.to_string()),
                        ("until", instant(made.token.expires)),
                        ("reads", made.token.environment.as_ref().map(|e| format!("exposure of {e}")).unwrap_or_default()),
                        ("public key", if matches!(kind, TokenKind::Sdk | TokenKind::Relay) { made.public_key.clone() } else { String::new() }),
                    ]);
                });
                Ok(())
            }
            Self::List => {
                context
                    .list(call::tokens(), None, |page, items: &[views::Token]| {
                        let rows = items.iter().map(|t| {
                            vec![
                                cell(t.id),
                                cell(show::word(&t.kind)),
                                cell(&t.title),
                                cell(list(&t.whose)),
                                cell(list(&t.environment)),
                                cell(instant(t.created)),
                                if t.expires > now() { cell(instant(t.expires)) } else { cell(format!("expired {}", instant(t.expires))).paint(Paint::Warn) },
                            ]
                        });
                        page.table(&["TOKEN", "KIND", "TITLE", "OF", "READS", "CREATED", "UNTIL"], rows.collect(), "no tokens");
                    })
                    .await
            }
            Self::Revoke { token } => context.done(call::revoke_token(token), format!("{token} is revoked")).await,
        }
    }
}
