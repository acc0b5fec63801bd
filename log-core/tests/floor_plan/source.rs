//! Reads Rust source as far as the floor plan needs it: which paths and words it uses outside of its tests.
//!
//! Not a parser of Rust: names that a macro makes up are not seen, and a path is resolved by the module of its file.

use std::collections::BTreeSet;
use std::iter::Peekable;
use std::str::Chars;

/// A path or a single word that the source uses, such as `crate::ids::Offset` or `async`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    pub(crate) line: usize,
    pub(crate) path: Vec<String>,
    /// A `pub use`: it shows others the way, and needs nothing itself.
    pub(crate) is_reexport: bool,
}

/// A name that a file's own modules, or all who may see it, find there although it is of another file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Import {
    pub(crate) name: String,
    pub(crate) path: Vec<String>,
}

/// What one file says.
#[derive(Debug, Default)]
pub(crate) struct Source {
    pub(crate) references: Vec<Reference>,
    pub(crate) imports: Vec<Import>,
    /// The types that it has `impl`s of.
    pub(crate) implemented: BTreeSet<String>,
    /// Modules that it declares for tests only: their files are no part of the room.
    pub(crate) test_modules: Vec<String>,
}

impl Source {
    /// Reads the file of the module `module` of its crate, `["group", "joining"]` for `src/group/joining.rs`.
    pub(crate) fn read(text: &str, module: &[&str]) -> Self {
        let mut reader = Reader {
            tokens: tokens(text),
            at: 0,
            source: Self::default(),
        };
        reader.read();
        for reference in &mut reader.source.references {
            reference.path = resolved(&reference.path, module);
        }
        for import in &mut reader.source.imports {
            import.path = resolved(&import.path, module);
        }
        reader.source
    }
}

/// `self` and `super` spelled out from the root of the crate.
fn resolved(path: &[String], module: &[&str]) -> Vec<String> {
    let supers = path
        .iter()
        .take_while(|segment| *segment == "super")
        .count();
    let rest = match path.first().map(String::as_str) {
        Some("self") => &path[1..],
        Some("super") => &path[supers..],
        _ => return path.to_vec(),
    };
    let above = module.len().saturating_sub(supers);
    let root = std::iter::once("crate")
        .chain(module[..above].iter().copied())
        .map(str::to_owned);
    root.chain(rest.iter().cloned()).collect()
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Sign(char),
    /// `::`
    Path,
    /// A string, character or number: its content is nobody's business.
    Literal,
}

struct Reader {
    tokens: Vec<(usize, Token)>,
    at: usize,
    source: Source,
}

impl Reader {
    fn read(&mut self) {
        while self.at < self.tokens.len() {
            if self.is_at_test_only() {
                self.skip_attributes();
                self.skip_item();
            } else if self.word() == Some("use") {
                self.at += 1;
                self.read_use_tree(&[], false);
            } else if self.word() == Some("pub") {
                self.read_visibility();
            } else if self.word() == Some("impl") && self.is_at_item() {
                self.at += 1;
                self.read_implemented();
            } else if self.word().is_some() {
                self.read_path();
            } else {
                self.at += 1;
            }
        }
    }

    fn token(&self, ahead: usize) -> Option<&Token> {
        self.tokens.get(self.at + ahead).map(|(_, token)| token)
    }

    fn word(&self) -> Option<&str> {
        match self.token(0) {
            Some(Token::Word(word)) => Some(word),
            _ => None,
        }
    }

    fn is_at(&self, sign: char) -> bool {
        self.token(0) == Some(&Token::Sign(sign))
    }

    fn line(&self) -> usize {
        self.tokens.get(self.at).map_or(0, |(line, _)| *line)
    }

    /// `#[cfg(test)]` and its kin, but not `#[cfg(not(test))]`.
    fn is_at_test_only(&self) -> bool {
        let words = self.attribute_words();
        words.first().is_some_and(|word| word == "cfg")
            && words.iter().any(|word| word == "test")
            && words.iter().all(|word| word != "not")
    }

    fn attribute_words(&self) -> Vec<String> {
        if !(self.is_at('#') && self.token(1) == Some(&Token::Sign('['))) {
            return Vec::new();
        }
        let inside = self.tokens[self.at..].iter().map(|(_, token)| token);
        let inside = inside.take_while(|token| **token != Token::Sign(']'));
        inside
            .filter_map(|token| {
                if let Token::Word(word) = token {
                    Some(word.clone())
                } else {
                    None
                }
            })
            .collect()
    }

