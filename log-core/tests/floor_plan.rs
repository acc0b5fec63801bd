//! The floor plan of the house, checked: which room may lean on which, and what must never be in a room.
//!
//! Imports point down, never up, never round. What can be read alone can be tested alone, and a decider that cannot
//! reach a clock or a file replays from a seed. Cargo checks the crates; this reads the `use` lines and the paths of
//! every room. Code for tests only is free.

#[path = "floor_plan/circles.rs"]
mod circles;
#[path = "floor_plan/source.rs"]
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use circles::circles;
use source::{Reference, Source};

/// A part of a crate with a rule of its own.
struct Room {
    /// Its crate's folder.
    house: &'static str,
    /// Its module, or `""` for the whole crate.
    name: &'static str,
    /// The other modules of its crate that it may use.
    leans_on: &'static [&'static str],
    /// Paths and words that must not be in it.
    never: &'static [&'static [&'static str]],
}

const ASYNC: &[&str] = &["async", "await", "tokio", "tokio_util", "futures_util"];
const FILES: &[&str] = &["std::fs", "std::os", "File::open", "OpenOptions"];
const SOCKETS: &[&str] = &[
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::UdpSocket",
    "socket2",
    "hyper",
    "axum",
    "tokio_tungstenite",
];
const OUTPUT: &[&str] = &[
    "println",
    "eprintln",
    "print",
    "eprint",
    "std::process",
    "std::env",
];
const IO: &[&str] = &["std::io"];
const CLOCK: &[&str] = &[
    "std::time::Instant",
    "std::time::SystemTime",
    "Instant",
    "SystemTime",
    "jiff::Timestamp::now",
    "Timestamp::now",
    "service_kit::clock",
];
const RANDOMNESS: &[&str] = &[
    "rand",
    "rand_chacha",
    "getrandom",
    "Uuid::new_v4",
    "Uuid::now_v7",
    "uuid::Uuid::new_v4",
    "uuid::Uuid::now_v7",
];
const DISORDER: &[&str] = &[
    "std::collections::HashMap",
    "std::collections::HashSet",
    "HashMap",
    "HashSet",
    "dashmap",
];
const THREADS: &[&str] = &["std::thread", "std::sync::mpsc", "std::sync::Condvar"];
const LOCKS: &[&str] = &["std::sync::Mutex", "std::sync::RwLock"];
const KAFKA_CLIENT: &[&str] = &["rdkafka"];
const CODEC: &[&str] = &["kafka_protocol"];
const THE_LOG: &[&str] = &["log_core"];
const JOURNAL: &[&str] = &["journal"];
const OURS: &[&str] = &[
    "log_core",
    "producer_api",
    "ws_gateway",
    "analytics_batch",
    "mayday",
    "resident_token",
    "bench",
];
const FORMATTING: &[&str] = &[
    "format",
    "write",
    "writeln",
    "minijinja",
    "askama",
    "kuva",
    "plotters",
    "serde_json",
    "arrow",
    "parquet",
];
const PAYLOADS: &[&str] = &["serde_json", "event_model"];

/// Rooms that decide: the same inputs give the same outputs, on every replica and from every seed.
const DECIDES: &[&[&str]] = &[
    ASYNC, FILES, SOCKETS, OUTPUT, IO, CLOCK, RANDOMNESS, DISORDER, THREADS, LOCKS, CODEC, JOURNAL,
];
/// Rooms that turn bytes into values and back.
const VALUES: &[&[&str]] = &[
    ASYNC, FILES, SOCKETS, CLOCK, RANDOMNESS, THREADS, LOCKS, JOURNAL,
];

