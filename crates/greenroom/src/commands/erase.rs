//! Erasing what must not be kept.

use greenroom_api::client::call;
use greenroom_api::requests;
use greenroom_domain::id::Digest;

use super::person;
use crate::context::Context;
use crate::error::Failure;
use crate::output::Paint;
use crate::prompt;
use crate::show::many;

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
pub struct Erase {
    /// Erase the name of a person who has left
    #[arg(long, value_name = "PERSON")]
    person: Option<String>,
    /// Erase one sealed text, named by its hash as the ledger holds it
    #[arg(long = "text", value_name = "DIGEST")]
    sealed: Vec<Digest>,
}

impl Erase {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let person = match &self.person {
            Some(who) => Some(person::find(context, who).await?),
            None => None,
        };
        if !context.global.dry_run {
            prompt::confirm("what is erased cannot be brought back", "what is erased cannot be brought back; erase?", &context.global)?;
        }
        context
            .act(call::erase(&requests::Erase { person, sealed: self.sealed }), |page, erased| {
                page.line(Paint::Plain, format!("{} erased; the ledger still verifies", many(erased.texts, "text")));
            })
            .await
    }
}
