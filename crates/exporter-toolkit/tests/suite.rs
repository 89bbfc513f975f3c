//! The tests of the whole, in one binary.

mod common;
mod example;
mod web_config;