const PLAN: &[Room] = &[
    Room {
        house: "crates/event-model",
        name: "",
        leans_on: &[],
        never: &[
            ASYNC,
            FILES,
            SOCKETS,
            OUTPUT,
            IO,
            CLOCK,
            RANDOMNESS,
            THREADS,
            LOCKS,
            KAFKA_CLIENT,
            OURS,
            JOURNAL,
        ],
    },
    // Below the services and the broker: it knows none of them, and nothing of calls.
    Room {
        house: "crates/service-kit",
        name: "",
        leans_on: &[ANY],
        never: &[KAFKA_CLIENT, CODEC, OURS, JOURNAL, PAYLOADS],
    },
    // The seam to the disk, and the one synced file over it: it knows nothing of what the records mean.
    Room {
        house: "crates/journal",
        name: "",
        leans_on: &[ANY],
        never: &[ASYNC, SOCKETS, OUTPUT, CLOCK, RANDOMNESS, CODEC, OURS],
    },
    // The Kafka client of the services: it knows records, and no service.
    Room {
        house: "crates/log-client",
        name: "",
        leans_on: &[ANY],
        never: &[
            ASYNC, FILES, SOCKETS, OUTPUT, CLOCK, RANDOMNESS, CODEC, OURS, JOURNAL,
        ],
    },
    Room {
        house: "log-core",
        name: "ids",
        leans_on: &[],
        never: VALUES,
    },
    Room {
        house: "log-core",
        name: "entry",
        leans_on: &["ids"],
        never: VALUES,
    },
    Room {
        house: "log-core",
        name: "record",
        leans_on: &["ids"],
        never: VALUES,
    },
    Room {
        house: "log-core",
        name: "wire",
        leans_on: &["ids", "record"],
        never: VALUES,
    },
    Room {
        house: "log-core",
        name: "state",
        leans_on: &["ids", "entry", "record"],
        never: DECIDES,
    },
    Room {
        house: "log-core",
        name: "group",
        leans_on: &["ids", "entry", "record"],
        never: DECIDES,
    },
    Room {
        house: "log-core",
        name: "consensus",
        leans_on: &["ids", "entry", "record"],
        never: DECIDES,
    },
    Room {
        house: "log-core",
        name: "storage",
        leans_on: &["ids", "entry", "record"],
        never: &[ASYNC, SOCKETS, CLOCK, RANDOMNESS, CODEC],
    },
    // Decides as the rooms below do, and applies what is decided to the partitions' files under locks that readers share; so
    // it knows the errors of files.
    Room {
        house: "log-core",
        name: "node",
        leans_on: &[
            "ids",
            "entry",
            "record",
            "state",
            "group",
            "consensus",
            "storage",
        ],
        never: &[
            ASYNC, FILES, SOCKETS, OUTPUT, CLOCK, RANDOMNESS, DISORDER, THREADS, CODEC,
        ],
    },
    Room {
        house: "log-core",
        name: "broker",
        leans_on: &[
            "ids",
            "entry",
            "record",
            "wire",
            "state",
            "group",
            "consensus",
            "storage",
            "node",
        ],
        never: &[KAFKA_CLIENT],
    },
    // The operator's tools are a client like any other: they reach the log over its socket alone.
    Room {
        house: "log-core",
        name: "tools",
        leans_on: &["ids", "record", "wire"],
        never: &[FILES, CLOCK, RANDOMNESS, DISORDER, KAFKA_CLIENT],
    },
    Room {
        house: "log-core",
        name: "cli",
        leans_on: &[
            "ids", "entry", "record", "state", "storage", "broker", "offline", "tools",
        ],
        never: &[KAFKA_CLIENT],
    },
    // A front page of its own: what may be done with a folder at rest.
    Room {
        house: "log-core",
        name: "offline",
        leans_on: &["storage", "broker"],
        never: &[ASYNC, SOCKETS, CLOCK, RANDOMNESS, KAFKA_CLIENT],
    },
    Room {
        house: "ws-gateway",
        name: "stomp",
        leans_on: &[],
        never: &[
            ASYNC,
            FILES,
            SOCKETS,
            OUTPUT,
            IO,
            CLOCK,
            RANDOMNESS,
            THREADS,
            LOCKS,
            KAFKA_CLIENT,
            PAYLOADS,
            OURS,
            JOURNAL,
        ],
    },
    Room {
        house: "ws-gateway",
        name: "hub",
        leans_on: &[],
        never: &[
            ASYNC,
            FILES,
            SOCKETS,
            OUTPUT,
            IO,
            CLOCK,
            RANDOMNESS,
            KAFKA_CLIENT,
            PAYLOADS,
            OURS,
            JOURNAL,
        ],
    },
    Room {
        house: "ws-gateway",
        name: "",
        leans_on: &[ANY],
        never: &[THE_LOG, JOURNAL],
    },
    Room {
        house: "producer-api",
        name: "",
        leans_on: &[ANY],
        never: &[THE_LOG],
    },
    Room {
        house: "analytics-batch",
        name: "stats",
        leans_on: &[],
        never: &[
            ASYNC,
            FILES,
            SOCKETS,
            OUTPUT,
            IO,
            CLOCK,
            RANDOMNESS,
            THREADS,
            LOCKS,
            KAFKA_CLIENT,
            FORMATTING,
            OURS,
            JOURNAL,
        ],
    },
    Room {
        house: "analytics-batch",
        name: "",
        leans_on: &[ANY],
        never: &[THE_LOG, JOURNAL],
    },
];

