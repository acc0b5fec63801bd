//! A frame as a value: command, headers, body.

/// What a frame asks for or says. Client's and server's commands alike: the session knows which may come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Command {
    /// Opens a session.
    Connect,
    /// Opens a session, spelled so that a server can tell STOMP from other protocols.
    Stomp,
    /// Posts a message.
    Send,
    /// Asks for the messages of a destination.
    Subscribe,
    /// Asks for no more of them.
    Unsubscribe,
    /// Says that messages were received.
    Ack,
    /// Says that messages were not dealt with.
    Nack,
    /// Opens a transaction.
    Begin,
    /// Performs a transaction.
    Commit,
    /// Drops a transaction.
    Abort,
    /// Ends a session.
    Disconnect,
    /// The server's answer to CONNECT.
    Connected,
    /// The server delivers.
    Message,
    /// The server has processed a frame.
    Receipt,
    /// The server refuses and ends the session.
    Error,
}

impl Command {
    const ALL: [Command; 15] = [
        Command::Connect,
        Command::Stomp,
        Command::Send,
        Command::Subscribe,
        Command::Unsubscribe,
        Command::Ack,
        Command::Nack,
        Command::Begin,
        Command::Commit,
        Command::Abort,
        Command::Disconnect,
        Command::Connected,
        Command::Message,
        Command::Receipt,
        Command::Error,
    ];

    /// The command spelled so, in capitals: commands are case-sensitive.
    pub fn from_bytes(name: &[u8]) -> Option<Command> {
        Self::ALL
            .into_iter()
            .find(|command| command.as_str().as_bytes() == name)
    }

    /// As it stands in a frame's first line.
    pub fn as_str(self) -> &'static str {
        match self {
            Command::Connect => "CONNECT",
            Command::Stomp => "STOMP",
            Command::Send => "SEND",
            Command::Subscribe => "SUBSCRIBE",
            Command::Unsubscribe => "UNSUBSCRIBE",
            Command::Ack => "ACK",
            Command::Nack => "NACK",
            Command::Begin => "BEGIN",
            Command::Commit => "COMMIT",
            Command::Abort => "ABORT",
            Command::Disconnect => "DISCONNECT",
            Command::Connected => "CONNECTED",
            Command::Message => "MESSAGE",
            Command::Receipt => "RECEIPT",
            Command::Error => "ERROR",
        }
    }

    /// Whether the frame's headers are written without escapes, in every version (STOMP 1.2, Value Encoding).
    /// STOMP goes with CONNECT, of which it is another spelling.
    pub fn is_unescaped(self) -> bool {
        matches!(self, Command::Connect | Command::Stomp | Command::Connected)
    }

    /// Whether the frame may have a body (STOMP 1.2, Body).
    pub fn may_have_body(self) -> bool {
        matches!(self, Command::Send | Command::Message | Command::Error)
    }
}

/// Headers in the order they came. A repeated name keeps all its values; the first one counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// The value that counts: the first one of that name. Names are case-sensitive.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// Adds one at the end.
    pub fn push(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.push((name.into(), value.into()));
    }

    /// All of them, repeated ones too.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Bytes of memory that they take, about.
    pub(super) fn bytes_held(&self) -> usize {
        let texts = self.0.iter();
        let texts = texts.map(|(name, value)| name.capacity() + value.capacity());
        texts.sum::<usize>() + self.0.capacity() * size_of::<(String, String)>()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it asks for or says.
    pub command: Command,
    /// Already unescaped.
    pub headers: Headers,
    /// Any bytes; empty for most commands.
    pub body: Vec<u8>,
}

impl Frame {
    /// A frame without headers or body.
    pub fn new(command: Command) -> Self {
        Self {
            command,
            headers: Headers::default(),
            body: Vec::new(),
        }
    }

    /// The same frame with one more header.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push(name, value);
        self
    }

    /// The same frame with a body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }
}
