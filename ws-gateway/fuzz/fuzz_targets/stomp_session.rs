//! A conversation of any bytes: no panic, nothing but a question before CONNECT, no effects of a refused frame.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ws_gateway::stomp::{Effect, Limits, Parser, Session};

fuzz_target!(|bytes: &[u8]| {
    let mut session = Session::new(1);
    let mut parser = Parser::new(Limits::AFTER_CONNECT);
    let mut rest = bytes;
    let mut effects = Vec::new();
    while let Ok(Some(frame)) = parser.next(&mut rest) {
        let was_open = session.is_open();
        effects.clear();
        if session.handle(frame, &mut effects).is_err() {
            assert!(effects.is_empty());
            return;
        }
        assert!(was_open || effects.is_empty() || matches!(effects[0], Effect::Authenticate { .. }));
        for effect in &effects {
            if let Effect::Subscribe(subscribe) = effect {
                session.delivered(subscribe.key, "an-alert-0-0");
            }
        }
        session.frame_done();
        parser.set_version(session.version(), Limits::AFTER_CONNECT);
    }
});
