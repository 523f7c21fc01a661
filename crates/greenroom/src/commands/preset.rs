//! How duties are shared.

use greenroom_api::client::call;
use greenroom_api::requests::{self, SetPreset};

use super::word;
use crate::context::Context;
use crate::error::Failure;

#[derive(Debug, clap::Args)]
pub struct Preset {
    /// solo: one person, separation of duties off. team: roles, nobody decides alone on what they alone wrote
    #[arg(value_parser = word::<requests::Preset>)]
    preset: requests::Preset,
}

impl Preset {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let said = match self.preset {
            requests::Preset::Solo => "solo: separation of duties is off, and every decision says so",
            requests::Preset::Team => "team: nobody decides alone on what they alone wrote",
        };
        context.done(call::set_preset(&SetPreset { preset: self.preset }), said).await
    }
}
