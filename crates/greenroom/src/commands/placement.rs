//! What runs already, taken over.

use greenroom_api::client::call;
use greenroom_api::requests;
use greenroom_domain::id::{BuildLabel, Digest, Name};

use crate::context::Context;
use crate::error::Failure;

#[derive(Debug, clap::Subcommand)]
pub enum Placement {
    /// Take what runs on a target as what should run there, without deploying
    Adopt {
        /// What runs, as SERVICE@VERSION
        build: BuildLabel,
        /// Environment
        #[arg(long, value_name = "ENV")]
        env: Name,
        /// Target in that environment
        #[arg(long)]
        target: Name,
        /// Digest of what runs, when the build is not registered
        #[arg(long)]
        digest: Option<Digest>,
    },
}

impl Placement {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let Self::Adopt { build, env, target, digest } = self;
        let done = format!("{build} on {env}/{target} is taken over");
        context.done(call::adopt(&requests::Adopt { environment: env, target, service: build.service, version: build.version, digest }), done).await
    }
}
