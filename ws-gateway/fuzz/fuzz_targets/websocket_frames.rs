//! Any bytes, in any pieces: no panic, no more out than in, and under every cut the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ws_gateway::websocket::{Message, MessageReader, WebSocketError};

fn read(pieces: &[&[u8]]) -> (Vec<Message>, Option<WebSocketError>) {
    let mut reader = MessageReader::new(1_000);
    let mut messages = Vec::new();
    for mut piece in pieces.iter().copied() {
        loop {
            match reader.next(&mut piece) {
                Ok(None) => break,
                Ok(Some(message)) => messages.push(message),
                Err(error) => return (messages, Some(error)),
            }
        }
    }
    (messages, None)
}

fuzz_target!(|input: (Vec<usize>, &[u8])| {
    let (cuts, bytes) = input;
    let whole = read(&[bytes]);
    // A close frame with a code that must not be sent gets words of tungstenite's.
    let said = whole.0.iter().filter(|message| !message.is_close());
    assert!(said.map(Message::len).sum::<usize>() <= bytes.len());
    let (mut rest, mut pieces) = (bytes, Vec::new());
    for cut in cuts {
        let (piece, after) = rest.split_at(cut % (rest.len() + 1));
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    assert_eq!(read(&pieces), whole);
});
