//! Any bytes, in any pieces, in any version: no panic, the same frames, and what was read is written back alike.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ws_gateway::stomp::{Frame, Limits, ParseError, Parser, Version, encode};

fn parse(version: Version, pieces: &[&[u8]]) -> (Vec<Frame>, Option<ParseError>) {
    let limits = Limits { headers_max: 8, line_bytes_max: 64, body_bytes_max: 256 };
    let mut parser = Parser::new(limits);
    parser.set_version(version, limits);
    let mut frames = Vec::new();
    for mut piece in pieces.iter().copied() {
        loop {
            match parser.next(&mut piece) {
                Ok(None) => break,
                Ok(Some(frame)) => frames.push(frame),
                Err(error) => return (frames, Some(error)),
            }
        }
    }
    (frames, None)
}

fuzz_target!(|input: (u8, usize, &[u8])| {
    let (version, cut, bytes) = input;
    let version = Version::ALL[usize::from(version) % Version::ALL.len()];
    let whole = parse(version, &[bytes]);
    let (first, second) = bytes.split_at(cut % (bytes.len() + 1));
    assert_eq!(parse(version, &[first, second]), whole);
    // CONNECT and the 1.0 session have no escapes, so not everything that they hold can be said again.
    for frame in whole.0.iter().filter(|frame| !frame.command.is_unescaped() && version == Version::V1_2) {
        let (again, error) = parse(version, &[&encode(frame, version)]);
        if error.is_none() && frame.headers.get("content-length").is_some() {
            assert_eq!(again, std::slice::from_ref(frame));
        }
    }
});
