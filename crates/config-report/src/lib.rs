#![doc = include_str!("../README.md")]

mod document;
mod mapping;
mod nearest;
mod report;
mod scalar;
mod tree;
mod value;

pub use document::Document;
pub use mapping::{Layout, Mapping, MappingEntry};
pub use report::{ConfigError, ConfigErrors, ConfigReport, ConfigWarning, Location, Reported};
pub use report::{collect_all, expected};
pub use value::{YamlValue, excerpt, has_placeholder, looks_secret, one_of};
