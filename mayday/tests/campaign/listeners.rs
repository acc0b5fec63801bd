//! Residents' phones: each listens to its line, comes back with its position when the connection ends, at the next
//! gateway, and writes down what it heard.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use ws_gateway::stomp::{Command, Frame, Limits, Parser, Version, encode};

use crate::checker::{HeardEvent, Listener};
use crate::token;

/// A phone that is not let in within this tries the next gateway.
const LET_IN_WITHIN: Duration = Duration::from_secs(5);
/// The gateway pings every 25 s: a phone that hears nothing for so long has lost its connection without a word.
const SILENCE_MAX: Duration = Duration::from_secs(8);
const PAUSE: Duration = Duration::from_millis(200);

/// What one phone has heard so far.
pub(crate) type SharedListener = Arc<Mutex<Listener>>;

/// Listens until told to stop. `gateways` are tried in turn.
pub(crate) async fn listen(gateways: Vec<String>, ear: SharedListener, stop: Arc<AtomicBool>) {
    let mut position = "now".to_owned();
    let mut turn = 0;
    while !stop.load(Ordering::SeqCst) {
        let gateway = &gateways[turn % gateways.len()];
        // However it ended, it comes back.
        drop(stay(gateway, &ear, &mut position, &stop).await);
        turn += 1;
        sleep(PAUSE).await;
    }
}

async fn stay(
    gateway: &str,
    ear: &SharedListener,
    position: &mut String,
    stop: &AtomicBool,
) -> anyhow::Result<()> {
    let line = ear.lock().expect("no holder panics").line.clone();
    let mut request = gateway.into_client_request()?;
    let protocol = HeaderValue::from_static("v12.stomp");
    request
        .headers_mut()
        .insert("Sec-WebSocket-Protocol", protocol);
    let connected = tokio_tungstenite::connect_async(request);
    let (mut socket, _) = timeout(LET_IN_WITHIN, connected).await??;
    let connect = Frame::new(Command::Connect)
        .with("accept-version", "1.2")
        .with("host", "mayday")
        .with("heart-beat", "0,2000")
        .with(
            "Authorization",
            format!("Bearer {}", token(&line, "listener")),
        );
    let subscribe = Frame::new(Command::Subscribe)
        .with("id", "phone")
        .with("destination", format!("/sub/line/{line}"))
        .with("resume-from", position.clone());
    for frame in [connect, subscribe] {
        let text = String::from_utf8(encode(&frame, Version::V1_2))?;
        socket.send(Message::text(text)).await?;
    }
    let mut parser = Parser::new(Limits::AFTER_CONNECT);
    parser.set_version(Version::V1_2, Limits::AFTER_CONNECT);
    let mut unread = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        match timeout(SILENCE_MAX, socket.next()).await? {
            Some(Ok(Message::Text(text))) => unread.extend_from_slice(text.as_bytes()),
            Some(Ok(Message::Binary(bytes))) => unread.extend_from_slice(&bytes),
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
            Some(Ok(Message::Close(_))) | None => return Ok(()),
            Some(Err(error)) => return Err(error.into()),
        }
        loop {
            let mut rest = unread.as_slice();
            let parsed = parser.next(&mut rest);
            let parsed = parsed.map_err(|error| anyhow::anyhow!("{error:?}"))?;
            unread = rest.to_vec();
            let Some(frame) = parsed else { break };
            if frame.command == Command::Message {
                hear(&frame, ear, position)?;
            }
        }
    }
    Ok(())
}

fn hear(frame: &Frame, ear: &SharedListener, position: &mut String) -> anyhow::Result<()> {
    let body: Value = serde_json::from_slice(&frame.body)?;
    let mut ear = ear.lock().expect("no holder panics");
    let heard = match body["type"].as_str() {
        Some("resume") => {
            ear.is_let_in = true;
            // What was missed is still to come: the position is good once that was heard.
            if body["count"] == 0
                && let Some(told) = body["position"].as_str()
            {
                *position = told.to_owned();
            }
            let is_recovered = body["recovered"].as_bool().unwrap_or(false);
            (!is_recovered).then_some(HeardEvent::NotRecovered)
        }
        Some("alert" | "accept") => Some(HeardEvent::Event {
            id: body["id"].as_str().unwrap_or_default().to_owned(),
            line: body["line"].as_str().unwrap_or_default().to_owned(),
        }),
        _ => None,
    };
    if let Some(told) = frame.headers.get("position") {
        *position = told.to_owned();
    }
    ear.heard.extend(heard);
    Ok(())
}
