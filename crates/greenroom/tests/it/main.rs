//! The binary from outside.

mod client;
mod exits;
mod help;
mod kill_matrix;
mod program;
mod relay;
mod story;
mod words;
