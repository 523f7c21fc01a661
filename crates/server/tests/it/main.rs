//! The server from outside, over HTTP, and its promises about its own shape.

mod coverage;
mod openapi;
