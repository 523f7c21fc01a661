//! Signing in, and the very first person.

use greenroom_api::client::call;
use greenroom_api::requests;
use greenroom_api::views::SignedIn;

use crate::context::Context;
use crate::credentials::{Credentials, Login as Kept};
use crate::error::Failure;
use crate::output::{Paint, instant};
use crate::prompt;

#[derive(Debug, clap::Args)]
#[command(after_help = "The password comes from GREENROOM_PASSWORD, else from standard input; on a terminal it is asked for.")]
pub struct Login {
    /// Your name
    #[arg(long)]
    name: String,
    /// Be the first person, with the token that the server printed at its first start
    #[arg(long, value_name = "TOKEN")]
    first_token: Option<String>,
}

impl Login {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        Credentials::ready()?;
        let mut credentials = Credentials::load()?;
        let password = if self.first_token.is_some() { prompt::chosen_password("choose a password")? } else { prompt::password("password: ")? };
        let name = self.name;
        let signed: SignedIn = match self.first_token {
            Some(token) => context.client.send(&call::setup(&requests::Setup { token, name: name.clone(), password })).await?,
            None => context.client.send(&call::login(&requests::Login { name: name.clone(), password })).await?,
        };
        credentials.server = Some(context.server.clone());
        credentials.servers.insert(context.server.clone(), Kept { name: name.clone(), token: signed.token.clone() });
        let path = credentials.save()?;
        context.present(&signed, |page, signed| {
            let roles = signed.person.roles.iter().map(|r| r.as_str()).collect::<Vec<_>>().join(", ");
            page.line(Paint::Plain, format!("signed in to {} as {name}{}", context.server, if roles.is_empty() { String::new() } else { format!(" ({roles})") }));
            page.line(Paint::Dim, format!("until {}; kept in {}", instant(signed.expires), path.display()));
        });
        Ok(())
    }
}
