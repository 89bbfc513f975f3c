//! The tests of the whole, in one binary.

mod behaviour;
mod common;
mod example;
mod web_config;
