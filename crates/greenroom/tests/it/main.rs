//! The binary from outside.

mod client;
mod dry_run;
mod exits;
#[path = "../../../relay/tests/it/front.rs"]
mod front;
mod help;
mod house;
mod kill_matrix;
mod program;
mod relay;
mod story;
mod tls;
mod words;
