//! The log of what serves: on standard error, in colour on a terminal only.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::Directive;

use crate::error::Failure;

/// Begins it. `format` is that of the configuration: json, text or auto; `filter` as in `info,greenroom_server=debug`.
pub fn start(format: &str, filter: &str) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(filter).map_err(|_| {
        let odd = filter.split(',').find(|directive| directive.parse::<Directive>().is_err()).unwrap_or(filter);
        Failure::usage(format!("log.filter: `{odd}` is no directive")).hint("write a level, or TARGET=LEVEL, with commas between: info,greenroom_server=debug")
    })?;
    let terminal = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(terminal);
    match format {
        "auto" if terminal => builder.init(),
        "json" | "auto" => builder.json().init(),
        "text" => builder.init(),
        other => return Err(Failure::usage(format!("log.format is json, text or auto, not `{other}`"))),
    }
    Ok(())
}
