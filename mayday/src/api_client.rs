//! A client of the api: raises an alert, accepts one.

use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};
use service_kit::Failure;
use uuid::Uuid;

use crate::cli::{Accept, Send};
use crate::data_folder::DataFolder;
use crate::identity;
use crate::outcome::{not_now, refused};

/// Longer than the api's own deadline, so that its answer is the one that is heard.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Raises an alert and prints where it is.
pub(crate) fn send(args: &Send, folder: &DataFolder) -> Result<(), Failure> {
    let mut body = json!({ "line": args.identity.line, "house": args.house, "text": args.text });
    if let (Some(lat), Some(lng)) = (&args.lat, &args.lng) {
        body["lat"] = json!(lat);
        body["lng"] = json!(lng);
    }
    if args.drill {
        body["status"] = json!("Exercise");
    }
    let token = identity::token_for(&args.identity, &args.house, folder)?;
    post(&folder.api(args.api.as_deref()), "/alert", &token, &body)
}

/// Accepts a neighbour's alert and prints where that is.
pub(crate) fn accept(args: &Accept, folder: &DataFolder) -> Result<(), Failure> {
    let mut body = json!({ "line": args.identity.line, "acceptHouse": args.house, "targetHouse": args.target });
    if let Some(id) = &args.alert_id {
        body["alertId"] = json!(id);
    }
    let token = identity::token_for(&args.identity, &args.house, folder)?;
    post(&folder.api(args.api.as_deref()), "/accept", &token, &body)
}

fn post(api: &str, path: &str, token: &str, body: &Value) -> Result<(), Failure> {
    let url = format!("{}{path}", api.trim_end_matches('/'));
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(ANSWER_WITHIN))
        .http_status_as_error(false)
        .build()
        .into();
    let answered = agent
        .post(&url)
        .header("Authorization", &format!("Bearer {token}"))
        .header("Idempotency-Key", &Uuid::new_v4().simple().to_string())
        .send_json(body);
    let mut answer = match answered {
        Ok(answer) => answer,
        Err(error) => return Err(not_now(format!("{url}: {error}"))),
    };
    let status = answer.status();
    let text = answer
        .body_mut()
        .read_to_string()
        .with_context(|| format!("{url}: the answer cannot be read"))?;
    if status.is_success() {
        println!("{text}");
        return Ok(());
    }
    let sentence = format!("{url} answered {status}: {}", problem(&text));
    if status.is_server_error() || status.as_u16() == 429 {
        return Err(not_now(sentence));
    }
    Err(refused(sentence))
}

/// The sentences of a problem (RFC 9457), or the text as it is.
fn problem(text: &str) -> String {
    let Ok(problem) = serde_json::from_str::<Value>(text) else {
        return text.trim().to_owned();
    };
    let part = |name: &str| problem[name].as_str().map(str::to_owned);
    let parts: Vec<String> = ["code", "title", "detail"]
        .into_iter()
        .filter_map(part)
        .collect();
    if parts.is_empty() {
        text.trim().to_owned()
    } else {
        parts.join(" · ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_told_in_its_own_words_and_anything_else_as_it_came() {
        assert_eq!(
            problem(r#"{"code":"line_mismatch","title":"Another line","status":403}"#),
            "line_mismatch · Another line"
        );
        assert_eq!(problem("bad gateway\n"), "bad gateway");
        assert_eq!(problem("[1]"), "[1]");
    }
}