/// Stands for every module of the same crate.
const ANY: &str = "*";

/// Not rooms: the front pages, and the simulated world, which stands in for all.
const NOT_ROOMS: &[&str] = &["lib", "main", "testing"];

/// The crates of which no two files need each other.
const WITHOUT_CIRCLES: &[&str] = &[
    "log-core",
    "crates/journal",
    "crates/service-kit",
    "crates/log-client",
    "producer-api",
    "analytics-batch",
    "bench",
];

/// Something that is where it must not be.
#[derive(Debug, PartialEq, Eq)]
struct Violation {
    place: String,
    line: usize,
    path: String,
    rule: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}: `{}`: {}",
            self.place, self.line, self.path, self.rule
        )
    }
}

impl Room {
    fn violations(&self, place: &str, source: &Source) -> Vec<Violation> {
        let broken = source
            .references
            .iter()
            .filter_map(|reference| Some((reference, self.broken_rule(reference)?)));
        let violation = |(reference, rule): (&Reference, String)| Violation {
            place: place.to_owned(),
            line: reference.line,
            path: reference.path.join("::"),
            rule,
        };
        broken.map(violation).collect()
    }

    fn broken_rule(&self, reference: &Reference) -> Option<String> {
        if let [root, module, ..] = reference.path.as_slice()
            && root == "crate"
        {
            return (!self.may_lean_on(module))
                .then(|| format!("{self} may not lean on `{module}`"));
        }
        let forbidden = self.never.iter().copied().flatten();
        let found = forbidden
            .copied()
            .find(|forbidden| begins_with(&reference.path, forbidden));
        found.map(|forbidden| format!("{self} must never contain `{forbidden}`"))
    }

    fn may_lean_on(&self, module: &str) -> bool {
        // What the front page re-exports is some room's: it is asked for there.
        self.name.is_empty()
            || module == self.name
            || self.leans_on.contains(&ANY)
            || self.leans_on.contains(&module)
    }

    fn folder(&self) -> PathBuf {
        repository().join(self.house).join("src")
    }

    /// Its files, without those for tests only.
    fn files(&self) -> Vec<PathBuf> {
        let root = self.folder();
        if self.name.is_empty() {
            return module_files(&root, None);
        }
        module_files(&root, Some(self.name))
    }
}

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.is_empty() {
            write!(f, "`{}`", self.house)
        } else {
            write!(f, "`{}` of `{}`", self.name, self.house)
        }
    }
}

