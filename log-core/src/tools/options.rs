//! What every command can be told, and how what is told is read.

use clap::Args;

/// What every command can be told.
#[derive(Args, Clone, Debug)]
pub(super) struct Options {
    /// A node of the log [default: 127.0.0.1:9092, or the log this program runs].
    #[arg(long, global = true, env = "LOG_CORE_SERVER", value_name = "HOST:PORT", value_parser = server)]
    pub(super) server: Option<String>,
    /// Answer in JSON.
    #[arg(long, global = true)]
    pub(super) json: bool,
}

fn server(text: &str) -> Result<String, String> {
    let port = text
        .rsplit_once(':')
        .filter(|(host, _)| !host.is_empty())
        .and_then(|(_, port)| port.parse::<u16>().ok());
    match port {
        Some(_) => Ok(text.to_owned()),
        None => Err("a host and a port are needed, such as 127.0.0.1:9092".to_owned()),
    }
}

/// `name=value`, as settings are given.
pub(super) fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("a setting is needed as name=value, such as retention.ms=86400000".to_owned()),
    }
}
