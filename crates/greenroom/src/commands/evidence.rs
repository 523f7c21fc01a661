//! What a check left.

use std::path::PathBuf;

use greenroom_api::client::call;
use greenroom_domain::id::Digest;

use crate::context::Context;
use crate::error::{Exit, Failure};
use crate::output;

#[derive(Debug, clap::Subcommand)]
pub enum Evidence {
    /// Fetch one piece of evidence
    Get {
        /// Its digest
        digest: Digest,
        /// File to write it to [default: standard output]
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

impl Evidence {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let Self::Get { digest, output } = self;
        let (_, bytes) = context.client.bytes(&call::evidence(&digest)).await?;
        let have = super::build::digest_of(&bytes);
        if have != digest.to_string() {
            return Err(Failure::new(Exit::Internal, format!("the evidence is not what was recorded: it has the digest {have}")));
        }
        match output {
            Some(path) => std::fs::write(&path, bytes).map_err(|e| Failure::file("write", &path, &e)),
            None => {
                output::raw(&bytes);
                Ok(())
            }
        }
    }
}
