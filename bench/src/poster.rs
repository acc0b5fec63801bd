//! A resident's phone with nothing in it but a socket: posts over one connection, one after the other.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::tokens;

/// How the head of an answer begins that says: stored.
pub(crate) const CREATED: &str = "HTTP/1.1 201";
/// No answer for so long is a failure of the run.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Posts over one connection, one after the other.
pub(crate) struct Poster {
    stream: TcpStream,
    address: SocketAddr,
    posts: Range<u32>,
    tokens: Vec<String>,
    received: Vec<u8>,
}

impl Poster {
    /// Makes the tokens beforehand, one house per post: a house may call five times and then once in 20 s.
    pub(crate) fn connect(address: SocketAddr, posts: Range<u32>) -> Result<Self> {
        let stream = TcpStream::connect(address).context("connect to the api")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        let line = tokens::line(0)?;
        let tokens = posts
            .clone()
            .map(|post| tokens::token(&line, &post.to_string()))
            .collect::<Result<_>>()?;
        Ok(Self {
            stream,
            address,
            posts,
            tokens,
            received: Vec::new(),
        })
    }

    /// Posts one of them, which must be answered with 201.
    pub(crate) fn post(&mut self, post: u32) -> Result<()> {
        let head = self.try_post(post)?;
        ensure!(
            head.starts_with(CREATED),
            "post {post} was answered with {head}"
        );
        Ok(())
    }

    /// Posts one of them; the head of the answer, whatever it is.
    pub(crate) fn try_post(&mut self, post: u32) -> Result<String> {
        let body = format!(
            r#"{{"line":"bench-0","house":"{post}","text":"bench-{post}","lat":"37.5665","lng":"126.9780"}}"#
        );
        let token = &self.tokens[(post - self.posts.start) as usize];
        let request = format!(
            "POST /alert HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        self.stream.write_all(request.as_bytes()).context("post")?;
        self.answer()
    }

    /// Reads one answer whole; its head.
    fn answer(&mut self) -> Result<String> {
        loop {
            if let Some((head, length)) = whole_answer(&self.received)? {
                self.received.drain(..length);
                return Ok(head);
            }
            let mut chunk = [0; 4_096];
            let count = self
                .stream
                .read(&mut chunk)
                .context("wait for the api's answer")?;
            if count == 0 {
                bail!(
                    "the api closed the connection: {}",
                    String::from_utf8_lossy(&self.received)
                );
            }
            self.received.extend_from_slice(&chunk[..count]);
        }
    }
}

/// Head and whole length of an answer with a Content-Length, once it has arrived.
fn whole_answer(received: &[u8]) -> Result<Option<(String, usize)>> {
    let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = String::from_utf8_lossy(&received[..end]).into_owned();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>())
    });
    let whole = end + 4 + length.context("an answer without length")??;
    Ok((whole <= received.len()).then_some((head, whole)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_body_is() {
        let answer = b"HTTP/1.1 201 Created\r\nContent-Length: 3\r\n\r\nabc";
        assert!(whole_answer(&answer[..10]).expect("fine").is_none());
        assert!(
            whole_answer(&answer[..answer.len() - 1])
                .expect("fine")
                .is_none()
        );
        let (head, length) = whole_answer(answer).expect("fine").expect("whole");
        assert!(head.starts_with("HTTP/1.1 201"));
        assert_eq!(length, answer.len());
        assert!(whole_answer(b"HTTP/1.1 201 Created\r\n\r\n").is_err());
    }
}