fn begins_with(path: &[String], forbidden: &str) -> bool {
    let mut segments = path.iter();
    forbidden
        .split("::")
        .all(|expected| segments.next().is_some_and(|segment| segment == expected))
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The files of one module of a crate, or of all: what test-only declarations name is left out.
fn module_files(root: &Path, module: Option<&str>) -> Vec<PathBuf> {
    let all = rust_files(root);
    let left_out = all
        .iter()
        .flat_map(|file| test_only(root, file))
        .collect::<BTreeSet<_>>();
    let wanted = |file: &&PathBuf| {
        let module_path = module_path(root, file);
        let inside =
            module.is_none_or(|module| module_path.first().is_some_and(|first| first == module));
        inside && !(1..=module_path.len()).any(|length| left_out.contains(&module_path[..length]))
    };
    all.iter().filter(wanted).cloned().collect()
}

fn test_only(root: &Path, file: &Path) -> Vec<Vec<String>> {
    let module_path = module_path(root, file);
    let source = read(root, file);
    let below = |name: String| module_path.iter().cloned().chain([name]).collect();
    source.test_modules.into_iter().map(below).collect()
}

fn read(root: &Path, file: &Path) -> Source {
    let text =
        fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let module_path = module_path(root, file);
    Source::read(
        &text,
        &module_path.iter().map(String::as_str).collect::<Vec<_>>(),
    )
}

/// `["group", "joining"]` for `src/group/joining.rs`, `["group"]` for `src/group/mod.rs`, nothing for `lib.rs`.
fn module_path(root: &Path, file: &Path) -> Vec<String> {
    let inside = file
        .strip_prefix(root)
        .expect("it was found there")
        .with_extension("");
    let segments = inside
        .iter()
        .map(|segment| segment.to_string_lossy().into_owned());
    segments
        .filter(|segment| !["mod", "lib", "main"].contains(&segment.as_str()))
        .collect()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.expect("a readable folder").path();
        match path.extension() {
            _ if path.is_dir() => files.extend(rust_files(&path)),
            Some(extension) if extension == "rs" => files.push(path),
            _ => {}
        }
    }
    files.sort();
    files
}

fn room(house: &str, name: &str) -> &'static Room {
    PLAN.iter()
        .find(|room| room.house == house && room.name == name)
        .expect("a room of the plan")
}

#[test]
fn every_room_leans_on_nothing_but_what_the_plan_allows_and_contains_nothing_that_it_forbids() {
    let mut violations = Vec::new();
    for room in PLAN {
        for file in room.files() {
            let place = file
                .strip_prefix(repository())
                .expect("inside")
                .display()
                .to_string();
            violations.extend(room.violations(&place, &read(&room.folder(), &file)));
        }
    }
    let list = violations
        .iter()
        .map(|violation| format!("  {violation}\n"))
        .collect::<String>();
    assert!(
        violations.is_empty(),
        "the floor plan is broken:\n{list}Move the code to the room that may do this. If the plan is wrong, loosening it \
         is a decision: write a page in docs/decisions/ with context, choice and price, and change the plan with it."
    );
}

#[test]
fn no_two_files_of_a_crate_need_each_other() {
    for house in WITHOUT_CIRCLES {
        let root = repository().join(house).join("src");
        let files = module_files(&root, None);
        // What a crate's programs have of their own is no part of its library.
        let files = files.iter().filter(|file| !file.ends_with("main.rs"));
        let files = files
            .map(|file| (module_path(&root, file), read(&root, file)))
            .collect::<BTreeMap<_, _>>();
        let list = circles(&files)
            .iter()
            .map(|circle| format!("{circle}\n"))
            .collect::<String>();
        assert!(
            list.is_empty(),
            "files of {house} need each other:\n{list}Move what both need to a file that needs neither."
        );
    }
}

#[test]
fn a_planted_circle_is_found_and_what_is_none_is_not() {
    let crate_of = |files: &[(&str, &str)]| {
        let file = |(module, text): &(&str, &str)| {
            let module = module.split('/').filter(|part| !part.is_empty());
            let module = module.collect::<Vec<_>>();
            let source = Source::read(text, &module);
            (
                module.into_iter().map(str::to_owned).collect::<Vec<_>>(),
                source,
            )
        };
        files.iter().map(file).collect::<BTreeMap<_, _>>()
    };
    let front = (
        "",
        "mod kim; mod lee; pub use kim::Kim; pub use lee::{Lee, Leaf as Leaves};",
    );
    let planted: &[&[(&str, &str)]] = &[
        &[
            ("kim", "use crate::lee::Lee;"),
            ("lee", "use super::kim::Kim;"),
        ],
        &[
            front,
            ("kim", "use crate::Leaves;"),
            ("lee", "fn f(kim: &crate::Kim) {}"),
        ],
        &[
            ("kim", "use crate::lee;"),
            ("lee", "use crate::mia::{self, Mia};"),
            ("mia", "use crate::kim::*;"),
        ],
        &[
            ("kim", "use self::lee::Lee; struct Kim;"),
            ("kim/lee", "use super::Kim;"),
        ],
        &[
            ("kim", "mod lee; fn f() { lee::f() }"),
            ("kim/lee", "use super::Other; impl Kim {}"),
        ],
    ];
    for files in planted {
        let found = circles(&crate_of(files));
        assert_eq!(found.len(), 1, "{files:?}: {found:?}");
    }
    let innocent: &[&[(&str, &str)]] = &[
        &[
            front,
            ("kim", "use crate::Lee;"),
            ("lee", "pub(in crate::kim) struct Lee;"),
        ],
        &[
            ("kim", "use self::lee::Lee; struct Kim;"),
            (
                "kim/lee",
                "use super::Kim; impl<T> fmt::Debug for Kim<T> {}",
            ),
        ],
        &[
            ("kim", "use crate::lee::Lee;"),
            ("lee", "#[cfg(test)] mod tests { use crate::kim::Kim; }"),
        ],
        &[
            ("kim", "pub use std::fmt as lee;"),
            ("lee", "use crate::kim::lee;"),
        ],
    ];
    for files in innocent {
        assert_eq!(circles(&crate_of(files)), [], "{files:?}");
    }
}

