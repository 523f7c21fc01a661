//! The binary from outside.

mod client;
mod dry_run;
mod exits;
mod help;
mod house;
mod kill_matrix;
mod program;
mod relay;
mod story;
mod words;