    fn skip_attributes(&mut self) {
        while self.is_at('#') {
            self.at += 1;
            self.skip_bracketed('[', ']');
        }
    }

    fn skip_bracketed(&mut self, open: char, close: char) {
        let mut depth = 0;
        while self.at < self.tokens.len() {
            depth += usize::from(self.is_at(open));
            depth -= usize::from(self.is_at(close));
            self.at += 1;
            if depth == 0 {
                return;
            }
        }
    }

    fn skip_item(&mut self) {
        if self.word() == Some("pub") {
            self.skip_visibility();
        }
        if let (Some("mod"), Some(Token::Word(name))) = (self.word(), self.token(1)) {
            self.source.test_modules.push(name.clone());
        }
        while self.at < self.tokens.len() && !self.is_at(';') && !self.is_at('{') {
            self.at += 1;
        }
        if self.is_at('{') {
            self.skip_bracketed('{', '}');
        } else {
            self.at += 1;
        }
    }

    fn skip_visibility(&mut self) {
        self.at += 1;
        if self.is_at('(') {
            self.skip_bracketed('(', ')');
        }
    }

    fn is_at_item(&self) -> bool {
        let before = self.at.checked_sub(1).map(|before| &self.tokens[before].1);
        matches!(before, None | Some(Token::Sign('}' | ';' | ']')))
    }

    /// `pub`, `pub(in crate::broker)`: who may see an item is nothing that it needs.
    fn read_visibility(&mut self) {
        self.skip_visibility();
        if self.word() == Some("use") {
            self.at += 1;
            self.read_use_tree(&[], true);
        }
    }

    /// Stands behind `impl`; leaves the reader before the generics or the trait, whose paths count as any others do.
    fn read_implemented(&mut self) {
        let head = self.tokens[self.at..].iter().map(|(_, token)| token);
        let head = head.take_while(|token| !matches!(token, Token::Sign('{' | ';')));
        let (mut depth, mut name) = (0, None);
        for token in head {
            match token {
                Token::Sign('<') => depth += 1,
                Token::Sign('>') => depth -= 1,
                Token::Word(word) if word == "where" => break,
                Token::Word(word) if depth == 0 && word != "for" => name = Some(word),
                _ => {}
            }
        }
        self.source.implemented.extend(name.cloned());
    }

    /// `a::{b, c::d as e}`, standing after `a::`'s prefix; leaves the reader after it.
    fn read_use_tree(&mut self, prefix: &[String], is_reexport: bool) {
        let mut path = prefix.to_vec();
        let line = self.line();
        let mut name = None;
        loop {
            match self.token(0).cloned() {
                Some(Token::Word(word)) if word == "as" => {
                    if let Some(Token::Word(alias)) = self.token(1) {
                        name = Some(alias.clone());
                    }
                    self.at += 2;
                }
                Some(Token::Word(word)) => {
                    path.push(word);
                    self.at += 1;
                }
                Some(Token::Path) => self.at += 1,
                Some(Token::Sign('*')) => {
                    path.push("*".to_owned());
                    self.at += 1;
                }
                Some(Token::Sign('{')) => return self.read_use_group(&path, is_reexport),
                _ => break,
            }
        }
        // `a::{self, b}` names `a`.
        if 1 < path.len() && path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        if let Some(name) = name.or_else(|| path.last().cloned()) {
            let path = path.clone();
            self.source.imports.push(Import { name, path });
        }
        self.source.references.push(Reference {
            line,
            path,
            is_reexport,
        });
    }

    fn read_use_group(&mut self, prefix: &[String], is_reexport: bool) {
        self.at += 1;
        while self.at < self.tokens.len() && !self.is_at('}') {
            if self.is_at(',') {
                self.at += 1;
            } else {
                self.read_use_tree(prefix, is_reexport);
            }
        }
        self.at += 1;
    }

    fn read_path(&mut self) {
        let line = self.line();
        let is_member = 0 < self.at && self.tokens[self.at - 1].1 == Token::Sign('.');
        let mut path = Vec::new();
        while let Some(word) = self.word() {
            path.push(word.to_owned());
            self.at += 1;
            if self.token(0) != Some(&Token::Path) || !matches!(self.token(1), Some(Token::Word(_)))
            {
                break;
            }
            self.at += 1;
        }
        // A field or method may have any name; what waits is a keyword.
        if !is_member || path == ["await"] {
            self.source.references.push(Reference {
                line,
                path,
                is_reexport: false,
            });
        }
    }
}

