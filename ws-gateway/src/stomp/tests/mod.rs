//! The specifications, point by point: `point_12_...` is point 12 of the conformance list in `docs/stomp.md`.

mod frames;
mod laws;
mod sessions;

use super::{Command, Effect, Frame, Limits, ParseError, Parser, ProtocolError, Session, Version};

/// Everything that `bytes` say to a parser of that version, up to the first error.
fn parse(version: Version, bytes: &[u8]) -> (Vec<Frame>, Option<ParseError>) {
    parse_pieces(version, Limits::AFTER_CONNECT, &[bytes])
}

fn parse_pieces(
    version: Version,
    limits: Limits,
    pieces: &[&[u8]],
) -> (Vec<Frame>, Option<ParseError>) {
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

/// The one frame that `bytes` are.
fn one(version: Version, bytes: &[u8]) -> Frame {
    let (mut frames, error) = parse(version, bytes);
    assert_eq!(
        (frames.len(), error),
        (1, None),
        "{}",
        String::from_utf8_lossy(bytes)
    );
    frames.remove(0)
}

/// Why `bytes` are none.
fn refused(version: Version, bytes: &[u8]) -> ParseError {
    parse(version, bytes)
        .1
        .unwrap_or_else(|| panic!("taken: {}", String::from_utf8_lossy(bytes)))
}

/// A client and the session that serves it, with everything permitted.
struct TestSession {
    session: Session,
    parser: Parser,
}

impl TestSession {
    fn before_connect() -> Self {
        Self {
            session: Session::new(7),
            parser: Parser::default(),
        }
    }

    /// After a CONNECT that offers this.
    fn connected(accept_version: &str) -> Self {
        let mut talk = Self::before_connect();
        let connect = format!("CONNECT\naccept-version:{accept_version}\nhost:h\n\n\0");
        talk.say(&connect)
            .unwrap_or_else(|error| panic!("{accept_version}: {error}"));
        talk
    }

    /// What one frame leads to.
    fn say(&mut self, bytes: &str) -> Result<Vec<Effect>, ProtocolError> {
        let mut rest = bytes.as_bytes();
        let frame = self
            .parser
            .next(&mut rest)?
            .expect("a test says whole frames");
        assert!(rest.is_empty(), "a test says one frame at a time");
        let mut effects = Vec::new();
        self.session.handle(frame, &mut effects)?;
        self.parser
            .set_version(self.session.version(), Limits::AFTER_CONNECT);
        self.session.frame_done();
        Ok(effects)
    }

    /// The frames that one frame is answered with.
    fn answer(&mut self, bytes: &str) -> Vec<Frame> {
        let effects = self
            .say(bytes)
            .unwrap_or_else(|error| panic!("{bytes}: {error}"));
        let version = self.session.version();
        effects
            .into_iter()
            .filter_map(|effect| match effect {
                Effect::Send(bytes) => Some(one(version, &bytes)),
                _ => None,
            })
            .collect()
    }

    fn refusal(&mut self, bytes: &str) -> ProtocolError {
        self.say(bytes).expect_err(bytes)
    }
}

fn headers(frame: &Frame) -> Vec<(&str, &str)> {
    frame.headers.iter().collect()
}

fn is_receipt(frame: &Frame, id: &str) -> bool {
    frame.command == Command::Receipt && frame.headers.get("receipt-id") == Some(id)
}
