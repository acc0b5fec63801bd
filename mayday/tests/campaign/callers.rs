//! Callers: each raises one alert after another on its line, with a key or without, accepts some of them, and writes down
//! what it was told.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::checker::{Call, CallOutcome, accept_text};
use crate::token;

/// A phone gives up waiting after so long and, with a key, tries again.
const ANSWERED_WITHIN: Duration = Duration::from_secs(6);
/// Between two calls, and before the next try: the load is a trickle, not a flood.
const PAUSE: Duration = Duration::from_millis(60);
/// So many calls with a key are made again after their answer.
const EVERY_NTH_IS_REPLAYED: u64 = 5;
/// A neighbour accepts so many of the alerts.
const EVERY_NTH_IS_ACCEPTED: u64 = 3;

/// One POST, as often as it is tried.
struct Request {
    path: &'static str,
    body: Value,
    /// The house whose token it is.
    house: String,
    /// What the checker knows it by: no other call has it.
    text: String,
}

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
            let alert = self.call(&agent, number, self.alert(number), stop);
            let accept = alert.id().map(|id| self.accept(number, id));
            calls.lock().expect("no holder panics").push(alert);
            std::thread::sleep(PAUSE);
            if let Some(accept) = accept
                && number.is_multiple_of(EVERY_NTH_IS_ACCEPTED)
            {
                let accept = self.call(&agent, number, accept, stop);
                calls.lock().expect("no holder panics").push(accept);
                std::thread::sleep(PAUSE);
            }
            number += 1;
        }
    }

    fn alert(&self, number: u64) -> Request {
        let (house, text) = (format!("h{number}"), format!("{}-{number}", self.line));
        Request {
            path: "alert",
            body: json!({ "line": self.line, "house": house, "text": text }),
            house,
            text,
        }
    }

    fn accept(&self, number: u64, id: &str) -> Request {
        let house = format!("n{number}");
        Request {
            path: "accept",
            body: json!({
                "line": self.line, "acceptHouse": house, "targetHouse": format!("h{number}"), "alertId": id,
            }),
            house,
            text: accept_text(id),
        }
    }

    fn call(&self, agent: &ureq::Agent, number: u64, request: Request, stop: &AtomicBool) -> Call {
        let mut answers = Vec::new();
        let mut tries = 0;
        loop {
            let turn = usize::try_from(if self.roams { number + tries } else { 0 });
            let api = &self.apis[turn.expect("few") % self.apis.len()];
            let answer = self.post(agent, api, &request);
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
            text: request.text,
            answers,
        }
    }

    fn post(&self, agent: &ureq::Agent, api: &str, request: &Request) -> CallOutcome {
        let bearer = format!("Bearer {}", token(&self.line, &request.house));
        let mut post = agent
            .post(format!("{api}/{}", request.path))
            .header("Authorization", &bearer);
        if self.has_keys {
            let key = request.text.replace(' ', "-");
            post = post.header("Idempotency-Key", format!("a-key-of-16-bytes-{key}"));
        }
        let Ok(mut answer) = post.send_json(&request.body) else {
            return CallOutcome::Unknown;
        };
        let status = answer.status().as_u16();
        match answer.body_mut().read_json::<Value>() {
            Ok(told) => read(status, &told),
            // Cut off: nobody was told.
            Err(_) => CallOutcome::Unknown,
        }
    }
}

fn read(status: u16, told: &Value) -> CallOutcome {
    let id = told["id"].as_str().map(str::to_owned);
    match (status, id) {
        (201, Some(id)) => match place(told) {
            Some(place) => CallOutcome::Stored { id, place },
            None => CallOutcome::Queued { id },
        },
        (202, Some(id)) => CallOutcome::Queued { id },
        // A refusal with an id says that the call may be there under it.
        (_, Some(_)) => CallOutcome::Unknown,
        (_, None) => CallOutcome::NotStored {
            code: told["code"].as_str().unwrap_or("no code").to_owned(),
        },
    }
}

fn place(told: &Value) -> Option<(String, i32, i64)> {
    let partition = i32::try_from(told["partition"].as_i64()?).ok()?;
    let topic = told["topic"].as_str()?.to_owned();
    Some((topic, partition, told["offset"].as_i64()?))
}