#[test]
fn every_module_of_the_log_has_a_place_in_the_plan() {
    let root = repository().join("log-core/src");
    let modules = rust_files(&root)
        .iter()
        .filter_map(|file| module_path(&root, file).first().cloned())
        .collect::<BTreeSet<_>>();
    let has_a_place = |module: &String| {
        NOT_ROOMS.contains(&module.as_str())
            || PLAN
                .iter()
                .any(|room| room.house == "log-core" && room.name == module)
    };
    let homeless = modules
        .iter()
        .filter(|module| !has_a_place(module))
        .collect::<Vec<_>>();
    assert!(
        homeless.is_empty(),
        "no place in the plan for {homeless:?}: say there on which floor they stand"
    );
}

#[test]
fn the_rooms_that_decide_are_read_and_not_empty() {
    for (house, name) in [
        ("log-core", "state"),
        ("log-core", "group"),
        ("log-core", "consensus"),
        ("log-core", "node"),
        ("ws-gateway", "stomp"),
        ("ws-gateway", "hub"),
        ("analytics-batch", "stats"),
        ("crates/event-model", ""),
    ] {
        let room = room(house, name);
        let references = room
            .files()
            .iter()
            .map(|file| read(&room.folder(), file).references.len())
            .sum::<usize>();
        assert!(
            50 < references,
            "{room}: only {references} references in {:?}",
            room.files()
        );
    }
}

