//! The binary from outside.

mod exits;
mod help;
