//! Any bytes, in any pieces: no panic, no more out than in, and the same said.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ws_gateway::websocket::{Decoder, Event, WebSocketError};

/// What is said, the pieces of messages joined.
fn decode(pieces: &[&[u8]]) -> (Vec<u8>, Option<WebSocketError>) {
    let mut decoder = Decoder::new(1_000);
    let mut said = Vec::new();
    for piece in pieces {
        let mut piece = piece.to_vec();
        let mut rest = &mut piece[..];
        loop {
            match decoder.next(&mut rest) {
                Ok(None) => break,
                Ok(Some(Event::Data(_, bytes))) => said.extend_from_slice(bytes),
                Ok(Some(Event::MessageEnd)) => said.push(b'.'),
                Ok(Some(Event::Ping(payload))) => said.extend_from_slice(&payload),
                Ok(Some(Event::Pong | Event::Close(_))) => said.push(b'!'),
                Err(error) => return (said, Some(error)),
            }
        }
    }
    (said, None)
}

fuzz_target!(|input: (usize, &[u8])| {
    let (cut, bytes) = input;
    let (said, error) = decode(&[bytes]);
    assert!(said.len() <= bytes.len());
    let (first, second) = bytes.split_at(cut % (bytes.len() + 1));
    let (said_cut, error_cut) = decode(&[first, second]);
    assert_eq!(error_cut, error);
    // Text is judged piece by piece, so a cut lets more of a message through before its fault is found.
    if error.is_none() {
        assert_eq!(said_cut, said);
    }
});