fn tokens(text: &str) -> Vec<(usize, Token)> {
    let mut lexer = Lexer {
        rest: text.chars().peekable(),
        line: 1,
        tokens: Vec::new(),
    };
    while let Some(next) = lexer.rest.peek().copied() {
        lexer.read(next);
    }
    lexer.tokens
}

struct Lexer<'a> {
    rest: Peekable<Chars<'a>>,
    line: usize,
    tokens: Vec<(usize, Token)>,
}

impl Lexer<'_> {
    fn read(&mut self, next: char) {
        match next {
            '/' => self.comment_or_sign(),
            '"' => self.string(),
            '\'' => self.character_or_lifetime(),
            _ if next.is_alphabetic() || next == '_' => self.word(),
            _ if next.is_ascii_digit() => self.number(),
            ':' => self.colon(),
            _ if next.is_whitespace() => self.skip(),
            _ => self.sign(),
        }
    }

    fn push(&mut self, token: Token) {
        self.tokens.push((self.line, token));
    }

    fn skip(&mut self) {
        if self.rest.next() == Some('\n') {
            self.line += 1;
        }
    }

    fn sign(&mut self) {
        if let Some(sign) = self.rest.next() {
            self.push(Token::Sign(sign));
        }
    }

    fn colon(&mut self) {
        self.skip();
        if self.rest.peek() == Some(&':') {
            self.skip();
            self.push(Token::Path);
        } else {
            self.push(Token::Sign(':'));
        }
    }

    fn comment_or_sign(&mut self) {
        self.skip();
        match self.rest.peek() {
            Some('/') => {
                while self.rest.peek().is_some_and(|next| *next != '\n') {
                    self.skip();
                }
            }
            Some('*') => self.block_comment(),
            _ => self.push(Token::Sign('/')),
        }
    }

    /// Stands at the `*` of the opening; block comments nest.
    fn block_comment(&mut self) {
        let mut depth = 1;
        self.skip();
        while let (1.., Some(next)) = (depth, self.rest.peek().copied()) {
            self.skip();
            match (next, self.rest.peek()) {
                ('/', Some('*')) => depth += 1,
                ('*', Some('/')) => depth -= 1,
                _ => continue,
            }
            self.skip();
        }
    }

    fn string(&mut self) {
        self.skip();
        while let Some(next) = self.rest.peek().copied() {
            self.skip();
            match next {
                '\\' => self.skip(),
                '"' => break,
                _ => {}
            }
        }
        self.push(Token::Literal);
    }

    /// Stands at the first `#` or the quote.
    fn raw_string(&mut self) {
        let mut hashes = 0;
        while self.rest.peek() == Some(&'#') {
            hashes += 1;
            self.skip();
        }
        self.skip();
        while let Some(next) = self.rest.peek().copied() {
            self.skip();
            if next == '"' && self.take_hashes(hashes) {
                break;
            }
        }
        self.push(Token::Literal);
    }

    fn take_hashes(&mut self, hashes: usize) -> bool {
        for _ in 0..hashes {
            if self.rest.peek() != Some(&'#') {
                return false;
            }
            self.skip();
        }
        true
    }

    fn character_or_lifetime(&mut self) {
        self.skip();
        match self.rest.next() {
            Some('\\') => self.rest_of_character(),
            Some(_) if self.rest.peek() == Some(&'\'') => self.skip(),
            _ => return,
        }
        self.push(Token::Literal);
    }

    /// Stands behind the backslash of `'\n'` or `'\u{1F6A8}'`.
    fn rest_of_character(&mut self) {
        self.skip();
        while self.rest.peek().is_some_and(|next| *next != '\'') {
            self.skip();
        }
        self.skip();
    }

    fn number(&mut self) {
        while self
            .rest
            .peek()
            .is_some_and(|next| next.is_alphanumeric() || *next == '_')
        {
            self.skip();
        }
        self.push(Token::Literal);
    }

    fn word(&mut self) {
        let mut word = String::new();
        while let Some(next) = self
            .rest
            .peek()
            .filter(|next| next.is_alphanumeric() || **next == '_')
        {
            word.push(*next);
            self.skip();
        }
        match (word.as_str(), self.rest.peek()) {
            ("b" | "c", Some('"')) => self.string(),
            ("b", Some('\'')) => self.character_or_lifetime(),
            ("r" | "br" | "cr", Some('"' | '#')) => self.raw_string(),
            _ => self.push(Token::Word(word)),
        }
    }
}
