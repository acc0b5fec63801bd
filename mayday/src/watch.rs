//! Listens at the gateway as a resident's phone does, and prints what it hears.

use std::time::Duration;

use anyhow::{Context, anyhow};
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use service_kit::Failure;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use ws_gateway::stomp::{Command, Frame, Limits, Parser, Version, encode};

use crate::cli::Watch;
use crate::data_folder::DataFolder;
use crate::identity;
use crate::outcome::{not_now, refused};

/// How long the gateway may take to let us in.
const WELCOME_WITHIN: Duration = Duration::from_secs(10);

/// Prints the line's alerts and accepts until the count is reached or the person presses Ctrl-C.
pub(crate) async fn watch(args: &Watch, folder: &DataFolder) -> Result<(), Failure> {
    let token = identity::token_for(&args.identity, &args.house, folder)?;
    let gateway = folder.gateway(args.gateway.as_deref());
    let welcome = tokio::time::timeout(
        WELCOME_WITHIN,
        StompClient::open(&gateway, &token, &args.identity.line),
    );
    let late = || not_now(format!("{gateway}: no welcome within {WELCOME_WITHIN:?}"));
    let mut client = welcome.await.map_err(|_| late())??;
    eprintln!(
        "watching {} as {}; Ctrl-C ends it",
        args.identity.line, args.house
    );
    let mut heard = 0;
    while args.count.is_none_or(|count| heard < count) {
        let frame = tokio::select! {
            frame = client.next() => frame?,
            pressed = tokio::signal::ctrl_c() => { pressed.context("Ctrl-C cannot be heard")?; return Ok(()) }
        };
        if frame.command == Command::Message {
            print(&frame, args.json)?;
            heard += 1;
        }
    }
    Ok(())
}

/// A connection that has subscribed.
struct StompClient {
    url: String,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    parser: Parser,
    unread: Vec<u8>,
}

impl StompClient {
    async fn open(url: &str, token: &str, line: &str) -> Result<Self, Failure> {
        let mut request = url
            .into_client_request()
            .with_context(|| format!("{url} is no WebSocket address"))?;
        request.headers_mut().insert(
            "Sec-WebSocket-Protocol",
            HeaderValue::from_static("v12.stomp"),
        );
        let connected = connect_async(request).await;
        let (socket, _) = connected.map_err(|error| not_now(format!("{url}: {error}")))?;
        let mut parser = Parser::new(Limits::AFTER_CONNECT);
        parser.set_version(Version::V1_2, Limits::AFTER_CONNECT);
        let mut client = Self {
            url: url.to_owned(),
            socket,
            parser,
            unread: Vec::new(),
        };

        let connect = Frame::new(Command::Connect)
            .with("accept-version", "1.2")
            .with("host", "mayday")
            .with("heart-beat", "0,0")
            .with("Authorization", format!("Bearer {token}"));
        client.send(&connect).await?;
        client.expect(Command::Connected).await?;
        let subscribe = Frame::new(Command::Subscribe)
            .with("id", "watch")
            .with("destination", format!("/sub/line/{line}"));
        client.send(&subscribe).await?;
        Ok(client)
    }

    async fn send(&mut self, frame: &Frame) -> Result<(), Failure> {
        let text =
            String::from_utf8(encode(frame, Version::V1_2)).context("a frame of ours is text")?;
        self.socket
            .send(Message::text(text))
            .await
            .map_err(|error| self.lost(&error))
    }

    async fn expect(&mut self, command: Command) -> Result<(), Failure> {
        let frame = self.next().await?;
        if frame.command == command {
            return Ok(());
        }
        Err(anyhow!(
            "{}: {} came where {} was due",
            self.url,
            frame.command.as_str(),
            command.as_str()
        )
        .into())
    }

    /// The next frame. An ERROR, and a close, end the watch with their own words.
    async fn next(&mut self) -> Result<Frame, Failure> {
        loop {
            let mut unread = self.unread.as_slice();
            let parsed = self
                .parser
                .next(&mut unread)
                .with_context(|| format!("{}: no STOMP", self.url))?;
            self.unread = unread.to_vec();
            match parsed {
                Some(frame) if frame.command == Command::Error => return Err(refusal(&frame)),
                Some(frame) => return Ok(frame),
                None => self.read().await?,
            }
        }
    }

    async fn read(&mut self) -> Result<(), Failure> {
        match self.socket.next().await {
            Some(Ok(Message::Text(text))) => self.unread.extend_from_slice(text.as_bytes()),
            Some(Ok(Message::Binary(bytes))) => self.unread.extend_from_slice(&bytes),
            Some(Ok(Message::Close(close))) => {
                let why = close.map_or_else(String::new, |close| {
                    format!(" {}: {}", close.code, close.reason)
                });
                return Err(not_now(format!("{} closed the connection{why}", self.url)));
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(self.lost(&error)),
            None => {
                return Err(not_now(format!("{} ended the connection", self.url)));
            }
        }
        Ok(())
    }

    fn lost(&self, error: &SocketError) -> Failure {
        not_now(format!("{}: {error}", self.url))
    }
}

fn refusal(error: &Frame) -> Failure {
    let header = |name| error.headers.get(name).unwrap_or_default();
    let sentence = format!(
        "the gateway refused: {} ({})",
        header("message"),
        header("code")
    );
    if header("retry") == "later" {
        not_now(sentence)
    } else {
        refused(sentence)
    }
}

fn print(message: &Frame, as_json: bool) -> Result<(), Failure> {
    let event: Value =
        serde_json::from_slice(&message.body).context("a MESSAGE's body is no JSON")?;
    if as_json {
        println!("{event}");
        return Ok(());
    }
    let old = if message.headers.get("replayed").is_some() {
        " (from before)"
    } else {
        ""
    };
    println!("{}{old}", sentence(&event));
    Ok(())
}

/// An event in one line, for a person.
fn sentence(event: &Value) -> String {
    let field = |name: &str| event[name].as_str().unwrap_or_default();
    match field("type") {
        "alert" => {
            let place = match (field("lat"), field("lng")) {
                ("", _) | (_, "") => String::new(),
                (lat, lng) => format!(" at {lat}, {lng}"),
            };
            format!(
                "{}  ALERT   house {}{place}: {}",
                field("at"),
                field("house"),
                field("text")
            )
        }
        "accept" => {
            let rank = event["rank"]
                .as_u64()
                .map_or_else(String::new, |rank| format!(" (responder {rank})"));
            format!(
                "{}  ACCEPT  house {} goes to house {}{rank}",
                field("at"),
                field("accept"),
                field("target")
            )
        }
        _ => event.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_told_in_one_line_with_its_place_and_rank() {
        let alert =
            json!({"type":"alert","at":"T","house":"101","text":"help","lat":"37.5","lng":"127.0"});
        let accept = json!({"type":"accept","at":"T","accept":"102","target":"101","rank":1});

        assert_eq!(
            sentence(&alert),
            "T  ALERT   house 101 at 37.5, 127.0: help"
        );
        assert_eq!(
            sentence(&accept),
            "T  ACCEPT  house 102 goes to house 101 (responder 1)"
        );
    }
}
