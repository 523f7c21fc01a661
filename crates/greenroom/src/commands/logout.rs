//! Forgetting the sign-in.

use greenroom_api::client::call;

use crate::context::Context;
use crate::credentials::Credentials;
use crate::error::Failure;
use crate::output::{self, Paint};

pub async fn run(context: &Context) -> Result<(), Failure> {
    let mut credentials = Credentials::load()?;
    let Some(login) = credentials.servers.remove(&context.server) else {
        output::note(&format!("you are not signed in to {}", context.server));
        return Ok(());
    };
    Credentials::ready()?;
    // a server that is away must not keep anyone from forgetting
    let revoked = async {
        let me = context.client.send(&call::whoami()).await.ok()?;
        context.client.send(&call::revoke_token(me.token?.id)).await.ok()
    };
    if revoked.await.is_none() {
        output::note("the token is forgotten here, but the server did not revoke it");
    }
    credentials.save()?;
    let mut page = context.page();
    page.line(Paint::Plain, format!("signed out of {} ({})", context.server, login.name));
    page.print();
    Ok(())
}
