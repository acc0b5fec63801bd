//! Callers: each raises one alert after another on its line, with a key or without, and writes down what it was told.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::checker::{Answer, Call};
use crate::token;

/// A phone gives up waiting after so long and, with a key, tries again.
const ANSWERED_WITHIN: Duration = Duration::from_secs(6);
/// Between two calls, and before the next try: the load is a trickle, not a flood.
const PAUSE: Duration = Duration::from_millis(60);
/// So many calls with a key are made again after their answer.
const EVERY_NTH_IS_REPLAYED: u64 = 5;

/// Who calls, and where.
pub(crate) struct Caller {
    pub(crate) line: String,
    /// Which of the apis it asks first. With `roams` the next try goes to the next api.
    pub(crate) apis: Vec<String>,
    pub(crate) roams: bool,
    /// Whether each call has an Idempotency-Key and is tried until it is taken.
    pub(crate) has_keys: bool,
}

impl Caller {
    /// Calls until told to stop.
    pub(crate) fn call_until(&self, stop: &AtomicBool, calls: &Mutex<Vec<Call>>) {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(ANSWERED_WITHIN));
        let agent: ureq::Agent = config.build().into();
        let mut number = 0;
        while !stop.load(Ordering::SeqCst) {
            let call = self.call(&agent, number, stop);
            calls.lock().expect("no holder panics").push(call);
            number += 1;
            std::thread::sleep(PAUSE);
        }
    }

    fn call(&self, agent: &ureq::Agent, number: u64, stop: &AtomicBool) -> Call {
        let text = format!("{}-{number}", self.line);
        let mut answers = Vec::new();
        let mut tries = 0;
        loop {
            let turn = usize::try_from(if self.roams { number + tries } else { 0 });
            let api = &self.apis[turn.expect("few") % self.apis.len()];
            let answer = self.post(agent, api, &text, number);
            let is_taken = answer.id().is_some();
            answers.push(answer);
            tries += 1;
            let is_replayed =
                self.has_keys && tries == 1 && number.is_multiple_of(EVERY_NTH_IS_REPLAYED);
            let is_over = stop.load(Ordering::SeqCst);
            if !self.has_keys || is_over || (is_taken && !is_replayed) {
                break;
            }
            std::thread::sleep(PAUSE);
        }
        Call {
            line: self.line.clone(),
            text,
            answers,
        }
    }

    fn post(&self, agent: &ureq::Agent, api: &str, text: &str, number: u64) -> Answer {
        let house = format!("h{number}");
        let bearer = format!("Bearer {}", token(&self.line, &house));
        let mut request = agent
            .post(format!("{api}/alert"))
            .header("Authorization", &bearer);
        if self.has_keys {
            request = request.header("Idempotency-Key", format!("a-key-of-16-bytes-{text}"));
        }
        let body = json!({ "line": self.line, "house": house, "text": text });
        let Ok(mut answer) = request.send_json(&body) else {
            return Answer::Unknown;
        };
        let status = answer.status().as_u16();
        match answer.body_mut().read_json::<Value>() {
            Ok(told) => read(status, &told),
            // Cut off: nobody was told.
            Err(_) => Answer::Unknown,
        }
    }
}

fn read(status: u16, told: &Value) -> Answer {
    let id = told["id"].as_str().map(str::to_owned);
    match (status, id) {
        (201, Some(id)) => match place(told) {
            Some(place) => Answer::Stored { id, place },
            None => Answer::Queued { id },
        },
        (202, Some(id)) => Answer::Queued { id },
        // A refusal with an id says that the call may be there under it.
        (_, Some(_)) => Answer::Unknown,
        (_, None) => Answer::NotStored {
            code: told["code"].as_str().unwrap_or("no code").to_owned(),
        },
    }
}

fn place(told: &Value) -> Option<(String, i32, i64)> {
    let partition = i32::try_from(told["partition"].as_i64()?).ok()?;
    let topic = told["topic"].as_str()?.to_owned();
    Some((topic, partition, told["offset"].as_i64()?))
}