#[test]
fn what_is_planted_where_it_must_not_be_is_found() {
    let planted = [
        ("log-core", "group", "use std::time::Instant;"),
        (
            "log-core",
            "group",
            "use std::{collections::BTreeMap, time::{Duration, Instant}};",
        ),
        ("log-core", "group", "async fn handle() {}"),
        (
            "log-core",
            "group",
            "fn handle() { let map = std::collections::HashMap::new(); }",
        ),
        ("log-core", "group", "use crate::state::State;"),
        ("log-core", "group", "use super::super::storage::EntryLog;"),
        ("log-core", "group", "use journal::disk::Disk;"),
        ("log-core", "group", "fn roll() -> u64 { rand::random() }"),
        ("log-core", "group", "fn id() -> Uuid { Uuid::new_v4() }"),
        (
            "log-core",
            "state",
            "use crate::{ids::Offset, group::Group};",
        ),
        ("log-core", "state", "pub use std::fs as files;"),
        ("log-core", "state", "#[cfg(not(test))] use std::fs;"),
        (
            "log-core",
            "state",
            "#[cfg(test)] mod tests { use std::fs; } fn f() { std::fs::read(\"x\"); }",
        ),
        (
            "log-core",
            "consensus",
            "fn now(at: std::time::SystemTime) {}",
        ),
        ("log-core", "consensus", "let x = 'x'; use std::thread;"),
        ("log-core", "record", "use crate::wire::Frame;"),
        ("log-core", "wire", "use tokio::net::TcpStream;"),
        ("log-core", "storage", "fn f() { later().await }"),
        (
            "log-core",
            "storage",
            "/* /* nested */ */ use crate::consensus::Driver;",
        ),
        (
            "log-core",
            "storage",
            "fn f<'a>(x: &'a str) { crate::broker::stop() }",
        ),
        (
            "log-core",
            "node",
            "fn f(shown: tokio::sync::watch::Sender<u8>) {}",
        ),
        ("log-core", "node", "use service_kit::clock::Clock;"),
        ("log-core", "node", "use crate::broker::Broker;"),
        (
            "log-core",
            "broker",
            "use rdkafka::producer::FutureProducer;",
        ),
        ("crates/event-model", "", "use log_core::ids::Offset;"),
        ("crates/log-client", "", "use log_core::broker::Broker;"),
        ("crates/journal", "", "use log_core::entry::Entry;"),
        ("crates/journal", "", "use std::time::Instant;"),
        (
            "crates/event-model",
            "",
            "fn now() -> Timestamp { jiff::Timestamp::now() }",
        ),
        ("ws-gateway", "stomp", "use crate::hub::Hub;"),
        (
            "ws-gateway",
            "stomp",
            "use tokio_tungstenite::tungstenite::Message;",
        ),
        ("ws-gateway", "hub", "use serde_json::Value;"),
        ("ws-gateway", "", "use log_core::broker::Broker;"),
        ("producer-api", "", "use log_core::broker::Broker;"),
        ("analytics-batch", "stats", "use crate::report::Report;"),
        (
            "analytics-batch",
            "stats",
            "fn show(x: f64) -> String { format!(\"{x}\") }",
        ),
    ];
    for (house, name, text) in planted {
        let source = Source::read(text, &[name, "planted"]);
        let found = room(house, name).violations("planted", &source);
        assert_eq!(
            found.len(),
            1,
            "`{text}` in {}: found {found:?}",
            room(house, name)
        );
    }
}

#[test]
fn what_only_looks_like_a_violation_is_none() {
    let innocent = [
        "// use std::fs;",
        "/* async fn */ //! tokio",
        "/// See std::time::Instant.\nfn f() {}",
        "const NAME: &str = \"std::fs is \\\" not used\";",
        "const NAME: &str = r#\"use std::fs; \"async\" \"#;",
        "const LETTER: char = '\"'; const OTHER: char = '\\''; const BYTE: u8 = b'\"';",
        "#[cfg(test)]\nmod tests;\n#[cfg(test)] mod more { use std::fs; fn f() { { tokio::spawn() } } }",
        "#[cfg(any(test, feature = \"testing\"))]\n#[derive(Debug)]\nuse rand::Rng;",
        "use std::collections::BTreeMap; use crate::ids::{Generation, MemberId}; use super::member::Member;",
        "use std::time::Duration; fn f<'async_>(now: Duration) {}",
        "fn instant_of(x: InstantLike) { self.print(); x.write().rand }",
    ];
    for text in innocent {
        let source = Source::read(text, &["group", "innocent"]);
        assert_eq!(
            room("log-core", "group").violations("innocent", &source),
            [],
            "{text}"
        );
    }
}

#[test]
fn a_module_for_tests_only_is_known_whoever_may_see_it() {
    let source = Source::read(
        "#[cfg(test)] mod a;\n#[cfg(any(test, feature = \"testing\"))]\npub mod b;\n#[cfg(test)] pub(crate) mod c { use std::fs; }",
        &["planted"],
    );
    assert_eq!(source.test_modules, ["a", "b", "c"]);
    let references = source.references.iter();
    assert_eq!(references.map(|it| it.line).collect::<Vec<_>>(), []);
}

#[test]
fn a_violation_is_found_at_its_line() {
    let source = Source::read(
        "//! Doc.\n\nuse crate::ids::Offset;\nuse std::{\n    io::Read,\n    fs,\n};\n",
        &["state"],
    );
    let found = room("log-core", "state").violations("state/mod.rs", &source);
    let shown = found.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        shown,
        [
            "state/mod.rs:5: `std::io::Read`: `state` of `log-core` must never contain `std::io`",
            "state/mod.rs:6: `std::fs`: `state` of `log-core` must never contain `std::fs`",
        ]
    );
}
