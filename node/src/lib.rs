//! The picker. Rooms in the order in which a request meets them; ARCHITECTURE.md draws the map.

pub mod replica;

pub mod command_line;
pub mod config;

pub mod server;

pub mod http2;

pub mod extproc;

pub mod openai;

pub mod scheduling;

pub mod plugins;

pub mod prefix;

pub mod endpoints;

pub mod discovery;

pub mod scrape;

pub mod cluster;

pub mod supervision;

pub mod document;

pub mod notation;

pub mod clock;

pub mod version;

pub mod budget;

pub mod health;

pub mod logging;

pub mod metrics;

pub mod watchdog;

pub mod bench;
